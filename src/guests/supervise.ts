// Looks at a slice's guests each second: tells their state and health, and starts again what has ended.
import { FaultError } from '../engine/faults.ts';
import type { Ref, Resource } from '../engine/resource.ts';
import { nameOf } from '../engine/resource.ts';
import type { Host } from '../engine/slice.ts';
import { type HealthWatch, probe, watchHealth } from './health.ts';
import type { GuestState, GuestStatus, PredecessorLive } from './live.ts';
import type { Health } from './schema.ts';
import type { Starts } from './starts.ts';

/** What the spec of every guest kind has. */
export interface GuestSpec {
  /** The address that it is reached and checked by. */
  readonly at?: string | undefined;
  readonly restart: 'always' | 'never';
  readonly health?: Health | undefined;
}

/** What a guest is seen to be doing. */
export interface Seen {
  readonly running: boolean;
  readonly pid: number;
  /** Milliseconds since 1970. */
  readonly startedAt: number;
  /** How it ended, where it has. */
  readonly why: string;
  /** It was made and has not run yet, so far as the world knows. */
  readonly fresh?: boolean;
}

export interface SuperviseInput<S extends GuestSpec> {
  readonly host: Host;
  readonly kind: GuestStatus['kind'];
  readonly starts: Starts;
  /** All guests of the kind that the world has, running or not. */
  look(): Promise<ReadonlyMap<Ref, Seen>>;
  /** Begins a start in the background (`starts.begin`). `anew`: it ends first what runs. */
  start(ref: Ref, spec: S, anew?: boolean): void;
}

export interface Supervisor extends AsyncDisposable {
  guests(): ReadonlyMap<string, GuestStatus>;
  onChange(listener: () => void): Disposable;
  /** Looks now. */
  refresh(): Promise<void>;
  /** Ends what runs and starts it, all of it as one start, so that nobody else starts it meanwhile. One that is being
   * started is waited for: a commit may wait for it too. FaultError where it fails or takes longer; 'busy' where a
   * change has just ended it, which must not come back by this. */
  restart(ref: Ref, timeoutMs: number): Promise<void>;
}

/** Backoff of restarts, ms: doubles from the least to the most, and begins anew after a run of a minute. */
const backoffMs = { least: 1000, most: 30_000, well: 60_000 };
const pollMs = 1000;

interface Tracked {
  status: GuestStatus;
  watch?: HealthWatch;
  /** Of what the watch was made. */
  watched: string;
  restarts: number;
  /** How it ended before it was started again. */
  ended: string;
  waitMs: number;
  /** Monotonic ms before which it is not started again. */
  notBefore: number;
  /** The daemon before this one knew it to be well, and nobody has checked since. */
  known: boolean;
}

export function supervise<S extends GuestSpec>(input: SuperviseInput<S>): Supervisor {
  const { host } = input;
  const tracked = new Map<string, Tracked>();
  const listeners = new Set<() => void>();
  let busy: Promise<void> | undefined;
  let ended = false;
  const changed = (): void => {
    if (!ended) for (const listener of listeners) listener();
  };
  const turn = async (): Promise<void> => {
    const wanted = desiredOf<S>(host, input.kind);
    const seen = await input.look();
    if (ended) return;
    let differs = false;
    for (const [name, one] of tracked) {
      if (wanted.has(`${input.kind}/${name}`)) continue;
      one.watch?.[Symbol.dispose]();
      tracked.delete(name);
      differs = true;
    }
    for (const [ref, resource] of wanted) {
      differs = follow(input, tracked, ref, resource.spec, seen.get(ref), changed) || differs;
    }
    if (differs) changed();
  };
  // A turn that cannot look (a service that is being started) is made again a second later.
  const refresh = (): Promise<void> =>
    (busy ??= turn()
      .catch((error: unknown) => host.log.warn({ error, kind: input.kind }, 'could not look at the guests'))
      .finally(() => (busy = undefined)));
  const timer = setInterval(() => void refresh(), pollMs);
  timer.unref();
  const revision = host.onRevision(() => void refresh());
  void refresh();
  return {
    guests: () => new Map([...tracked].map(([name, one]) => [name, withHealth(one)])),
    onChange(listener) {
      listeners.add(listener);
      return { [Symbol.dispose]: () => void listeners.delete(listener) };
    },
    refresh,
    async restart(ref, timeoutMs) {
      const { starts } = input;
      const wanted = host.read.desired().get(ref);
      if (wanted === undefined) throw new FaultError('not-found', ref, 'it is no guest any more');
      if (starts.left(ref)) throw new FaultError('busy', ref, 'a change takes it away', true);
      if (starts.pending(ref) === undefined) input.start(ref, wanted.spec as S, true);
      await starts.settled(ref, AbortSignal.timeout(timeoutMs));
      await refresh();
    },
    async [Symbol.asyncDispose]() {
      ended = true;
      clearInterval(timer);
      revision[Symbol.dispose]();
      for (const one of tracked.values()) one.watch?.[Symbol.dispose]();
      await busy;
    },
  };
}

function desiredOf<S>(host: Host, kind: string): ReadonlyMap<Ref, Resource<S>> {
  const all = [...host.read.desired()].filter(([ref]) => ref.startsWith(`${kind}/`));
  return new Map(all.map(([ref, resource]) => [ref, resource as Resource<S>]));
}

/** Brings what is known of one guest up to date; true where others must hear of it. */
function follow<S extends GuestSpec>(
  input: SuperviseInput<S>,
  tracked: Map<string, Tracked>,
  ref: Ref,
  spec: S,
  seen: Seen | undefined,
  changed: () => void,
): boolean {
  const name = nameOf(ref);
  const old = tracked.get(name);
  const one: Tracked = old ?? {
    status: statusOf(input.kind, spec, 'starting', seen, ''),
    watched: '',
    restarts: 0,
    ended: '',
    waitMs: backoffMs.least,
    notBefore: 0,
    known: input.host.read.live<PredecessorLive>('predecessor')?.healthy.delete(name) === true,
  };
  tracked.set(name, one);
  if (seen?.running !== true) again(input, one, ref, spec, seen);
  else if (input.host.clock.now() - seen.startedAt > backoffMs.well) one.waitMs = backoffMs.least;
  const state = stateOf(input, ref, seen);
  const failure = input.host.read.failures().find((f) => f.ref === ref)?.fault ?? input.starts.fault(ref);
  const why = state === 'running' ? '' : (failure?.why ?? seen?.why ?? '');
  const next = { ...statusOf(input.kind, spec, state, seen, why), restarts: one.restarts, ended: one.ended };
  const differs = old === undefined || JSON.stringify(next) !== JSON.stringify(one.status);
  one.status = next;
  check(one, spec, next, changed);
  return differs;
}

function stateOf<S extends GuestSpec>(input: SuperviseInput<S>, ref: Ref, seen: Seen | undefined): GuestState {
  if (input.starts.pending(ref) !== undefined) return 'starting';
  if (seen?.running === true) return 'running';
  const failed = input.starts.fault(ref) ?? input.host.read.failures().find((failure) => failure.ref === ref);
  return failed === undefined && seen !== undefined ? 'stopped' : 'failed';
}

/** Starts what has ended again, later each time. */
function again<S extends GuestSpec>(
  input: SuperviseInput<S>,
  one: Tracked,
  ref: Ref,
  spec: S,
  seen: Seen | undefined,
): void {
  if ((spec.restart === 'never' && seen?.fresh !== true) || input.starts.pending(ref) !== undefined) return;
  if (input.starts.left(ref)) return;
  // What was never made is the engine's to make: it knows if what the guest needs is there.
  if (seen === undefined && input.starts.fault(ref) === undefined) return;
  if (input.host.read.failures().some((failure) => failure.ref === ref)) return;
  const now = input.host.clock.monotonic();
  if (one.notBefore === 0) one.notBefore = now + one.waitMs;
  if (now < one.notBefore) return;
  one.waitMs = Math.min(one.waitMs * 2, backoffMs.most);
  one.notBefore = now + one.waitMs;
  one.restarts += 1;
  one.ended = seen?.why ?? input.starts.fault(ref)?.why ?? '';
  input.host.log.warn({ guest: nameOf(ref), kind: input.kind, why: one.ended }, 'guest is started again');
  input.start(ref, spec);
}

function check(one: Tracked, spec: GuestSpec, status: GuestStatus, changed: () => void): void {
  const { at, health } = spec;
  if (status.state !== 'running') one.known = false;
  const wanted = status.state === 'running' && health !== undefined && at !== undefined;
  const key = wanted ? JSON.stringify([at, health, status.pid]) : '';
  if (key === one.watched) return;
  one.watch?.[Symbol.dispose]();
  delete one.watch;
  one.watched = key;
  if (wanted) one.watch = watchHealth(at, health, changed, probe, one.known);
  one.known = false;
}

function withHealth(one: Tracked): GuestStatus {
  const { status, watch } = one;
  if (status.state !== 'running' || watch === undefined) return status;
  return { ...status, healthy: watch.healthy, why: watch.why };
}

function statusOf(
  kind: GuestStatus['kind'],
  spec: GuestSpec,
  state: GuestState,
  seen: Seen | undefined,
  why: string,
): GuestStatus {
  const running = seen?.running === true;
  return {
    kind,
    state,
    healthy: state === 'running',
    pid: running ? seen.pid : 0,
    startedAt: running ? seen.startedAt : 0,
    why,
    address: spec.at ?? '',
    restarts: 0,
    ended: '',
  };
}
