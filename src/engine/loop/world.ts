// What the loop works on: the drivers, what is desired, and what it knows of the world.
import type { Clock } from '../../lib/clock.ts';
import { same } from '../../lib/compare/same.ts';
import type { Fault } from '../faults.ts';
import type { Action, AnyDriver, Ref, Resource } from '../resource.ts';
import type { Failure } from '../slice.ts';

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

/** What is not as desired: the steps that would make it so, and how many resources there should be, by kind. */
export interface Drift extends Pass {
  readonly resources: ReadonlyMap<string, number>;
}

export interface State {
  committed: Resources;
  published: ReadonlyMap<string, Resources>;
  readonly failed: Map<Ref, Failure>;
  readonly dirty: Set<Ref>;
  /** Events were lost: everything is dirty. */
  allDirty: boolean;
  /** What was last put, by ref: the needs and claims of what is to go. */
  readonly made: Map<Ref, Resource>;
  /** What was last put and failed: it may be there all the same. */
  readonly attempted: Map<Ref, Resource>;
  /** What nobody desires stays: what run.ts files will publish is not known yet. */
  holding: boolean;
}

export function emptyState(): State {
  return {
    committed: new Map(),
    published: new Map(),
    failed: new Map(),
    dirty: new Set(),
    allDirty: false,
    made: new Map(),
    attempted: new Map(),
    holding: false,
  };
}

/** What is desired in all: a published resource takes the place of a committed one of the same ref. */
export function union(committed: Resources, published: ReadonlyMap<string, Resources>): Map<Ref, Resource> {
  const all = new Map(committed);
  for (const set of published.values()) for (const [ref, resource] of set) all.set(ref, resource);
  return all;
}

/** Refs whose resource is in only one of the two, or differs. */
export function changed(before: Resources, after: Resources): Set<Ref> {
  const refs = new Set<Ref>();
  for (const [ref, resource] of after) {
    const old = before.get(ref);
    if (old === undefined || !same(old.spec, resource.spec)) refs.add(ref);
  }
  for (const ref of before.keys()) if (!after.has(ref)) refs.add(ref);
  return refs;
}

/** What is published, without what stands on a resource that `after` no longer has: its owner will publish anew. */
export function withoutOrphans(
  published: ReadonlyMap<string, Resources>,
  before: Resources,
  after: Resources,
): ReadonlyMap<string, Resources> {
  const gone = new Set([...before.keys()].filter((ref) => !after.has(ref)));
  for (const set of published.values()) for (const ref of set.keys()) gone.delete(ref);
  let kept = published;
  for (let size = -1; size !== gone.size;) {
    size = gone.size;
    kept = new Map(
      [...kept].map(([owner, set]) => {
        const lost = [...set].filter(([, resource]) => resource.needs.some((need) => gone.has(need)));
        for (const [ref] of lost) gone.add(ref);
        return [owner, lost.length === 0 ? set : new Map([...set].filter(([ref]) => !gone.has(ref)))];
      }),
    );
  }
  return kept;
}
