import { addon, Descriptor } from '../addon.ts';
import type { ProgramInfo } from '../addon.ts';
import type { BpfProgram, TestRun } from '../bpf.ts';

const TYPE_XDP = 6;
const TYPE_SYSCALL = 31;
const liveFrames = 2;
/** A program may grow a frame by its headroom and tailroom at most. */
const dataGrowth = 4096;
/** More than struct __sk_buff of any kernel to date. */
const contextRoom = 1024;

/** A struct xdp_md whose data is all of the frame: with none, but an answer asked for, the kernel takes data_end for 0
 * and shows the program no byte. */
function wholeFrame(size: number): Uint8Array {
  return new Uint8Array(Uint32Array.of(0, size, 0, 0, 0, 0).buffer);
}

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
    const ctx = o.ctx ?? (answers && this.#type === TYPE_XDP ? wholeFrame(o.data?.length ?? 0) : undefined);
    return addon().programRun(this.fd, o.data, ctx, o.repeat ?? 0, flags, o.cpu ?? 0, dataRoom, ctxRoom);
  }

  close(): void {
    this.#descriptor.close();
  }
}
