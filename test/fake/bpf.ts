// eBPF of the fake kernel: tables that behave like the kernel's, programs that are names, links that a lost device
// severs.
import { basename } from 'node:path';
import type {
  Bpf,
  BpfHook,
  BpfLink,
  BpfLinkInfo,
  BpfLoad,
  BpfMap,
  BpfMapCreate,
  BpfObject,
  BpfProgram,
  MapRows,
  TestRun,
} from '../../src/kernel/bpf.ts';
import { KernelError } from '../../src/kernel/errno.ts';
import type { Device, Space } from './network.ts';

/** What an object file holds. `run` answers test runs of a program. */
export interface FakeObject {
  readonly maps: readonly BpfMapCreate[];
  readonly programs: Readonly<Record<string, ((input: Parameters<BpfProgram['testRun']>[0]) => TestRun) | undefined>>;
  /** Sizes of the const volatile variables. */
  readonly rodata?: Readonly<Record<string, number>>;
}

const ARRAY = 2;
const PERCPU_HASH = 5;
const PERCPU_ARRAY = 6;
const LRU_HASH = 9;
const LRU_PERCPU_HASH = 10;
const ARRAY_OF_MAPS = 12;
const DEVMAP = 14;
const fakeCpus = 2;

interface Table {
  readonly made: BpfMapCreate;
  readonly id: number;
  readonly rows: Map<string, Uint8Array>;
}

interface Attachment {
  readonly id: number;
  readonly hook: BpfHook;
  device: Device | undefined;
  program: FakeProgram;
  handles: number;
  pinned: boolean;
}

type Pinned = { table: Table } | { attachment: Attachment };

function throwing(code: string, what: string, detail?: string): never {
  throw new KernelError(code, what, detail);
}

class FakeMap implements BpfMap {
  readonly name: string;
  readonly id: number;
  readonly type: number;
  readonly keySize: number;
  readonly valueSize: number;
  readonly maxEntries: number;
  readonly perCpu: boolean;
  readonly table: Table;
  readonly #pin: (path: string) => void;
  readonly #bytes: number;
  #open = true;

  constructor(table: Table, pin: (path: string) => void) {
    const { made } = table;
    this.name = made.name;
    this.id = table.id;
    this.type = made.type;
    this.keySize = made.keySize;
    this.valueSize = made.valueSize;
    this.maxEntries = made.maxEntries;
    this.perCpu = [PERCPU_HASH, PERCPU_ARRAY, LRU_PERCPU_HASH].includes(made.type);
    this.#bytes = this.perCpu ? Math.ceil(made.valueSize / 8) * 8 * fakeCpus : made.valueSize;
    this.table = table;
    this.#pin = pin;
  }

  #rows(key?: Uint8Array): Map<string, Uint8Array> {
    if (!this.#open) throwing('EBADF', `map ${this.name}`, 'used after close');
    if (key !== undefined && key.length !== this.keySize) {
      throw new RangeError(`map ${this.name}: a key of ${key.length} bytes, not ${this.keySize}`);
    }
    return this.table.rows;
  }

  get #isArray(): boolean {
    return this.type === ARRAY || this.type === PERCPU_ARRAY;
  }

  #slot(key: Uint8Array): number {
    return new DataView(key.buffer, key.byteOffset, key.length).getUint32(0, true);
  }

  get #hasSlots(): boolean {
    return this.#isArray || this.type === DEVMAP || this.type === ARRAY_OF_MAPS;
  }

  lookup(key: Uint8Array): Uint8Array | undefined {
    const row = this.#rows(key).get(hex(key));
    if (row !== undefined) return row.slice();
    return this.#isArray && this.#slot(key) < this.maxEntries ? new Uint8Array(this.#bytes) : undefined;
  }

  update(key: Uint8Array, value: Uint8Array, flags = 0): void {
    const rows = this.#rows(key);
    if (value.length !== this.#bytes) {
      throw new RangeError(`map ${this.name}: a value of ${value.length} bytes, not ${this.#bytes}`);
    }
    const what = `map ${this.name}`;
    if (this.#hasSlots && this.#slot(key) >= this.maxEntries) throwing('E2BIG', what);
    const there = this.#isArray || rows.has(hex(key));
    if (there && flags === 1) throwing('EEXIST', what);
    if (!there && flags === 2) throwing('ENOENT', what);
    if (!there && rows.size >= this.maxEntries) {
      const oldest = this.type === LRU_HASH || this.type === LRU_PERCPU_HASH ? rows.keys().next().value : undefined;
      if (oldest === undefined) throwing('E2BIG', what);
      rows.delete(oldest);
    }
    rows.set(hex(key), value.slice());
  }

  delete(key: Uint8Array): boolean {
    const rows = this.#rows(key);
    if (this.#isArray) throwing('EINVAL', `map ${this.name}`);
    return rows.delete(hex(key));
  }

  dump(which: 'all' | 'used' = 'all'): MapRows {
    const rows = this.#rows();
    const slots = this.#isArray
      ? Array.from({ length: this.maxEntries }, (_, i) => new Uint8Array(Uint32Array.of(i).buffer))
      : [...rows.keys()].map((key) => Uint8Array.from(Buffer.from(key, 'hex')));
    const valueOf = (key: Uint8Array): Uint8Array => this.lookup(key) ?? new Uint8Array(this.#bytes);
    const all = which === 'all' ? slots : slots.filter((key) => valueOf(key).some((byte) => byte !== 0));
    const values = all.map(valueOf);
    return {
      count: all.length,
      keys: Uint8Array.from(Buffer.concat(all)),
      values: Uint8Array.from(Buffer.concat(values)),
    };
  }

  updateBatch({ count, keys, values }: MapRows): void {
    if (keys.length !== count * this.keySize || values.length !== count * this.#bytes) {
      throw new RangeError(`map ${this.name}: ${count} rows of ${keys.length} + ${values.length} bytes`);
    }
    for (let i = 0; i < count; i++) {
      const key = keys.subarray(i * this.keySize, (i + 1) * this.keySize);
      this.update(key, values.subarray(i * this.#bytes, (i + 1) * this.#bytes));
    }
  }

  updateInner(key: Uint8Array, inner: BpfMap): void {
    this.update(key, new Uint8Array(Uint32Array.of(inner.id).buffer));
  }

  pin(path: string): void {
    this.#rows();
    this.#pin(path);
  }

  close(): void {
    this.#open = false;
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

class FakeProgram implements BpfProgram {
  readonly name: string;
  readonly id: number;
  readonly tag: string;
  readonly verifiedInsns = 1;
  readonly #run: FakeObject['programs'][string];

  constructor(name: string, id: number, run: FakeObject['programs'][string]) {
    this.name = name;
    this.id = id;
    this.tag = Buffer.from(name.padEnd(8, '.')).subarray(0, 8).toString('hex');
    this.#run = run;
  }

  testRun(input: Parameters<BpfProgram['testRun']>[0]): TestRun {
    return this.#run?.(input) ?? throwing('EOPNOTSUPP', 'test run', `the fake program ${this.name} does nothing`);
  }
}

/** The fake's eBPF. `space` finds a namespace by name. */
export class FakeBpf implements Bpf {
  readonly possibleCpus = fakeCpus;
  readonly #space: (netns: string | undefined) => Space;
  readonly #objects = new Map<string, FakeObject>();
  readonly #pins = new Map<string, Pinned>();
  readonly #attachments = new Set<Attachment>();
  #lastId = 0;

  constructor(space: (netns: string | undefined) => Space) {
    this.#space = space;
  }

  /** Says what `load` finds in a file. */
  defineObject(file: string, object: FakeObject): void {
    this.#objects.set(file, object);
  }

  /** Severs the links of a device. */
  deviceGone(device: Device): void {
    for (const each of this.#attachments) if (each.device === device) each.device = undefined;
  }

  #id(): number {
    this.#lastId += 1;
    return this.#lastId;
  }

  #pin(path: string, pinned: Pinned): void {
    if (basename(path).includes('.')) throwing('EPERM', `pin ${path}`);
    if (this.#pins.has(path)) throwing('EEXIST', `pin ${path}`);
    this.#pins.set(path, pinned);
  }

  #mapOf(table: Table): FakeMap {
    return new FakeMap(table, (path) => this.#pin(path, { table }));
  }

  createMap(made: BpfMapCreate): BpfMap {
    if (made.maxEntries === 0 || made.name.length > 15) throwing('EINVAL', `map ${made.name}`);
    return this.#mapOf({ made, id: this.#id(), rows: new Map() });
  }

  load(o: BpfLoad): BpfObject {
    const object = this.#objects.get(o.file) ?? throwing('ENOENT', `open ${o.file}`);
    for (const [name, value] of Object.entries(o.rodata ?? {})) {
      const size = object.rodata?.[name] ?? throwing('ENOENT', `constant ${name}`);
      if (size !== value.length) throwing('EINVAL', `constant ${name}`);
    }
    const declared = new Map(object.maps.map((made) => [made.name, made]));
    for (const name of Object.keys(o.pins ?? {})) if (!declared.has(name)) throwing('ENOENT', `map ${name}`);
    const maps = new Map([...declared].map(([name, made]) => [name, this.#adopt(made, o.pins?.[name])]));
    const programs = new Map(
      Object.entries(object.programs).map(([name, run]) => [name, new FakeProgram(name, this.#id(), run)]),
    );
    const close = (): void => maps.forEach((map) => map.close());
    return { maps, programs, close, [Symbol.dispose]: close };
  }

  #adopt(made: BpfMapCreate, path: string | undefined): FakeMap {
    const pinned = path === undefined ? undefined : this.#pins.get(path);
    if (pinned === undefined) {
      const map = this.#mapOf({ made, id: this.#id(), rows: new Map() });
      if (path !== undefined) map.pin(path);
      return map;
    }
    const there = 'table' in pinned ? pinned.table : throwing('EINVAL', `pin ${path}`);
    for (const key of ['type', 'keySize', 'valueSize', 'maxEntries', 'flags'] as const) {
      if ((there.made[key] ?? 0) !== (made[key] ?? 0))
        throwing('EINVAL', `map ${made.name}`, `the pinned map has ${key}`);
    }
    return this.#mapOf(there);
  }

  openMap(path: string): BpfMap | undefined {
    const pinned = this.#pins.get(path);
    if (pinned === undefined) return undefined;
    return 'table' in pinned ? this.#mapOf(pinned.table) : throwing('EINVAL', `pin ${path}`);
  }

  openLink(path: string): BpfLink | undefined {
    const pinned = this.#pins.get(path);
    if (pinned === undefined) return undefined;
    return 'attachment' in pinned ? this.#linkOf(pinned.attachment) : throwing('EINVAL', `pin ${path}`);
  }

  unpin(path: string): boolean {
    const pinned = this.#pins.get(path);
    if (pinned === undefined) return false;
    this.#pins.delete(path);
    if ('attachment' in pinned) {
      pinned.attachment.pinned = [...this.#pins.values()].some(
        (other) => 'attachment' in other && other.attachment === pinned.attachment,
      );
      this.#release(pinned.attachment);
    }
    return true;
  }

  pins(folder: string): readonly string[] {
    const inside = [...this.#pins.keys()].filter((path) => path.startsWith(`${folder}/`));
    return [...new Set(inside.map((path) => path.slice(folder.length + 1).split('/')[0] ?? ''))].toSorted();
  }

  #deviceOf(ifindex: number, netns: string | undefined): Device {
    const found = this.#space(netns).devices.find((device) => device.index === ifindex);
    return found ?? throwing('ENODEV', `device ${ifindex}`);
  }

  #on(device: Device, hook: BpfHook): Attachment[] {
    return [...this.#attachments].filter((each) => each.device === device && each.hook === hook);
  }

  attach(program: BpfProgram, ifindex: number, hook: BpfHook, netns?: string): BpfLink {
    if (!(program instanceof FakeProgram)) throw new TypeError('a program of another kernel');
    const device = this.#deviceOf(ifindex, netns);
    const there = this.#on(device, hook);
    if (hook === 'xdp' && there.length > 0) throwing('EBUSY', `attach to ${ifindex}`);
    if (there.some((each) => each.program === program)) throwing('EEXIST', `attach to ${ifindex}`);
    const attachment = { id: this.#id(), hook, device, program, handles: 0, pinned: false };
    this.#attachments.add(attachment);
    return this.#linkOf(attachment);
  }

  tagOf(programId: number): string {
    const found = [...this.#attachments].find((each) => each.program.id === programId);
    return found?.program.tag ?? throwing('ENOENT', `program ${programId}`);
  }

  #release(attachment: Attachment): void {
    if (attachment.handles === 0 && !attachment.pinned) this.#attachments.delete(attachment);
  }

  #linkOf(attachment: Attachment): BpfLink {
    let open = true;
    attachment.handles += 1;
    const live = (): Attachment => (open ? attachment : throwing('EBADF', 'link', 'used after close'));
    const close = (): void => {
      if (!open) return;
      open = false;
      attachment.handles -= 1;
      this.#release(attachment);
    };
    return {
      info: (): BpfLinkInfo => {
        const { id, program, device } = live();
        return { id, programId: program.id, ifindex: device?.index ?? 0 };
      },
      update(program) {
        if (!(program instanceof FakeProgram)) throw new TypeError('a program of another kernel');
        if (live().device === undefined) throwing('ENOLINK', 'link update');
        attachment.program = program;
      },
      pin: (path) => {
        this.#pin(path, { attachment: live() });
        attachment.pinned = true;
      },
      close,
      [Symbol.dispose]: close,
    };
  }

  query(ifindex: number, hook: BpfHook, netns?: string): { programId: number; tag: string; mode: string }[] {
    const mode = hook === 'xdp' ? 'native' : 'tcx';
    return this.#on(this.#deviceOf(ifindex, netns), hook).map(({ program }) => ({
      programId: program.id,
      tag: program.tag,
      mode,
    }));
  }
}
