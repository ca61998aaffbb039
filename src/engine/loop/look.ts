// Which part of the world a pass reads, and the plan for it.
import type { Fault } from '../faults.ts';
import { type Plan, plan } from '../plan.ts';
import { kindOf, type Ref } from '../resource.ts';
import { readAll, readRefs, type Unreadable } from '../verify.ts';
import { dependents } from './order.ts';
import type { Resources, World } from './world.ts';

export interface Looked extends Plan {
  /** What was read, or would have been there to read. */
  readonly refs: ReadonlySet<Ref>;
}

export interface LookInput {
  readonly world: World;
  /** What was put before, and needs and claims what it says. */
  readonly made: Resources;
  readonly attempted: Resources;
  readonly desired: Resources;
  readonly refs: ReadonlySet<Ref> | 'all';
}

/** Steps for the refs and all that stands on them. A kind that cannot be read throws. */
export async function lookStrictly(input: LookInput): Promise<Looked> {
  const { actual, refs } = await readFor(input, undefined);
  return { ...planFor(input, input.desired, actual, refs), refs };
}

/** As `lookStrictly`, but what cannot be read, or wants what another one has, is left out and in `left`. */
export async function lookLeniently(input: LookInput): Promise<Looked & { readonly left: ReadonlyMap<Ref, Fault> }> {
  const unreadable: Unreadable = new Map();
  const { actual, refs } = await readFor(input, unreadable);
  const left = new Map<Ref, Fault>();
  for (const ref of input.desired.keys()) {
    const fault = unreadable.get(kindOf(ref));
    if (fault !== undefined && refs.has(ref)) left.set(ref, { ...fault, what: ref });
  }
  for (const ref of refs) if (unreadable.has(kindOf(ref))) refs.delete(ref);
  const planned = planFor(input, input.desired, actual, refs);
  if (planned.faults.length === 0) return { ...planned, refs, left };
  for (const fault of planned.faults) left.set(fault.what as Ref, fault);
  const rest = new Map([...input.desired].filter(([ref]) => !left.has(ref)));
  return { ...planFor(input, rest, actual, refs), refs, left };
}

async function readFor(input: LookInput, unreadable: Unreadable | undefined) {
  const { world, made, desired, refs } = input;
  if (refs !== 'all') {
    const all = widen(made, desired, refs);
    return { actual: await readRefs(world.drivers, all, unreadable), refs: all };
  }
  const actual = await readAll(world.drivers, unreadable);
  return { actual, refs: new Set([...actual.keys(), ...desired.keys()]) };
}

function planFor(input: LookInput, desired: Resources, actual: Map<Ref, unknown>, refs: ReadonlySet<Ref>): Plan {
  const wanted = refs.size >= desired.size ? filter(desired, refs) : pick(desired, refs);
  const seen = new Map([...actual].filter(([ref]) => refs.has(ref)));
  const previous = pick(input.made, seen.keys());
  const attempted = pick(input.attempted, seen.keys());
  return plan({ desired: wanted, all: desired, actual: seen, previous, attempted, drivers: input.world.drivers });
}

function filter(from: Resources, refs: ReadonlySet<Ref>): Resources {
  return new Map([...from].filter(([ref]) => refs.has(ref)));
}

function pick(from: Resources, refs: Iterable<Ref>): Resources {
  return new Map(
    [...refs].flatMap((ref) => {
      const resource = from.get(ref);
      return resource === undefined ? [] : [[ref, resource] as const];
    }),
  );
}

/** The refs and everything that stands on them: a replace below takes what is above. */
function widen(made: Resources, desired: Resources, refs: ReadonlySet<Ref>): Set<Ref> {
  const graphs = [dependents(made), dependents(desired)];
  const all = new Set<Ref>();
  const queue = [...refs];
  for (let ref = queue.pop(); ref !== undefined; ref = queue.pop()) {
    if (all.has(ref)) continue;
    all.add(ref);
    for (const users of graphs) queue.push(...(users.get(ref) ?? []));
  }
  return all;
}
