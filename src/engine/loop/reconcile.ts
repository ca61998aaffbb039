// The one loop through which the world changes: commits, what slices publish, drift and audit all come by here, one at
// a time. Desired is the committed resources and those that run.ts files publish.
import { faultOf } from '../faults.ts';
import type { Action, Ref, Resource } from '../resource.ts';
import { kindOf } from '../resource.ts';
import type { Failure } from '../slice.ts';
import { change, desiredOf, drift, lenient, type Loop, noteFailure, planChange, retire, revert } from './pass.ts';
import { openPreparer } from './prepare.ts';
import { changed, type Drift, emptyState, type Pass, type Resources, union, type World } from './world.ts';

export interface Reconciler {
  desired(): Resources;
  failures(): readonly Failure[];
  /** Steps from the world as it is to `committed`; changes nothing. */
  plan(committed: Resources): Promise<Pass>;
  /** What is not as desired now. Reads everything, changes nothing. */
  drift(): Promise<Drift>;
  /** Strict: all of it, verified, or the world as it was. Drops that nobody sees wait for `retire`. */
  change(committed: Resources): Promise<Pass>;
  /** Lenient: what can be made of `committed` is made, the rest is in failures(). */
  revert(committed: Resources): Promise<Pass>;
  /** The last steps of a change that is recorded. */
  retire(actions: readonly Action[]): Promise<void>;
  /** Lenient: everything is read, what can be made is made, the rest is in failures(). What nobody desires stays for
   * now: what run.ts files will publish is not known yet. settled() takes it away, or time does. */
  adopt(committed: Resources): Promise<Pass>;
  /** All have published. */
  settled(): Promise<Pass>;
  publish(owner: string, resources: readonly Resource[]): void;
  /** Looks at these again, soon. */
  dirty(ref: Ref): void;
  /** Reads everything and repairs what is not as desired. */
  audit(): Promise<Pass>;
  close(): Promise<void>;
}

/** Ms after which what failed is tried again, by which dirty refs are gathered, and for which what nobody desires is
 * kept at most after a start. */
const retryMs = 2000;
const gatherMs = 20;
const holdMs = 10_000;

export function openReconciler(world: World): Reconciler {
  const turning = turn(world);
  const { loop, mark, queue, run, audit, settled, preparer } = turning;
  const { state } = loop;
  const watches = [...world.drivers.values()].map((driver) => driver.watch?.(mark));
  return {
    desired: () => desiredOf(state),
    failures: () => [...state.failed.values()],
    plan: (committed) => queue.run(() => planChange(loop, committed)),
    drift: () => queue.run(() => drift(loop)),
    change: (committed) => run(() => change(loop, committed)),
    revert: (committed) => run(() => revert(loop, committed)),
    retire: (actions) => run(() => retire(loop, actions)),
    adopt: (committed) => {
      turning.hold();
      return run(() => {
        state.committed = committed;
        return lenient(loop, 'all');
      });
    },
    settled,
    publish(owner, resources) {
      const before = state.published.get(owner) ?? new Map<Ref, Resource>();
      const after = new Map(resources.map((r) => [r.ref, r]));
      state.published = new Map([...state.published, [owner, after]]);
      for (const ref of changed(before, after)) mark(ref);
    },
    dirty: mark,
    audit,
    async close() {
      turning.close();
      for (const watch of watches) watch?.[Symbol.dispose]();
      await queue.run(() => preparer.close());
    },
  };
}

/** What turns the loop: one job at a time, repair when something is dirty, and again while something fails. */
function turn(world: World) {
  const state = emptyState();
  const timer = wakeTimer(world);
  const queue = jobQueue();
  const mark = (ref: Ref | 'all'): void => {
    if (ref === 'all') state.allDirty = true;
    else if (world.drivers.has(kindOf(ref))) state.dirty.add(ref);
    else return;
    timer.wake(gatherMs, pass);
  };
  const preparer = openPreparer({
    drivers: world.drivers,
    clock: world.clock,
    broken: world.broken,
    ready: mark,
    failed(ref, fault) {
      noteFailure(world, state, ref, fault);
      timer.wake(retryMs, pass);
    },
  });
  const loop: Loop = { world, state, preparer };
  const run = async <T>(job: () => Promise<T>): Promise<T> => {
    const result = await queue.run(job);
    if (state.failed.size > 0) timer.wake(retryMs, pass);
    return result;
  };
  const pass = (): void => void run(() => repair(loop)).catch(world.broken);
  const audit = (): Promise<Pass> => run(() => repairAll(loop));
  const settled = (): Promise<Pass> => {
    state.holding = false;
    return audit();
  };
  const hold = (): void => {
    state.holding = true;
    timer.hold(holdMs, () => void (state.holding ? settled() : Promise.resolve()).catch(world.broken));
  };
  const close = (): void => timer.close();
  return { loop, mark, queue, run, audit, settled, hold, close, preparer };
}

/** One job after the other; a failure is its caller's alone. */
function jobQueue() {
  let tail: Promise<unknown> = Promise.resolve();
  return {
    run<T>(job: () => Promise<T>): Promise<T> {
      const next = tail.then(job);
      tail = next.catch(() => undefined);
      return next;
    },
  };
}

/** The sooner of two calls counts: events that keep coming do not put a pass off. */
function wakeTimer(world: World) {
  let next: { readonly at: number; readonly timer: Disposable } | undefined;
  let held: Disposable | undefined;
  let closed = false;
  return {
    wake(ms: number, call: () => void): void {
      const at = world.clock.monotonic() + ms;
      if (closed || (next !== undefined && next.at <= at)) return;
      next?.timer[Symbol.dispose]();
      const timer = world.clock.after(ms, () => {
        next = undefined;
        call();
      });
      next = { at, timer };
    },
    hold(ms: number, call: () => void): void {
      held?.[Symbol.dispose]();
      if (!closed) held = world.clock.after(ms, call);
    },
    close(): void {
      closed = true;
      next?.timer[Symbol.dispose]();
      held?.[Symbol.dispose]();
    },
  };
}

async function repair(loop: Loop): Promise<Pass> {
  const { state } = loop;
  if (state.allDirty) return repairAll(loop);
  const refs = new Set([...state.dirty, ...state.failed.keys()]);
  state.dirty.clear();
  return refs.size === 0 ? { actions: [], faults: [] } : repairing(loop, refs);
}

async function repairAll(loop: Loop): Promise<Pass> {
  const { state } = loop;
  state.allDirty = false;
  state.dirty.clear();
  let { actions, faults } = await repairing(loop, 'all');
  // What a stranger's thing carried nobody knows: with it that is gone too, though it was well when it was looked at.
  let last = actions;
  for (let more = 2; more > 0 && last.some(({ verb, ref }) => verb === 'drop' && !state.failed.has(ref)); more -= 1) {
    ({ actions: last, faults } = await repairing(loop, 'all'));
    actions = [...actions, ...last];
  }
  return { actions, faults };
}

async function repairing(loop: Loop, refs: ReadonlySet<Ref> | 'all'): Promise<Pass> {
  const { world, state } = loop;
  const tried = new Set(state.failed.keys());
  const fresh = freshlyWanted(loop);
  const pass = await lenient(loop, refs).catch((error: unknown) => {
    world.note('error', 'repair', { fault: faultOf(error) });
    return { actions: [], faults: [] };
  });
  for (const { ref, line } of pass.actions) {
    if (state.failed.has(ref) || fresh.has(ref)) continue;
    world.note('info', tried.has(ref) ? 'recovered' : 'repaired', { ref, action: line });
  }
  return pass;
}

/** What a run.ts published or took back since the last pass: making it is no repair. */
function freshlyWanted(loop: Loop): ReadonlySet<Ref> {
  const { state } = loop;
  const published = union(new Map(), state.published);
  const made = [...state.made].filter(([ref]) => published.has(ref) || !state.committed.has(ref));
  return changed(new Map(made), published);
}
