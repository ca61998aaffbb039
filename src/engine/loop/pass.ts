// One pass over the world. A commit's is strict: all of it, verified, or the world as it was. Boot, drift and the way
// back are lenient: what can be made is made, the rest is in failures().
import { apply } from '../apply.ts';
import { type Fault, FaultError } from '../faults.ts';
import { type Action, kindOf, type Ref, type Resource } from '../resource.ts';
import { verify } from '../verify.ts';
import { lookLeniently, lookStrictly, type Looked } from './look.ts';
import type { Preparer } from './prepare.ts';
import {
  changed,
  type Drift,
  type Pass,
  type Resources,
  type State,
  union,
  withoutOrphans,
  type World,
} from './world.ts';

export interface Loop {
  readonly world: World;
  readonly state: State;
  readonly preparer: Preparer;
}

/** What is desired now. */
export const desiredOf = (state: State): Map<Ref, Resource> => union(state.committed, state.published);

/** Steps from the world as it is to what is desired; changes nothing. What cannot be read is in `faults`. */
export async function drift({ world, state }: Loop): Promise<Drift> {
  const desired = desiredOf(state);
  const { attempted } = state;
  const look = { world, made: knownOf(state, desired), attempted, desired, refs: 'all' as const };
  const { actions, left } = await lookLeniently(look);
  const resources = new Map([...world.drivers.keys()].map((kind) => [kind, 0]));
  for (const ref of desired.keys()) resources.set(kindOf(ref), (resources.get(kindOf(ref)) ?? 0) + 1);
  return { actions: actions.filter((action) => !isHeld(state, action)), faults: [...left.values()], resources };
}

interface Target {
  readonly published: State['published'];
  readonly after: Resources;
  readonly planned: Looked;
}

/** Steps from the world as it is to `committed`; changes nothing. */
export async function planChange(loop: Loop, committed: Resources): Promise<Pass> {
  const target = await aim(loop, committed);
  return 'faults' in target ? target : { actions: target.planned.actions, faults: [] };
}

async function aim(loop: Loop, committed: Resources): Promise<Target | Pass> {
  const { world, state } = loop;
  const before = desiredOf(state);
  const published = withoutOrphans(state.published, state.committed, committed);
  const after = union(committed, published);
  try {
    const refs = state.holding ? 'all' : lookAt(loop, before, after);
    const looked = await lookStrictly({
      world,
      made: knownOf(state, before),
      attempted: state.attempted,
      desired: after,
      refs,
    });
    if (looked.faults.length > 0) return { actions: [], faults: looked.faults };
    // What an earlier life left stays until all have published.
    const mine = looked.actions.filter((a) => !isHeld(state, a) || before.has(a.ref));
    return { published, after, planned: { ...looked, actions: mine } };
  } catch (error) {
    if (error instanceof FaultError) return { actions: [], faults: [error.fault] };
    throw error;
  }
}

/** What an earlier life made and nobody desires, as long as it is not known what will be published. */
function isHeld(state: State, action: Action): boolean {
  return state.holding && action.unwanted === true && !state.made.has(action.ref);
}

/** What a change must look at: what it changes, and what was not well before. What takes preparation is left to
 * repair, which prepares it beside the loop. */
function lookAt(loop: Loop, before: Resources, after: Resources): Set<Ref> {
  const refs = changed(before, after);
  for (const ref of loop.state.failed.keys()) {
    if (loop.world.drivers.get(kindOf(ref))?.prepare === undefined) refs.add(ref);
  }
  return refs;
}

/** Needs and claims of what is in the world: as made by this process, or as desired when an earlier one made it. */
function knownOf(state: State, before: Resources): Resources {
  return new Map([...state.attempted, ...before, ...state.made]);
}

/** Strict, up to and with verify. Drops that nobody sees are left for `retire`. */
export async function change(loop: Loop, committed: Resources): Promise<Pass> {
  const { state } = loop;
  const target = await aim(loop, committed);
  if ('faults' in target) return target;
  const { after, planned, published } = target;
  const actions = planned.actions.filter((action) => action.phase === 'switch');
  // Live state is not the revision's, and what had failed before may go on failing: commits elsewhere must be possible.
  const tolerated = new Set(state.failed.keys());
  for (const set of published.values()) for (const ref of set.keys()) tolerated.add(ref);
  for (const action of actions)
    if (!after.has(action.ref) && !state.committed.has(action.ref)) tolerated.add(action.ref);
  const failed = await run(loop, actions, after, { lenient: false, tolerated });
  const hard = [...failed].filter(([ref]) => !tolerated.has(ref)).map(([, fault]) => fault);
  const strict = actions.map((action) => action.ref).filter((ref) => !tolerated.has(ref));
  const faults = hard.length > 0 ? hard : await verify(loop.world.drivers, after, new Set(strict));
  if (faults.length > 0) {
    await goBack(loop, new Set(actions.map((action) => action.ref)));
    return { actions: planned.actions, faults };
  }
  // What was published meanwhile counts.
  state.published = withoutOrphans(state.published, state.committed, committed);
  state.committed = committed;
  conclude(loop, planned.refs, failed);
  return { actions: planned.actions, faults: [] };
}

/** To what is desired, after a change that did not succeed; looks again until there is nothing to do. */
async function goBack(loop: Loop, touched: ReadonlySet<Ref>): Promise<void> {
  for (let tries = 0; tries < 3; tries += 1) {
    const { actions, faults } = await lenient(loop, touched, touched);
    if (actions.length === 0 && faults.length === 0) return;
  }
}

/** Lenient change to `committed`, whatever it takes. */
export async function revert(loop: Loop, committed: Resources): Promise<Pass> {
  const { state } = loop;
  const before = desiredOf(state);
  state.published = withoutOrphans(state.published, state.committed, committed);
  state.committed = committed;
  const refs = changed(before, desiredOf(state));
  for (const ref of state.failed.keys()) refs.add(ref);
  const first = await lenient(loop, refs);
  return first.faults.length === 0 ? first : lenient(loop, refs);
}

/** Drops what is out of use. What fails is in failures(). */
export async function retire(loop: Loop, actions: readonly Action[]): Promise<void> {
  const retiring = actions.filter((action) => action.phase === 'retire');
  if (retiring.length > 0) await lenient(loop, new Set(retiring.map((action) => action.ref)));
}

/** Makes of what is desired what can be made. `mine` goes if nobody desires it, whatever else is held. */
export async function lenient(loop: Loop, refs: ReadonlySet<Ref> | 'all', mine?: ReadonlySet<Ref>): Promise<Pass> {
  const { world, state } = loop;
  const desired = desiredOf(state);
  const looked = await lookLeniently({
    world,
    made: knownOf(state, desired),
    attempted: state.attempted,
    desired,
    refs,
  });
  const left = new Map(looked.left);
  const actions = looked.actions.filter((action) => {
    if (action.phase === 'prepare') return false;
    if (action.verb === 'drop') return !isHeld(state, action) || mine?.has(action.ref) === true;
    const resource = desired.get(action.ref);
    const fault = resource === undefined ? undefined : loop.preparer.gate(resource);
    if (fault !== undefined) left.set(action.ref, fault);
    return fault === undefined;
  });
  const failed = await run(loop, actions, desired, { lenient: true, failed: left });
  const all = new Map([...left, ...failed]);
  // Where all was read, what is neither there nor desired is well.
  conclude(loop, refs === 'all' ? new Set([...looked.refs, ...state.failed.keys()]) : looked.refs, all);
  return { actions, faults: [...all.values()] };
}

async function run(
  loop: Loop,
  actions: readonly Action[],
  desired: Resources,
  how: { lenient: boolean; tolerated?: Set<Ref>; failed?: ReadonlyMap<Ref, Fault> },
): Promise<ReadonlyMap<Ref, Fault>> {
  const { world, state } = loop;
  const note = ({ verb, ref }: Action, outcome: 'done' | 'failed'): void => {
    const resource = desired.get(ref);
    if (outcome === 'done') {
      state.attempted.delete(ref);
      if (verb === 'drop') state.made.delete(ref);
      else if (resource !== undefined) state.made.set(ref, resource);
    } else if (verb === 'put' && resource !== undefined) state.attempted.set(ref, resource);
  };
  return apply({ actions, desired, drivers: world.drivers, log: world.actionLog, note, ...how });
}

/** Of what was looked at, what did not fail is well. */
function conclude(loop: Loop, refs: ReadonlySet<Ref>, failed: ReadonlyMap<Ref, Fault>): void {
  for (const ref of refs) if (!failed.has(ref)) loop.state.failed.delete(ref);
  for (const [ref, fault] of failed) noteFailure(loop.world, loop.state, ref, fault);
}

/** Keeps a failure, with the time at which it began; says so where it is new. */
export function noteFailure(world: World, state: State, ref: Ref, fault: Fault): void {
  const known = state.failed.get(ref);
  if (known?.fault.why === fault.why && known.fault.code === fault.code) return;
  // That it is tried again does not hide why it failed.
  if (known !== undefined && fault.code === 'busy') return;
  state.failed.set(ref, { ref, fault, since: known?.since ?? world.clock.now() });
  if (fault.code !== 'busy') world.note('warn', 'failed', { ref, fault });
}
