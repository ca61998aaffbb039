// Reads the world back: what was put must be as its spec says, what was dropped must be gone.
import { type Fault, faultOf } from './faults.ts';
import type { AnyDriver, Ref, Resource } from './resource.ts';
import { kindOf } from './resource.ts';

type Drivers = ReadonlyMap<string, AnyDriver>;

/** Kinds that could not be read, and why. */
export type Unreadable = Map<string, Fault>;

/** Actual state of the refs, each kind asked once. A kind that cannot be read throws, or goes into `unreadable`. */
export function readRefs(drivers: Drivers, refs: Iterable<Ref>, unreadable?: Unreadable): Promise<Map<Ref, unknown>> {
  const byKind = new Map<string, Ref[]>();
  for (const ref of refs) {
    const list = byKind.get(kindOf(ref));
    if (list === undefined) byKind.set(kindOf(ref), [ref]);
    else list.push(ref);
  }
  return readKinds(drivers, [...byKind], unreadable);
}

/** All that this instance made and the world still has. What cannot be read: as in `readRefs`. */
export function readAll(drivers: Drivers, unreadable?: Unreadable): Promise<Map<Ref, unknown>> {
  return readKinds(
    drivers,
    [...drivers.keys()].map((kind) => [kind, 'all'] as const),
    unreadable,
  );
}

async function readKinds(
  drivers: Drivers,
  kinds: readonly (readonly [string, 'all' | readonly Ref[]])[],
  unreadable: Unreadable | undefined,
): Promise<Map<Ref, unknown>> {
  const all = new Map<Ref, unknown>();
  const read = async ([kind, refs]: (typeof kinds)[number]): Promise<ReadonlyMap<Ref, unknown>> => {
    const driver = drivers.get(kind);
    if (driver === undefined) throw new Error(`no driver for kind ${kind}`);
    try {
      return await driver.read(refs);
    } catch (error) {
      if (unreadable === undefined) throw error;
      unreadable.set(kind, faultOf(error));
      return new Map();
    }
  };
  for (const part of await Promise.all(kinds.map(read))) for (const [ref, actual] of part) all.set(ref, actual);
  return all;
}

/** Faults 'not-verified' of the refs that do not show what was applied. */
export async function verify(
  drivers: Drivers,
  desired: ReadonlyMap<Ref, Resource>,
  refs: ReadonlySet<Ref>,
): Promise<readonly Fault[]> {
  const unreadable: Unreadable = new Map();
  const actual = await readRefs(drivers, refs, unreadable);
  const faults: Fault[] = [...unreadable.values()];
  for (const ref of refs) {
    if (unreadable.has(kindOf(ref))) continue;
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
