// From actual to desired as a list of steps that a person can read, made before the first one runs. Pure: the same
// function serves commit, undo, boot after a crash and drift.
import type { Fault } from './faults.ts';
import { byLevel, dependents, levels } from './loop/order.ts';
import type { Action, AnyDriver, Ref, Resource } from './resource.ts';
import { kindOf } from './resource.ts';

/** What plan needs to know of a kind. */
export type PlanDriver = Pick<AnyDriver, 'diff' | 'claims' | 'held' | 'dropPhase'> & { readonly prepare?: unknown };

export interface PlanInput {
  readonly desired: ReadonlyMap<Ref, Resource>;
  /** Everything that is desired, where `desired` is only the part that is looked at. */
  readonly all?: ReadonlyMap<Ref, Resource>;
  readonly actual: ReadonlyMap<Ref, unknown>;
  /** Resources as they were made: they tell the needs and claims of what is to be dropped. */
  readonly previous?: ReadonlyMap<Ref, Resource>;
  /** Resources whose put failed: what they claim they may hold. */
  readonly attempted?: ReadonlyMap<Ref, Resource>;
  /** In the order in which kinds build on each other. A kind that has none throws. */
  readonly drivers: ReadonlyMap<string, PlanDriver>;
}

export interface Plan {
  readonly actions: readonly Action[];
  /** Not empty: two desired resources want the same thing, of which the later in `all` is named. Nothing may run. */
  readonly faults: readonly Fault[];
}

type Change = 'new' | 'update' | 'replace' | 'again';

/** The world as it will be after the steps so far. */
interface Walk {
  readonly input: PlanInput;
  readonly order: (a: Ref, b: Ref) => number;
  /** Desired resources by need, and those as they were made. */
  readonly users: ReadonlyMap<Ref, readonly Ref[]>;
  readonly formerUsers: ReadonlyMap<Ref, readonly Ref[]>;
  /** What is still to be put. */
  readonly pending: Map<Ref, Change>;
  readonly put: Set<Ref>;
  readonly dropped: Set<Ref>;
  /** Of these the last put took something away. */
  readonly lost: Set<Ref>;
  /** Who holds a claim, or may, and what each holds. */
  readonly holders: Map<string, Set<Ref>>;
  readonly held: Map<Ref, readonly string[]>;
  readonly actions: Action[];
}

/** Orders puts by needs and drops in reverse. What nobody desires goes after the puts, unless it holds a claim that a
 * put needs: then just before it. So does a desired one that is to give its claim up; it is put again in its turn. */
export function plan(input: PlanInput): Plan {
  const faults = conflicts(input);
  if (faults.length > 0) return { actions: [], faults };
  const walk = begin(input);
  putAll(walk);
  for (const ref of [...input.actual.keys()].toSorted(walk.order).toReversed()) {
    if (!input.desired.has(ref)) drop(walk, ref, undefined);
  }
  // What stood on something that nobody desires any more.
  putAll(walk);
  const steps = walk.actions
    .filter((a) => a.phase === 'switch')
    .concat(walk.actions.filter((a) => a.phase === 'retire'));
  return { actions: [...prepares(input, steps), ...steps], faults: [] };
}

function driverOf(input: PlanInput, ref: Ref): PlanDriver {
  const driver = input.drivers.get(kindOf(ref));
  if (driver === undefined) throw new Error(`no driver for ${ref}`);
  return driver;
}

function claimsOf(input: PlanInput, resource: Resource | undefined): readonly string[] {
  return resource === undefined ? [] : (driverOf(input, resource.ref).claims?.(resource.spec) ?? []);
}

function conflicts(input: PlanInput): Fault[] {
  const faults: Fault[] = [];
  const claimed = new Map<string, Ref>();
  for (const [ref, resource] of input.all ?? input.desired) {
    for (const claim of claimsOf(input, resource)) {
      const other = claimed.get(claim);
      if (other === undefined) claimed.set(claim, ref);
      else faults.push({ code: 'in-use', what: ref, why: `${claim} is wanted by ${other} too`, retry: false });
    }
  }
  return faults;
}

function begin(input: PlanInput): Walk {
  const pending = new Map<Ref, Change>();
  for (const [ref, resource] of input.desired) {
    const actual = input.actual.get(ref);
    const diff = actual === undefined ? 'new' : driverOf(input, ref).diff(resource.spec, actual);
    if (diff !== 'same') pending.set(ref, diff);
  }
  const previous = input.previous ?? new Map<Ref, Resource>();
  const level = levels(new Map([...previous, ...input.desired]));
  const walk: Walk = {
    input,
    order: byLevel(level, [...input.drivers.keys()]),
    users: dependents(input.desired),
    formerUsers: both(dependents(previous), dependents(input.attempted ?? new Map())),
    pending,
    put: new Set(),
    dropped: new Set(),
    lost: new Set(),
    holders: new Map(),
    held: new Map(),
    actions: [],
  };
  for (const [ref, actual] of input.actual) {
    const made = previous.get(ref) ?? (pending.has(ref) ? undefined : input.desired.get(ref));
    const held = driverOf(input, ref).held?.(actual);
    hold(walk, ref, held ?? [...claimsOf(input, made), ...claimsOf(input, input.attempted?.get(ref))]);
  }
  return walk;
}

function both(a: Map<Ref, Ref[]>, b: Map<Ref, Ref[]>): Map<Ref, Ref[]> {
  for (const [ref, users] of b) a.set(ref, [...new Set([...(a.get(ref) ?? []), ...users])]);
  return a;
}

function putAll(walk: Walk): void {
  const sorted = [...walk.input.desired.keys()].toSorted(walk.order);
  const place = new Map(sorted.map((ref, i) => [ref, i]));
  for (let at = 0; at < sorted.length && walk.pending.size > 0; at += 1) {
    const ref = sorted[at];
    const change = ref === undefined ? undefined : walk.pending.get(ref);
    if (ref === undefined || change === undefined) continue;
    walk.lost.clear();
    put(walk, ref, change);
    // What gave a claim up after its own turn is put again, with all that stands on it.
    for (const lost of walk.lost) at = Math.min(at, (place.get(lost) ?? at) - 1);
  }
}

function put(walk: Walk, ref: Ref, change: Change): void {
  const { input, holders } = walk;
  if (change === 'replace') drop(walk, ref, 'replace');
  const claims = claimsOf(input, input.desired.get(ref));
  for (const claim of claims) {
    for (const holder of holders.get(claim) ?? []) {
      if (holder !== ref) drop(walk, holder, `gives ${claim} to ${ref}`);
    }
  }
  release(walk, ref);
  hold(walk, ref, claims);
  walk.pending.delete(ref);
  walk.put.add(ref);
  walk.actions.push({ phase: 'switch', verb: 'put', ref, line: `put ${ref}${change === 'new' ? '' : ` (${change})`}` });
}

function hold(walk: Walk, ref: Ref, claims: readonly string[]): void {
  for (const claim of claims) walk.holders.set(claim, (walk.holders.get(claim) ?? new Set()).add(ref));
  walk.held.set(ref, claims);
}

function release(walk: Walk, ref: Ref): void {
  for (const claim of walk.held.get(ref) ?? []) walk.holders.get(claim)?.delete(ref);
  walk.held.delete(ref);
}

/** Drops it, and before it what stands on it and is not desired. Without `why` it is not desired itself. */
function drop(walk: Walk, ref: Ref, why: string | undefined): void {
  const { input, dropped } = walk;
  if (dropped.has(ref) || !input.actual.has(ref)) return;
  dropped.add(ref);
  const users = [...(walk.users.get(ref) ?? []), ...(walk.formerUsers.get(ref) ?? [])];
  for (const user of users.toSorted(walk.order).toReversed()) {
    if (!input.desired.has(user)) drop(walk, user, why === undefined ? undefined : `stands on ${ref}`);
  }
  const phase = why === undefined ? (driverOf(input, ref).dropPhase ?? 'switch') : 'switch';
  const line = why === undefined ? `drop ${ref}` : `drop ${ref} (${why})`;
  const unwanted = why === undefined ? { unwanted: true as const } : {};
  walk.actions.push({ phase, verb: 'drop', ref, line, ...unwanted });
  release(walk, ref);
  lose(walk, ref);
}

/** It went, and may have taken along what stands on it: the desired part is put again, in its turn. */
function lose(walk: Walk, ref: Ref, seen = new Set<Ref>()): void {
  const { input, pending, put: done, lost } = walk;
  if (seen.has(ref)) return;
  seen.add(ref);
  const wanted = input.desired.has(ref);
  if (wanted) {
    if (!pending.has(ref)) pending.set(ref, 'again');
    done.delete(ref);
    lost.add(ref);
    for (const user of walk.users.get(ref) ?? []) lose(walk, user, seen);
  }
  for (const user of walk.formerUsers.get(ref) ?? []) {
    const now = input.desired.get(user);
    // One put in this plan has left it; one that needs what nobody desires could not stand.
    if (now === undefined || done.has(user) || (!wanted && now.needs.includes(ref))) continue;
    lose(walk, user, seen);
  }
}

function prepares(input: PlanInput, steps: readonly Action[]): Action[] {
  const refs = new Set(steps.filter((step) => step.verb === 'put').map((step) => step.ref));
  return [...refs]
    .filter((ref) => driverOf(input, ref).prepare !== undefined)
    .map((ref) => ({ phase: 'prepare', verb: 'put', ref, line: `prepare ${ref}` }));
}
