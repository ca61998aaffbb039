import { addon } from '../addon.ts';
import type { ProgramInfo } from '../addon.ts';
import type { BpfProgram, TestRun } from '../bpf.ts';
import { Descriptor } from '../fd.ts';

const TYPE_SYSCALL = 31;
const liveFrames = 2;
/** A program may grow a frame by its headroom and tailroom at most. */
const dataGrowth = 4096;
/** More than struct __sk_buff of any kernel to date. */
const contextRoom = 1024;

/** A loaded program; its object closes it. */
export class KernelProgram implements BpfProgram {
  readonly name: string;
  readonly id: number;
  readonly tag: string;
  readonly verifiedInsns: number;
  readonly #type: number;
  readonly #descriptor: Descriptor;

  constructor(fd: number, info: ProgramInfo, name: string = info.name) {
    this.name = name;
    this.id = info.id;
    this.tag = info.tag;
    this.verifiedInsns = info.verifiedInsns;
    this.#type = info.type;
    this.#descriptor = new Descriptor(fd, `program ${name}`);
  }

  get fd(): number {
    return this.#descriptor.fd;
  }

  testRun(o: { data?: Uint8Array; ctx?: Uint8Array; repeat?: number; flags?: number; cpu?: number }): TestRun {
    const flags = o.flags ?? 0;
    // A syscall program and live frames give nothing back but what is said here; asking is EINVAL.
    const answers = this.#type !== TYPE_SYSCALL && (flags & liveFrames) === 0;
    const dataRoom = answers && o.data !== undefined ? o.data.length + dataGrowth : 0;
    const ctxRoom = answers ? contextRoom : 0;
    return addon().programRun(this.fd, o.data, o.ctx, o.repeat ?? 0, flags, o.cpu ?? 0, dataRoom, ctxRoom);
  }

  close(): void {
    this.#descriptor.close();
  }
}
