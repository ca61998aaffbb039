// eBPF objects, maps, programs and links. Handles close by `using` or close(); a handle used after close throws.

/** Packed rows: `count` keys and values, each of the map's sizes, one after the other. */
export interface MapRows {
  readonly count: number;
  readonly keys: Uint8Array;
  readonly values: Uint8Array;
}

/** `valueSize` is the size of one value; a per-CPU map gives and takes possibleCpus of them, each padded to 8 bytes. */
export interface BpfMap extends Disposable {
  readonly name: string;
  readonly id: number;
  readonly type: number;
  readonly keySize: number;
  readonly valueSize: number;
  readonly maxEntries: number;
  readonly perCpu: boolean;
  lookup(key: Uint8Array): Uint8Array | undefined;
  /** flags: 0 any, 1 BPF_NOEXIST, 2 BPF_EXIST. A full map is KernelError E2BIG. */
  update(key: Uint8Array, value: Uint8Array, flags?: number): void;
  /** False where the key was not there. */
  delete(key: Uint8Array): boolean;
  /** All rows, by batches where the kernel has them; 'used': but for those of zeros, which an array has many of. */
  dump(which?: 'all' | 'used'): MapRows;
  updateBatch(rows: MapRows): void;
  /** Of a map of maps: puts another map behind the key. */
  updateInner(key: Uint8Array, inner: BpfMap): void;
  /** The path's folders are made. EEXIST where something is pinned there. */
  pin(path: string): void;
  close(): void;
}

export interface TestRun {
  readonly retval: number;
  readonly data: Uint8Array;
  readonly ctx: Uint8Array;
  readonly durationNs: number;
}

export interface BpfProgram {
  readonly name: string;
  readonly id: number;
  /** Hash of the instructions, hex, as the kernel names it. */
  readonly tag: string;
  /** Instructions that the verifier walked. */
  readonly verifiedInsns: number;
  /** BPF_PROG_TEST_RUN. `ctx` is a struct __sk_buff or xdp_md as bytes; `flags` 2 = live frames. */
  testRun(o: { data?: Uint8Array; ctx?: Uint8Array; repeat?: number; flags?: number; cpu?: number }): TestRun;
}

export interface BpfObject extends Disposable {
  readonly maps: ReadonlyMap<string, BpfMap>;
  readonly programs: ReadonlyMap<string, BpfProgram>;
  close(): void;
}

export type BpfHook = 'xdp' | 'tcx-ingress' | 'tcx-egress';

/** ifindex 0: the device is gone and the link is severed. */
export interface BpfLinkInfo {
  readonly id: number;
  readonly programId: number;
  readonly ifindex: number;
}

export interface BpfLink extends Disposable {
  info(): BpfLinkInfo;
  /** Puts another program behind the same link; no frame passes unjudged. A severed link: KernelError ENOLINK. */
  update(program: BpfProgram): void;
  pin(path: string): void;
  close(): void;
}

export interface BpfLoad {
  readonly file: string;
  /** Values of const volatile variables: name -> bytes of their size. */
  readonly rodata?: Readonly<Record<string, Uint8Array>>;
  /** Maps that are pinned: name -> path. A pin that exists is reused (its BTF, types and sizes must be the object's:
   * else KernelError EINVAL naming the map), one that does not is made. */
  readonly pins?: Readonly<Record<string, string>>;
  /** Where maps of an earlier layout are pinned: name -> path. One that is made anew takes over their rows, by the
   * names of fields, before it is pinned and a program can read it. */
  readonly former?: Readonly<Record<string, string>>;
}

/** A map without an object: the inner ones of maps of maps. `type` is BPF_MAP_TYPE_*; a name has 15 bytes at most. */
export interface BpfMapCreate {
  readonly name: string;
  readonly type: number;
  readonly keySize: number;
  readonly valueSize: number;
  readonly maxEntries: number;
  readonly flags?: number;
}

export interface Bpf {
  readonly possibleCpus: number;
  /** A program that the verifier refuses: KernelError with the end of its log. */
  load(o: BpfLoad): BpfObject;
  createMap(o: BpfMapCreate): BpfMap;
  /** Undefined where nothing is pinned there; EINVAL where something else is. */
  openMap(path: string): BpfMap | undefined;
  openLink(path: string): BpfLink | undefined;
  /** Takes a pin away; false where there was none. What nothing else holds is gone then. */
  unpin(path: string): boolean;
  /** Names in a folder of pins, sorted; none where there is no such folder. */
  pins(folder: string): readonly string[];
  /** XDP is attached in native (driver) mode only. `netns` is where the device lives. The same program twice on a tcx
   * hook is EEXIST, a second one on xdp EBUSY. */
  attach(program: BpfProgram, ifindex: number, hook: BpfHook, netns?: string): BpfLink;
  /** Programs on a device's hook, outermost first (tcx) or the one (xdp). `mode` is "tcx", or of xdp "native",
   * "generic". */
  query(ifindex: number, hook: BpfHook, netns?: string): readonly { programId: number; tag: string; mode: string }[];
  /** Hash of a loaded program's instructions, hex. */
  tagOf(programId: number): string;
}
