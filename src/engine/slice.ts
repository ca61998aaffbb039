// The face of a slice: one top-level key of the document and everything that it means. `src/slices.ts` lists them all;
// adding a feature adds a folder with this face and one line there.
import type { Logger } from 'pino';
import type { z } from 'zod';
import type { Clock } from '../lib/clock.ts';
import type { Work } from '../lib/work/turns.ts';
import type { Manifest } from '../config/manifest.ts';
import type { Problem } from '../config/problem.ts';
import type { Kernel } from '../kernel/kernel.ts';
import type { AnyTable } from './kinds/row.ts';
import type { AnyDriver, Ref, Resource } from './resource.ts';
import type { RevisionInfo } from './revision/revision.ts';
import type { Fault } from './faults.ts';
import type { Ids } from './ids.ts';

export type { Manifest } from '../config/manifest.ts';

/** Gives a slice's section by its schema (each schema object belongs to one slice), manifests by kind, a Problem's
 * place by its path, and the revision's folder, against which file names in the document are resolved. */
export interface Look {
  <S extends z.ZodType>(schema: S): z.infer<S>;
  /** By group and kind: "gateway.networking.k8s.io/HTTPRoute". */
  manifests(kind: string): readonly Manifest[];
  /** A Problem at the given path of the document. */
  problem(path: readonly (string | number)[], message: string, hint?: string): Problem;
  /** Content of a file that the document names, as bytes; undefined where it does not exist. */
  file(name: string): Uint8Array | undefined;
  readonly instance: string;
  /** The switch's own MAC address, the same for as long as its state folder lives: SVIs and guests derive theirs. */
  readonly baseMac: string;
}

/** Entries for other sections: { ports: { web1: {...} }, services: {...} }. */
export type Derived = Readonly<Record<string, unknown>>;

/** Where this instance keeps things: what must outlive a reboot, and what need not (sockets, records of processes).
 * Only root may look inside. */
export interface Folders {
  readonly state: string;
  readonly run: string;
}

/** What drivers get: they are there to take an instance down too, when there is no engine. */
export type DriverHost = Pick<Host, 'ids' | 'clock' | 'log' | 'instance' | 'folders'>;

/** What a slice's `run.ts` gets. `publish` replaces the owner's live resources; `log` is already named. */
export interface Host {
  readonly kernel: Kernel;
  readonly ids: Ids;
  readonly clock: Clock;
  readonly log: Logger;
  readonly instance: string;
  readonly folders: Folders;
  readonly read: Read;
  publish(owner: string, resources: readonly Resource[]): void;
  /** Called after each applied revision and once at start. */
  onRevision(listener: (revision: RevisionInfo) => void): Disposable;
}

/** State of a resource that could not be made, or is not yet. */
export interface Failure {
  readonly ref: Ref;
  readonly fault: Fault;
  readonly since: number;
}

/** What commands see; read only. */
export interface Read {
  readonly instance: string;
  readonly ids: Ids;
  /** Section of the running revision, by schema. */
  running<S extends z.ZodType>(schema: S): z.infer<S>;
  /** The look of the running revision. */
  look(): Look;
  desired(): ReadonlyMap<Ref, Resource>;
  actual(kind: string): Promise<ReadonlyMap<Ref, unknown>>;
  failures(): readonly Failure[];
  readonly kernel: Kernel;
  /** Live state that a run.ts offers under its slice's name: live<T>('ports'). Undefined until it runs. */
  live<T>(slice: string): T | undefined;
}

export type Role = 'viewer' | 'operator' | 'admin';

/** A CLI command: `run` returns data of the `data` schema (what `| json`, the HTTP API and gNMI return), `render` makes
 * text of it. `path` is the words: "show ports". `args` is a z.object; each key is a positional argument in order. */
export interface Command<A extends z.ZodType = z.ZodType, D extends z.ZodType = z.ZodType> {
  readonly path: string;
  readonly help: string;
  readonly example?: string;
  readonly args: A;
  readonly data: D;
  readonly role: Role;
  run(args: z.infer<A>, read: Read, signal: AbortSignal): Promise<z.infer<D>> | AsyncIterable<z.infer<D>>;
  render(data: z.infer<D>, columns: number): string;
  /** Path of a unix socket that takes an interactive terminal over, until ^] gives it back (a VM's console). */
  attach?(data: z.infer<D>): string;
  /** Values for an argument, for Tab and `?`. */
  complete?(arg: string, read: Read): readonly string[] | Promise<readonly string[]>;
}

export type AnyCommand = Command<any, any>; // oxlint-disable-line typescript/no-explicit-any

/** Types a command by its schemas. */
export function command<A extends z.ZodType, D extends z.ZodType>(c: Command<A, D>): AnyCommand {
  return c;
}

export interface Slice<S extends z.ZodType = z.ZodType> {
  /** YAML key, CLI word, counter prefix, log name. */
  readonly name: string;
  /** Type, default, range, help and completion of the section. Absent: the slice has no section, it only shows. */
  readonly schema?: S;
  /** Manifest kinds that this slice owns, "gateway.networking.k8s.io/HTTPRoute". */
  readonly manifests?: readonly string[];
  /** Steps of work that takes longer than a few milliseconds: others have their turn between them. */
  check?(section: z.infer<S>, look: Look): Work<readonly Problem[]>;
  derive?(section: z.infer<S>, look: Look): Derived;
  /** As `check`. */
  compile?(section: z.infer<S>, look: Look): Work<readonly Resource[]>;
  /** Rows of the fast path's tables that the slice fills. */
  readonly tables?: readonly AnyTable[];
  drivers?(kernel: Kernel, host: DriverHost): readonly AnyDriver[];
  /** What runs as long as the daemon does. May return `live`, offered to commands under the slice's name. */
  start?(host: Host, signal: AbortSignal): Promise<AsyncDisposable & { readonly live?: unknown }>;
  readonly commands?: readonly AnyCommand[];
}

export type AnySlice = Slice<any>; // oxlint-disable-line typescript/no-explicit-any
