// The order that needs give: a resource stands one level above the highest that it needs.
import type { Ref, Resource } from '../resource.ts';
import { kindOf } from '../resource.ts';

/** Level of each resource. A need that is not in the map is taken as there already. A cycle throws. */
export function levels(resources: ReadonlyMap<Ref, Resource>): Map<Ref, number> {
  const done = new Map<Ref, number>();
  const open = new Set<Ref>();
  const visit = (ref: Ref): number => {
    const known = done.get(ref);
    if (known !== undefined) return known;
    if (open.has(ref)) throw new Error(`${ref} needs itself, by way of ${[...open].join(' ')}`);
    open.add(ref);
    let level = 0;
    for (const need of resources.get(ref)?.needs ?? []) {
      if (resources.has(need)) level = Math.max(level, visit(need) + 1);
    }
    open.delete(ref);
    done.set(ref, level);
    return level;
  };
  for (const ref of resources.keys()) visit(ref);
  return done;
}

/** Who needs each ref directly. */
export function dependents(resources: ReadonlyMap<Ref, Resource>): Map<Ref, Ref[]> {
  const users = new Map<Ref, Ref[]>();
  for (const [ref, resource] of resources) {
    for (const need of resource.needs) {
      const list = users.get(need);
      if (list === undefined) users.set(need, [ref]);
      else list.push(ref);
    }
  }
  return users;
}

/** Compares refs by level, then by the order of kinds, then by name: the same input gives the same plan. */
export function byLevel(level: ReadonlyMap<Ref, number>, kinds: readonly string[]): (a: Ref, b: Ref) => number {
  const rank = new Map(kinds.map((kind, i) => [kind, i]));
  const rankOf = (ref: Ref): number => rank.get(kindOf(ref)) ?? kinds.length;
  return (a, b) => (level.get(a) ?? 0) - (level.get(b) ?? 0) || rankOf(a) - rankOf(b) || (a < b ? -1 : a > b ? 1 : 0);
}
