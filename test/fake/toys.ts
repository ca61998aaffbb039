// A world of toys: things that stand on each other and claim what exists once. It refuses what a real one would, so
// that a plan in the wrong order does not get through.
import { FaultError } from '../../src/engine/faults.ts';
import type { AnyDriver, Driver, Ref, Resource } from '../../src/engine/resource.ts';
import { kindOf } from '../../src/engine/resource.ts';

export interface ToySpec {
  /** May change in place. */
  readonly value: number;
  /** Cannot change in place. */
  readonly body: number;
  readonly claims: readonly string[];
  /** What it stands on in the world: it goes when that goes. */
  readonly stands: readonly Ref[];
}

export interface ToyWorld {
  readonly things: Map<Ref, ToySpec>;
  readonly drivers: ReadonlyMap<string, AnyDriver>;
  /** Each step that was asked for: "put x/a", "drop x/a". */
  readonly steps: string[];
  /** What a plan in the right order would not have done. */
  readonly wrong: string[];
  /** The n-th step from now (1: the next) fails; `half`: it has done its work all the same. */
  failStep(n: number, half?: boolean): void;
  /** All steps of a thing fail until it is called with undefined. */
  failThing(ref: Ref | undefined): void;
}

/** Kinds x and y; of z a drop is seen by nobody. `tells`: the world says who holds a claim. */
export function toyWorld(tells = false): ToyWorld {
  const things = new Map<Ref, ToySpec>();
  const steps: string[] = [];
  const wrong: string[] = [];
  const failing = new Map<number, boolean>();
  let broken: Ref | undefined;
  const step = (verb: string, ref: Ref, work: () => void): void => {
    steps.push(`${verb} ${ref}`);
    const half = failing.get(steps.length);
    if (half === true) work();
    if (half !== undefined || ref === broken) throw new FaultError('refused', ref, 'the toy fails', true);
    work();
  };
  const remove = (ref: Ref): void => {
    things.delete(ref);
    for (const [other, spec] of things) if (spec.stands.includes(ref)) remove(other);
  };
  const put = (ref: Ref, spec: ToySpec): void => {
    const before = things.get(ref);
    if (before !== undefined && before.body !== spec.body) wrong.push(`${ref} is replaced in place`);
    for (const need of spec.stands) {
      if (!things.has(need)) throw new FaultError('not-found', ref, `${need} is not there`);
    }
    for (const [other, held] of things) {
      const claim = other === ref ? undefined : held.claims.find((each) => spec.claims.includes(each));
      if (claim !== undefined) throw new FaultError('in-use', ref, `${other} holds ${claim}`);
    }
    things.set(ref, spec);
  };
  const driver = (kind: string): Driver<ToySpec, ToySpec> => ({
    kind,
    read: async (refs) =>
      new Map([...things].filter(([ref]) => (refs === 'all' ? kindOf(ref) === kind : refs.includes(ref)))),
    diff: (spec, actual) =>
      spec.body !== actual.body ? 'replace' : JSON.stringify(spec) === JSON.stringify(actual) ? 'same' : 'update',
    claims: (spec) => spec.claims,
    ...(tells ? { held: (actual: ToySpec) => actual.claims } : {}),
    put: async (batch) => {
      for (const [ref, spec] of batch) step('put', ref, () => put(ref, spec));
    },
    drop: async (refs) => {
      for (const ref of refs) step('drop', ref, () => remove(ref));
    },
    ...(kind === 'z' ? { dropPhase: 'retire' as const } : {}),
  });
  return {
    things,
    drivers: new Map(['x', 'y', 'z'].map((kind) => [kind, driver(kind)])),
    steps,
    wrong,
    failStep: (n, half = false) => void failing.set(steps.length + n, half),
    failThing: (ref) => void (broken = ref),
  };
}

/** A toy as a resource: it needs what it stands on. */
export function toy(ref: Ref, spec: Partial<ToySpec> = {}): Resource<ToySpec> {
  const full = { value: 0, body: 0, claims: [], stands: [], ...spec };
  return { ref, owner: 'toys', spec: full, needs: full.stands };
}

export function toys(...list: readonly Resource<ToySpec>[]): ReadonlyMap<Ref, Resource<ToySpec>> {
  return new Map(list.map((each) => [each.ref, each]));
}
