// One mechanism for plan, apply, verify, undo, adoption and drift: a resource is one thing that the engine keeps in the
// world, its driver is the only code that changes the world for its kind.

/** kind/name, symbolic ("netdev/vlan10"): never an ifindex, a descriptor or another number that the kernel hands out.
 * */
export type Ref = `${string}/${string}`;

/** One thing that should exist. `spec` is frozen plain data (JSON values and nothing else); `needs` are put before it.
 * */
export interface Resource<S = unknown> {
  readonly ref: Ref;
  /** The slice that wants it. */
  readonly owner: string;
  readonly spec: S;
  readonly needs: readonly Ref[];
}

/** Says how far a slow step is: a line for people, and a fraction 0..1 where one is known. */
export type Progress = (line: string, fraction?: number) => void;

/** One per kind. All methods throw FaultError for what the world refuses; anything else thrown ends the process. */
export interface Driver<S, A> {
  readonly kind: string;
  /** What this instance made and the world still has. Serves adoption, verify and drift. */
  read(refs: 'all' | readonly Ref[]): Promise<ReadonlyMap<Ref, A>>;
  diff(spec: S, actual: A): 'same' | 'update' | 'replace';
  /** What can exist once: a device hook, a name, an address, a key, a socket. */
  claims?(spec: S): readonly string[];
  /** The claims that a thing in the world holds. Default: those of the resource as it was put, so that what came to
   * hold a claim otherwise (an earlier life, drift) is not known for who stands in the way. */
  held?(actual: A): readonly string[];
  /** Slow and invisible: pull, compile, create. Called before the switch phase, outside the loop. */
  prepare?(spec: S, progress: Progress, signal: AbortSignal): Promise<void>;
  /** Makes each of the batch as its spec says, whether it existed or not. Idempotent. */
  put(batch: readonly (readonly [Ref, S])[]): Promise<void>;
  /** Takes each away; what is not there is no error. */
  drop(refs: readonly Ref[]): Promise<void>;
  /** Calls `dirty` with a ref that may have drifted; 'all' where events were lost. */
  watch?(dirty: (ref: Ref | 'all') => void): Disposable;
  /** Of a put after switch that has a deadline of its own (a guest's start). Called outside the loop, before record. */
  settle?(spec: S, ref: Ref, signal: AbortSignal): Promise<void>;
  /** Takes away what the kind itself keeps in the world (a helper process, an empty folder), once nothing of it is
   * left. Called when an instance is taken down. */
  clear?(): Promise<void>;
  /** 'retire': dropping it frees only what nobody sees (a pin, a folder), after record. Default 'switch'. */
  readonly dropPhase?: 'switch' | 'retire';
}

export type AnyDriver = Driver<any, any>; // oxlint-disable-line typescript/no-explicit-any

/** One step of a plan. `line` is what a person reads. */
export interface Action {
  readonly phase: 'prepare' | 'switch' | 'retire';
  readonly verb: 'put' | 'drop';
  readonly ref: Ref;
  readonly line: string;
  /** Of a drop: nobody desires it, as opposed to one that a put needs. */
  readonly unwanted?: true;
}

/** The kind of a ref: "netdev/vlan10" -> "netdev". */
export function kindOf(ref: Ref): string {
  return ref.slice(0, ref.indexOf('/'));
}

/** The name in a ref: "netdev/vlan10" -> "vlan10". */
export function nameOf(ref: Ref): string {
  return ref.slice(ref.indexOf('/') + 1);
}
