// The one loop through which the world changes: commits, what slices publish, drift and audit all come by here, one at
// a time. Desired is the committed resources and those that run.ts files publish.
import type { Clock } from '../lib/clock.ts';
import { apply } from './apply.ts';
import type { Fault } from './faults.ts';
import { faultOf } from './faults.ts';
import { dependents } from './order.ts';
import { plan } from './plan.ts';
import type { Action, AnyDriver, Ref, Resource } from './resource.ts';
import { kindOf } from './resource.ts';
import type { Failure } from './slice.ts';
import { readAll, readRefs, verify } from './verify.ts';

export type Resources = ReadonlyMap<Ref, Resource>;

export interface World {
  readonly drivers: ReadonlyMap<string, AnyDriver>;
  readonly clock: Clock;
  /** One synchronous write a call. */
  readonly actionLog: (line: string) => void;
  /** A broken invariant: ends the process. */
  readonly broken: (error: unknown) => void;
  readonly note: (level: 'info' | 'warn' | 'error', message: string, fields: object) => void;
}

/** What one pass did. `faults` empty: everything that was looked at is as desired. */
export interface Pass {
  readonly actions: readonly Action[];
  readonly faults: readonly Fault[];
}

export interface Reconciler {
  desired(): Resources;
  failures(): readonly Failure[];
  /** Steps from the world as it is to `committed`; changes nothing. */
  plan(committed: Resources): Promise<Pass>;
  /** Strict: all of it, verified, or the world as it was. Until the returned Pass has no faults nothing counts. */
  change(committed: Resources): Promise<Pass>;
  /** Lenient: everything is read, what can be made is made, the rest is in failures(). What nobody desires stays for
   * now: what run.ts files will publish is not known yet. The first audit() takes it away. */
  adopt(committed: Resources): Promise<Pass>;
  publish(owner: string, resources: readonly Resource[]): void;
  /** Looks at these again, soon. */
  dirty(ref: Ref): void;
  /** Reads everything and repairs what is not as desired. */
  audit(): Promise<Pass>;
  idle(): Promise<void>;
  close(): Promise<void>;
}

interface State {
  committed: Resources;
  readonly published: Map<string, Resources>;
  readonly failed: Map<Ref, Failure>;
  readonly dirty: Set<Ref>;
}

/** Ms after which what failed is tried again, and by which dirty refs are gathered. */
const retryMs = 2000;
const gatherMs = 20;

export function openReconciler(world: World): Reconciler {
  const state: State = { committed: new Map(), published: new Map(), failed: new Map(), dirty: new Set() };
  let tail: Promise<unknown> = Promise.resolve();
  let timer: Disposable | undefined;
  let closed = false;
  const run = <T>(job: () => Promise<T>): Promise<T> => {
    const next = tail.then(job);
    tail = next.catch(() => undefined);
    return next;
  };
  const desired = (): Resources => union(state.committed, state.published);
  const wake = (ms: number): void => {
    if (closed) return;
    timer?.[Symbol.dispose]();
    timer = world.clock.after(ms, () => {
      timer = undefined;
      run(() => repair(world, state, desired())).then(
        () => state.failed.size > 0 && timer === undefined && wake(retryMs),
        (error: unknown) => world.broken(error),
      );
    });
  };
  const watches = [...world.drivers.values()].map((driver) => driver.watch?.((ref) => mark(ref)));
  const mark = (ref: Ref): void => {
    state.dirty.add(ref);
    wake(gatherMs);
  };
  return {
    desired,
    failures: () => [...state.failed.values()],
    plan: (committed) => run(() => planChange(world, state, committed)),
    change: (committed) => run(() => change(world, state, committed)),
    adopt: (committed) =>
      run(async () => {
        state.committed = committed;
        const pass = await lenient(world, state, desired(), 'all', (action) => action.unwanted !== true);
        if (state.failed.size > 0) wake(retryMs);
        return pass;
      }),
    publish(owner, resources) {
      const before = state.published.get(owner) ?? new Map<Ref, Resource>();
      const after = new Map(resources.map((r) => [r.ref, r]));
      state.published.set(owner, after);
      for (const ref of changed(before, after)) mark(ref);
    },
    dirty: mark,
    audit: () => run(() => lenient(world, state, desired(), 'all')),
    async idle() {
      while (state.dirty.size > 0 || timer !== undefined) {
        if (state.dirty.size === 0) break;
        await new Promise((done) => setTimeout(done, gatherMs));
      }
      await tail;
    },
    async close() {
      closed = true;
      timer?.[Symbol.dispose]();
      for (const watch of watches) watch?.[Symbol.dispose]();
      await tail;
    },
  };
}

function union(committed: Resources, published: ReadonlyMap<string, Resources>): Resources {
  const all = new Map(committed);
  for (const set of published.values()) for (const [ref, resource] of set) all.set(ref, resource);
  return all;
}

/** Refs whose resource is in only one of the two, or differs. */
export function changed(before: Resources, after: Resources): Set<Ref> {
  const refs = new Set<Ref>();
  for (const [ref, resource] of after) {
    const old = before.get(ref);
    if (old === undefined || JSON.stringify(old.spec) !== JSON.stringify(resource.spec)) refs.add(ref);
  }
  for (const ref of before.keys()) if (!after.has(ref)) refs.add(ref);
  return refs;
}

async function planFor(world: World, before: Resources, after: Resources, refs: Set<Ref> | 'all') {
  const known = new Map([...before, ...after]);
  const actual = refs === 'all' ? await readAll(world.drivers) : await readRefs(world.drivers, widen(known, refs));
  const wanted = refs === 'all' ? after : new Map([...after].filter(([ref]) => actual.has(ref) || refs.has(ref)));
  return plan({ desired: wanted, all: after, actual, previous: before, drivers: world.drivers });
}

/** The refs and everything that stands on them: a replace below takes what is above. */
function widen(known: Resources, refs: ReadonlySet<Ref>): Set<Ref> {
  const users = dependents(known);
  const all = new Set<Ref>();
  const queue = [...refs];
  for (let ref = queue.pop(); ref !== undefined; ref = queue.pop()) {
    if (all.has(ref)) continue;
    all.add(ref);
    queue.push(...(users.get(ref) ?? []));
  }
  return all;
}

async function planChange(world: World, state: State, committed: Resources): Promise<Pass> {
  const before = union(state.committed, state.published);
  const after = union(committed, state.published);
  return planFor(world, before, after, look(state, before, after));
}

/** What a change must look at: what it changes, and what was not well before. */
function look(state: State, before: Resources, after: Resources): Set<Ref> {
  const refs = changed(before, after);
  for (const ref of state.failed.keys()) if (after.has(ref)) refs.add(ref);
  return refs;
}

async function change(world: World, state: State, committed: Resources): Promise<Pass> {
  const before = union(state.committed, state.published);
  const after = union(committed, state.published);
  const old = new Set(state.failed.keys());
  const planned = await planFor(world, before, after, look(state, before, after));
  if (planned.faults.length > 0) return planned;
  const faults = await attempt(world, after, planned.actions, old);
  if (faults.length > 0) {
    const touched = new Set(planned.actions.map((action) => action.ref));
    const undo = await planFor(world, after, before, touched);
    await apply({
      actions: undo.actions,
      desired: before,
      drivers: world.drivers,
      log: world.actionLog,
      lenient: true,
    });
    return { actions: planned.actions, faults };
  }
  state.committed = committed;
  for (const action of planned.actions) state.failed.delete(action.ref);
  for (const ref of state.failed.keys()) if (!after.has(ref)) state.failed.delete(ref);
  return { actions: planned.actions, faults: [] };
}

/** A ref that had failed before (a lost device) may go on failing: a commit elsewhere must stay possible. */
async function attempt(
  world: World,
  desired: Resources,
  actions: readonly Action[],
  old: ReadonlySet<Ref>,
): Promise<readonly Fault[]> {
  const strict = actions.filter((action) => !old.has(action.ref));
  const log = world.actionLog;
  const failed = await apply({ actions: strict, desired, drivers: world.drivers, log, lenient: false });
  if (failed.size > 0) return [...failed.values()];
  const again = actions.filter((action) => old.has(action.ref));
  await apply({ actions: again, desired, drivers: world.drivers, log, lenient: true });
  return verify(world.drivers, desired, new Set(strict.map((action) => action.ref)));
}

async function lenient(
  world: World,
  state: State,
  desired: Resources,
  refs: Set<Ref> | 'all',
  wanted: (action: Action) => boolean = () => true,
): Promise<Pass> {
  const planned = await planFor(world, desired, desired, refs);
  if (planned.faults.length > 0) return planned;
  const actions = planned.actions.filter(wanted);
  const failed = await apply({
    actions,
    desired,
    drivers: world.drivers,
    log: world.actionLog,
    lenient: true,
  });
  for (const action of actions) settle(world, state, action, failed.get(action.ref));
  if (refs === 'all') for (const ref of state.failed.keys()) if (!failed.has(ref)) state.failed.delete(ref);
  return { actions, faults: [...failed.values()] };
}

function settle(world: World, state: State, action: Action, fault: Fault | undefined): void {
  if (fault === undefined) {
    state.failed.delete(action.ref);
    return;
  }
  const known = state.failed.get(action.ref);
  if (known?.fault.why === fault.why) return;
  state.failed.set(action.ref, { ref: action.ref, fault, since: world.clock.now() });
  world.note('warn', 'failed', { ref: action.ref, fault });
}

async function repair(world: World, state: State, desired: Resources): Promise<void> {
  const refs = new Set([...state.dirty, ...state.failed.keys()]);
  state.dirty.clear();
  const known = new Set([...refs].filter((ref) => world.drivers.has(kindOf(ref))));
  if (known.size === 0) return;
  const tried = new Set(state.failed.keys());
  const pass = await lenient(world, state, desired, known).catch((error: unknown) => {
    world.note('error', 'repair', { fault: faultOf(error) });
    return { actions: [], faults: [] };
  });
  const done = pass.actions.filter((action) => !pass.faults.some((fault) => fault.what === action.ref));
  for (const action of done) {
    const message = tried.has(action.ref) ? 'recovered' : 'repaired';
    world.note('info', message, { ref: action.ref, action: action.line });
  }
}
