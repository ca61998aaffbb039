// The only door to the addon: what native/addon exports, with types. Failures of system calls are KernelError; a
// RangeError or TypeError means that the caller is wrong.
import { createRequire } from 'node:module';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { BpfLinkInfo, MapRows, TestRun } from './bpf.ts';
import { KernelError } from './errno.ts';

/** Something that the addon holds for us. */
export type Native = { readonly native: unique symbol };

export interface Addon {
  setErrorClass(errorClass: typeof KernelError): void;
  errnoName(errno: number): string;
  fdOwn(fd: number): void;
  fdClose(fd: number): void;
  fdDup(fd: number): number;
  netlinkOpen(protocol: number): number;
  netlinkBatch(fd: number, messages: Uint8Array, firstSeq: number, results: Int32Array, texts: string[]): void;
  netlinkQuery(fd: number, message: Uint8Array, seq: number): { bytes: Uint8Array; interrupted: boolean };
  netlinkReceive(fd: number): Uint8Array | undefined;
  pollOpen(fd: number, readable: () => void): Native;
  pollClose(poll: Native): void;
  netnsCall<T>(path: string, call: () => T): T;
  netnsAdd(folder: string, path: string): void;
  netnsBind(folder: string, path: string, fd: number): void;
  netnsRemove(path: string): void;
  socketOpen(domain: number, type: number, protocol: number): number;
  socketBind(fd: number, address: Uint8Array, port: number): void;
  socketConnect(fd: number, address: Uint8Array, port: number): void;
  socketListen(fd: number, backlog: number): void;
  sockoptSet(fd: number, level: number, option: number, value: Uint8Array): void;
  sockoptGet(fd: number, level: number, option: number, size: number): Uint8Array;
  descriptorsSend(fd: number, bytes: Uint8Array, fds: Uint8Array): boolean;
  descriptorsReceive(fd: number): { bytes: Uint8Array; fds: Uint8Array } | undefined;
  tapAdd(name: string, owner: number): void;
  tapOpen(name: string): number;
  ethtool(name: string, command: number, data: number): number;
  mapCreate(type: number, name: string, keySize: number, valueSize: number, maxEntries: number, flags: number): number;
  mapInfo(fd: number): MapInfo;
  mapLookup(fd: number, key: Uint8Array, valueBytes: number): Uint8Array | undefined;
  mapUpdate(fd: number, key: Uint8Array, value: Uint8Array, flags: number): void;
  mapDelete(fd: number, key: Uint8Array): boolean;
  mapDump(fd: number, keySize: number, valueBytes: number, maxEntries: number, used: 0 | 1): MapRows;
  mapUpdateBatch(fd: number, keys: Uint8Array, values: Uint8Array, count: number, flags: number): void;
  btfBytes(id: number): Uint8Array;
  possibleCpus(): number;
  programInfo(fd: number): ProgramInfo;
  programById(id: number): number;
  programRun(
    fd: number,
    data: Uint8Array | undefined,
    ctx: Uint8Array | undefined,
    repeat: number,
    flags: number,
    cpu: number,
    dataRoom: number,
    ctxRoom: number,
  ): TestRun;
  programQuery(ifindex: number, attachType: number): number[];
  l7Open(
    onBatch: (n: number) => void,
    times: Uint8Array,
    tickMs: number,
    maxConnections: number,
    maxPerEndpoint: number,
    maxHeldBytes: number,
    maxStreams: number,
    home: number,
  ): NativeEngine;
  l7Listener(engine: Native, hello: 0 | 1 | 2, tag: number): number;
  l7Accept(engine: Native, listener: number, fd: number): void;
  l7Decline(engine: Native, listener: number, fd: number): void;
  l7Unlisten(engine: Native, listener: number): void;
  l7Limit(engine: Native, listener: number, most: number, perClient: number, later: boolean): void;
  l7Admits(engine: Native, conn: number, address: Uint8Array): boolean | undefined;
  l7Crowds(home: number): NativeCrowd[];
  l7Stall(engine: Native, conn: number, ms: number): void;
  l7Label(engine: Native, conn: number, label: Uint8Array): void;
  l7Park(engine: Native, tunnels: boolean, most: number): number | undefined;
  l7Take(engine: Native, parcel: number): NativeTaken | undefined;
  l7Parked(home: number): number[];
  l7Discard(home: number): void;
  l7Pack(parcel: number): NativeTunnel | undefined;
  l7Unpack(home: number, tag: number, memory: number, client: number, up: number): boolean;
  l7Endpoint(engine: Native, address: Uint8Array, port: number, connectTimeoutMs: number): number;
  l7DropEndpoint(engine: Native, endpoint: number): void;
  l7EndpointIdle(engine: Native, endpoint: number, ms: number): void;
  l7Template(engine: Native, id: number, bytes: Uint8Array): void;
  l7Peer(engine: Native, conn: number): NativePeer | undefined;
  l7Resume(engine: Native, conn: number): void;
  l7Stream(engine: Native, parent: number): number;
  l7Script(engine: Native, endpoint: number): void;
  l7Dial(engine: Native, endpoint: number): number;
  l7SendUp(engine: Native, conn: number, off: number, len: number): number | undefined;
  l7ResumeUp(engine: Native, conn: number): void;
  l7CloseUp(engine: Native, conn: number, how: number): void;
  l7Send(engine: Native, conn: number, off: number, len: number): number | undefined;
  l7Close(engine: Native, conn: number, reset: boolean): void;
  l7End(engine: Native, all: boolean): void;
  l7Stats(engine: Native, into: Uint8Array): void;
  l7Shut(engine: Native): void;
  l7TlsContext(
    engine: Native,
    server: boolean,
    verify: 0 | 1 | 2,
    only13: boolean,
    alpn: Uint8Array,
    policy: Uint8Array,
    ca: Uint8Array | undefined,
    crl: Uint8Array | undefined,
  ): number;
  l7TlsCertificate(engine: Native, context: number, chain: Uint8Array, key: Uint8Array): void;
  l7DropTlsContext(engine: Native, context: number): void;
  l7TicketKeys(engine: Native, keys: Uint8Array): void;
  l7EndpointTls(engine: Native, context: number, endpoint: number, serverName: string, names: string): void;
  linkCreate(programFd: number, ifindex: number, attachType: number, flags: number): number;
  linkUpdate(fd: number, programFd: number): void;
  linkInfo(fd: number): BpfLinkInfo;
  pinOpen(path: string, kind: 'bpf-map' | 'bpf-prog' | 'bpf-link'): number;
  pinMake(fd: number, path: string): void;
  objectOpen(path: string): Native;
  objectMaps(object: Native): MapDeclaration[];
  objectConstant(object: Native, name: string, value: Uint8Array): void;
  objectReuse(object: Native, map: string, fd: number): void;
  objectLoad(object: Native, maps: NamedFd[], programs: NamedFd[]): void;
  objectClose(object: Native): void;
}

export interface NamedFd {
  readonly name: string;
  readonly fd: number;
}

/** A map as an object file declares it. `internal`: .rodata, .bss, .data. */
export interface MapDeclaration {
  readonly name: string;
  readonly type: number;
  readonly keySize: number;
  readonly valueSize: number;
  readonly maxEntries: number;
  readonly flags: number;
  readonly internal: boolean;
}

/** A map as the kernel has it; BTF ids are 0 where it has none. */
export interface MapInfo {
  readonly name: string;
  readonly id: number;
  readonly type: number;
  readonly keySize: number;
  readonly valueSize: number;
  readonly maxEntries: number;
  readonly flags: number;
  readonly btfId: number;
  readonly btfKeyType: number;
  readonly btfValueType: number;
}

export interface ProgramInfo {
  readonly name: string;
  readonly id: number;
  readonly type: number;
  readonly tag: string;
  readonly verifiedInsns: number;
}

/** An engine of the L7 router that runs. The memory of `arena` and `rows` outlives it for as long as somebody holds
 * them. */
export interface NativeEngine {
  readonly engine: Native;
  readonly arena: Uint8Array<ArrayBuffer>;
  readonly rows: Int32Array<ArrayBuffer>;
  /** A word a slot, for the caller: 0 with each new connection. */
  readonly known: Int32Array<ArrayBuffer>;
}

/** Connections of a listener, over all engines of a home: there now, and turned away. */
export interface NativeCrowd {
  readonly tag: number;
  readonly connections: number;
  readonly over: number;
  readonly overClient: number;
}

export interface NativeTaken {
  readonly conn: number;
  readonly greeting?: 1;
  readonly label: Uint8Array;
}

export interface NativeTunnel {
  /** Descriptors. */
  readonly memory: number;
  readonly client: number;
  readonly up: number;
  readonly label: Uint8Array;
}

export interface NativePeer {
  readonly mark: number;
  readonly address: string;
  readonly port: number;
  readonly localAddress: string;
  readonly localPort: number;
  /** There until the connection is known to be plain, TLS or a tunnel. */
  readonly greeting?: 1;
  readonly tls?: {
    readonly protocol: string;
    readonly alpn: string;
    readonly serverName: string;
    readonly uri: string;
    readonly resumed: boolean;
    readonly policy: string;
    /** Of a client, where one was verified. */
    readonly certificate?: {
      readonly hash: string;
      readonly subject: string;
      readonly uri: readonly string[];
      readonly dns: readonly string[];
      readonly by: readonly string[];
    };
  };
}

// The only other build is the one that watches its own memory.
const build = process.env['MIDPLANE_ADDON'] === 'asan' ? 'asan/addon.node' : 'addon.node';
const path = fileURLToPath(new URL(`../../native/build/${build}`, import.meta.url));
let loaded: Addon | undefined;

/** The addon, loaded at the first call. Throws an Error that says what to run where it was not built. */
export function addon(): Addon {
  if (loaded !== undefined) return loaded;
  if (!existsSync(path)) throw new Error(`${path} is missing: run native/setup.sh`);
  const fresh = createRequire(import.meta.url)(path) as Addon;
  fresh.setErrorClass(KernelError);
  loaded = fresh;
  return fresh;
}

const leaks = new FinalizationRegistry<{ fd: number; what: string }>((held) => {
  addon().fdClose(held.fd);
  process.emitWarning(`${held.what} was not closed`, { code: 'MIDPLANE_LEAK' });
});

/** A descriptor of the addon's that is closed once. One that is forgotten is closed when it is collected, with a
 * warning, and at the latest when its thread ends. */
export class Descriptor implements Disposable {
  readonly #what: string;
  #fd: number;

  constructor(fd: number, what: string) {
    this.#fd = fd;
    this.#what = what;
    addon().fdOwn(fd);
    leaks.register(this, { fd, what }, this);
  }

  /** The number; throws KernelError EBADF after close. */
  get fd(): number {
    if (this.#fd < 0) throw new KernelError('EBADF', this.#what, 'used after close');
    return this.#fd;
  }

  close(): void {
    if (this.#fd < 0) return;
    const fd = this.#fd;
    this.#fd = -1;
    leaks.unregister(this);
    addon().fdClose(fd);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
