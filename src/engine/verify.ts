// Reads the world back: what was put must be as its spec says, what was dropped must be gone.
import type { Fault } from './faults.ts';
import type { AnyDriver, Ref, Resource } from './resource.ts';
import { kindOf } from './resource.ts';

type Drivers = ReadonlyMap<string, AnyDriver>;

/** Actual state of the refs, each kind asked once. */
export async function readRefs(drivers: Drivers, refs: Iterable<Ref>): Promise<Map<Ref, unknown>> {
  const byKind = new Map<string, Ref[]>();
  for (const ref of refs) {
    const list = byKind.get(kindOf(ref));
    if (list === undefined) byKind.set(kindOf(ref), [ref]);
    else list.push(ref);
  }
  const parts = await Promise.all(
    [...byKind].map(([kind, list]) => {
      const driver = drivers.get(kind);
      if (driver === undefined) throw new Error(`no driver for kind ${kind}`);
      return driver.read(list);
    }),
  );
  return new Map(parts.flatMap((part) => [...part]));
}

/** All that this instance made and the world still has. */
export async function readAll(drivers: Drivers): Promise<Map<Ref, unknown>> {
  const parts = await Promise.all([...drivers.values()].map((driver) => driver.read('all')));
  return new Map(parts.flatMap((part) => [...part]));
}

/** Faults 'not-verified' of the refs that do not show what was applied. */
export async function verify(
  drivers: Drivers,
  desired: ReadonlyMap<Ref, Resource>,
  refs: ReadonlySet<Ref>,
): Promise<readonly Fault[]> {
  const actual = await readRefs(drivers, refs);
  const faults: Fault[] = [];
  for (const ref of refs) {
    const why = mismatch(drivers, desired.get(ref), actual.get(ref));
    if (why !== undefined) faults.push({ code: 'not-verified', what: ref, why, retry: true });
  }
  return faults;
}

function mismatch(drivers: Drivers, wanted: Resource | undefined, actual: unknown): string | undefined {
  if (wanted === undefined) return actual === undefined ? undefined : 'still there after it was dropped';
  if (actual === undefined) return 'not there after it was put';
  const diff = drivers.get(kindOf(wanted.ref))?.diff(wanted.spec, actual);
  return diff === 'same' ? undefined : `reads back different: ${JSON.stringify(actual)}`;
}
