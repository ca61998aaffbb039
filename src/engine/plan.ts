// From actual to desired as a list of steps that a person can read, made before the first one runs. Pure: the same
// function serves commit, undo, boot after a crash and drift.
import type { Fault } from './faults.ts';
import { byLevel, dependents, levels } from './order.ts';
import type { Action, AnyDriver, Ref, Resource } from './resource.ts';
import { kindOf } from './resource.ts';

/** What plan needs to know of a kind. */
export type PlanDriver = Pick<AnyDriver, 'diff' | 'claims' | 'held' | 'dropPhase'> & { readonly prepare?: unknown };

export interface PlanInput {
  readonly desired: ReadonlyMap<Ref, Resource>;
  /** Everything that is desired, where `desired` is only the part that is looked at. */
  readonly all?: ReadonlyMap<Ref, Resource>;
  readonly actual: ReadonlyMap<Ref, unknown>;
  /** Resources that were desired before: they tell the needs and claims of what is to be dropped. */
  readonly previous?: ReadonlyMap<Ref, Resource>;
  /** In the order in which kinds build on each other. */
  readonly drivers: ReadonlyMap<string, PlanDriver>;
}

export interface Plan {
  readonly actions: readonly Action[];
  /** Not empty: two desired resources want the same thing, or a kind has no driver. Nothing may run. */
  readonly faults: readonly Fault[];
}

type Change = 'new' | 'update' | 'replace';

interface Work {
  readonly input: PlanInput;
  readonly change: Map<Ref, Change>;
  readonly drops: Set<Ref>;
  /** Who holds a claim in the world now. */
  readonly holders: Map<string, Ref>;
}

/** Orders puts by needs and drops in reverse; whoever holds a claim that a put needs is dropped just before it. */
export function plan(input: PlanInput): Plan {
  const faults = conflicts(input);
  if (faults.length > 0) return { actions: [], faults };
  const work = changes(input);
  spread(work);
  return { actions: [...prepares(work), ...steps(work)], faults: [] };
}

function driverOf(input: PlanInput, ref: Ref): PlanDriver {
  const driver = input.drivers.get(kindOf(ref));
  if (driver === undefined) throw new Error(`no driver for ${ref}`);
  return driver;
}

function conflicts(input: PlanInput): Fault[] {
  const faults: Fault[] = [];
  const claimed = new Map<string, Ref>();
  for (const [ref, resource] of input.all ?? input.desired) {
    for (const claim of driverOf(input, ref).claims?.(resource.spec) ?? []) {
      const other = claimed.get(claim);
      if (other === undefined) claimed.set(claim, ref);
      else faults.push({ code: 'in-use', what: ref, why: `${claim} is wanted by ${other} too`, retry: false });
    }
  }
  return faults;
}

function changes(input: PlanInput): Work {
  const change = new Map<Ref, Change>();
  const drops = new Set<Ref>();
  const holders = new Map<string, Ref>();
  for (const [ref, resource] of input.desired) {
    const actual = input.actual.get(ref);
    if (actual === undefined) {
      change.set(ref, 'new');
      continue;
    }
    const diff = driverOf(input, ref).diff(resource.spec, actual);
    if (diff !== 'same') change.set(ref, diff);
  }
  for (const [ref, actual] of input.actual) {
    if (!input.desired.has(ref)) drops.add(ref);
    const driver = driverOf(input, ref);
    const before = input.previous?.get(ref);
    const held = driver.held?.(actual) ?? (before === undefined ? [] : (driver.claims?.(before.spec) ?? []));
    for (const claim of held) holders.set(claim, ref);
  }
  return { input, change, drops, holders };
}

/** What stands on a replaced resource goes with it, and is put again. */
function spread(work: Work): void {
  const { desired, actual } = work.input;
  const users = dependents(desired);
  const queue = [...work.change].filter(([, change]) => change === 'replace').map(([ref]) => ref);
  for (let ref = queue.pop(); ref !== undefined; ref = queue.pop()) {
    for (const user of users.get(ref) ?? []) {
      if (work.change.has(user)) continue;
      work.change.set(user, actual.has(user) ? 'update' : 'new');
      queue.push(user);
    }
  }
}

function prepares(work: Work): Action[] {
  return sortedPuts(work)
    .filter((ref) => driverOf(work.input, ref).prepare !== undefined)
    .map((ref) => ({ phase: 'prepare', verb: 'put', ref, line: `prepare ${ref}` }));
}

function sortedPuts(work: Work): Ref[] {
  const order = byLevel(levels(work.input.desired), [...work.input.drivers.keys()]);
  return [...work.change.keys()].toSorted(order);
}

function steps(work: Work): Action[] {
  const known = new Map([...(work.input.previous ?? []), ...work.input.desired]);
  const order = byLevel(levels(known), [...work.input.drivers.keys()]);
  const users = dependents(known);
  const out: Action[] = [];
  const gone = new Set<Ref>();

  const drop = (ref: Ref, why: string): void => {
    if (gone.has(ref) || !work.input.actual.has(ref)) return;
    gone.add(ref);
    for (const user of (users.get(ref) ?? []).toSorted(order).toReversed()) {
      if (work.drops.has(user)) drop(user, '');
    }
    const phase = driverOf(work.input, ref).dropPhase ?? 'switch';
    out.push({ phase, verb: 'drop', ref, line: `drop ${ref}${why}`, ...(why === '' ? { unwanted: true } : {}) });
  };

  for (const ref of sortedPuts(work)) {
    const change = work.change.get(ref);
    if (change === 'replace') drop(ref, ' (replace)');
    for (const claim of driverOf(work.input, ref).claims?.(work.input.desired.get(ref)?.spec) ?? []) {
      const holder = work.holders.get(claim);
      if (holder !== undefined && holder !== ref) drop(holder, ` (gives ${claim} to ${ref})`);
    }
    out.push({ phase: 'switch', verb: 'put', ref, line: `put ${ref}${change === 'new' ? '' : ` (${change})`}` });
  }
  for (const ref of [...work.drops].toSorted(order).toReversed()) drop(ref, '');
  for (const ref of lostAgain(work, out, gone, users).toSorted(order)) {
    out.push({ phase: 'switch', verb: 'put', ref, line: `put ${ref} (again)` });
  }
  return out.filter((a) => a.phase === 'switch').concat(out.filter((a) => a.phase === 'retire'));
}

/** Desired resources that a drop took away, themselves or by what they stand on, after or without a put of their own.
 * */
function lostAgain(work: Work, actions: readonly Action[], gone: ReadonlySet<Ref>, users: Map<Ref, Ref[]>): Ref[] {
  const lastPut = new Map<Ref, number>();
  const lastDrop = new Map<Ref, number>();
  for (const [i, action] of actions.entries()) (action.verb === 'put' ? lastPut : lastDrop).set(action.ref, i);
  const lost = new Map<Ref, number>();
  const mark = (ref: Ref, at: number): void => {
    if ((lost.get(ref) ?? -1) >= at) return;
    lost.set(ref, at);
    for (const user of users.get(ref) ?? []) mark(user, at);
  };
  for (const ref of gone) if (work.input.desired.has(ref)) mark(ref, lastDrop.get(ref) ?? 0);
  return [...lost].filter(([ref, at]) => work.input.desired.has(ref) && (lastPut.get(ref) ?? -1) < at).map(([r]) => r);
}
