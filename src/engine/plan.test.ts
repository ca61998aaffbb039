// Toys that stand on each other and claim things: from any to any, whatever fails on the way.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { fakeClock } from '../../test/fake/clock.ts';
import { toy, toys, type ToySpec, type ToyWorld, toyWorld } from '../../test/fake/toys.ts';
import { apply } from './apply.ts';
import { openReconciler, type Reconciler } from './loop/reconcile.ts';
import { type Plan, plan } from './plan.ts';
import type { Ref, Resource } from './resource.ts';
import { readAll, verify } from './verify.ts';

type Toys = ReadonlyMap<Ref, Resource<ToySpec>>;

async function planFrom(world: ToyWorld, desired: Toys, previous?: Toys): Promise<Plan> {
  const actual = await readAll(world.drivers);
  return plan({ desired, actual, drivers: world.drivers, ...(previous === undefined ? {} : { previous }) });
}

async function run(world: ToyWorld, planned: Plan, desired: Toys): Promise<void> {
  const { actions } = planned;
  const failed = await apply({ actions, desired, drivers: world.drivers, log: () => undefined, lenient: false });
  assert.deepEqual([...failed.values()], []);
}

const lines = (planned: Plan): string[] => planned.actions.map((action) => action.line);

const sorted = (things: Iterable<readonly [Ref, unknown]>): [Ref, unknown][] =>
  [...things].map(([ref, spec]): [Ref, unknown] => [ref, spec]).toSorted(([a], [b]) => (a < b ? -1 : 1));

function same(world: ToyWorld, desired: Toys): void {
  assert.deepEqual(sorted(world.things), sorted([...desired].map(([ref, { spec }]) => [ref, spec] as const)));
}

const kinds = ['x', 'y', 'z'] as const;
const claims = ['p', 'q', 'r', 's'];

/** Up to nine toys, each standing on some before it in an order of its own; no claim twice. */
const anyToys: fc.Arbitrary<Toys> = fc
  .record({
    refs: fc.shuffledSubarray(
      kinds.flatMap((kind) => ['a', 'b', 'c'].map((name): Ref => `${kind}/${name}`)),
      { maxLength: 7 },
    ),
    bodies: fc.array(fc.nat(1), { minLength: 9, maxLength: 9 }),
    values: fc.array(fc.nat(1), { minLength: 9, maxLength: 9 }),
    stands: fc.array(fc.nat(255), { minLength: 9, maxLength: 9 }),
    holders: fc.array(fc.nat(9), { minLength: claims.length, maxLength: claims.length }),
  })
  .map(({ refs, bodies, values, stands, holders }) =>
    toys(
      ...refs.map((ref, i) =>
        toy(ref, {
          body: bodies[i] ?? 0,
          value: values[i] ?? 0,
          stands: refs.slice(0, i).filter((_, j) => (((stands[i] ?? 0) >> j) & 5) === 5),
          claims: claims.filter((_, c) => holders[c] === i),
        }),
      ),
    ),
  );

/** The other way of standing: the same things in another order may turn every need round. */
const twoWorlds = fc.tuple(anyToys, anyToys, fc.boolean());

async function worldOf(desired: Toys, tells: boolean): Promise<ToyWorld> {
  const world = toyWorld(tells);
  await run(world, await planFrom(world, desired), desired);
  same(world, desired);
  return world;
}

describe('a plan', () => {
  test('leads from any to any, and from there nowhere', async () => {
    const property = fc.asyncProperty(twoWorlds, async ([a, b, tells]) => {
      const world = await worldOf(a, tells);
      const planned = await planFrom(world, b, a);
      await run(world, planned, b);
      same(world, b);
      assert.deepEqual(world.wrong, []);
      assert.deepEqual(lines(await planFrom(world, b, b)), []);
      assert.deepEqual(lines(await planFrom(world, b)), []);
    });
    await fc.assert(property, { numRuns: 1500 });
  });

  test('puts after needs, drops in reverse, takes a claim just before it is needed, else makes before it breaks', async () => {
    const property = fc.asyncProperty(twoWorlds, async ([a, b, tells]) => {
      const world = await worldOf(a, tells);
      const { actions } = await planFrom(world, b, a);
      const at = (verb: string, ref: Ref): number => actions.findLastIndex((s) => s.verb === verb && s.ref === ref);
      const wanted = new Set([...b.values()].flatMap(({ spec }) => spec.claims));
      const firstDrop = actions.findIndex((step) => step.unwanted === true);
      const puts = actions.flatMap(({ verb, ref, line }, i) =>
        verb === 'put' && !line.includes('again') ? [{ ref, i }] : [],
      );
      for (const { ref, i } of puts) {
        for (const need of b.get(ref)?.needs ?? []) assert.ok(at('put', need) < i, `${need} before ${ref}`);
        if (firstDrop >= 0) assert.ok(i < firstDrop, `${ref} is made before anything is broken`);
      }
      for (const [i, step] of actions.entries()) {
        if (step.verb !== 'drop') continue;
        const gives = /gives (\w) to (\S+)\)/.exec(step.line);
        if (gives !== null) assert.ok(wanted.has(gives[1] ?? ''), step.line);
        // Between a drop that hurries and what it hurries for come only drops.
        if (gives !== null) {
          const next = actions.slice(i).find((later) => later.verb === 'put');
          assert.equal(next?.ref, gives[2], step.line);
        }
        for (const [user, { needs }] of a) {
          const drop = at('drop', user);
          const keeps = b.has(user) || step.phase !== 'switch' || actions[drop]?.phase !== 'switch';
          if (needs.includes(step.ref) && !keeps) assert.ok(drop < i, `${user} goes before ${step.ref}`);
        }
      }
      for (const ref of a.keys()) if (!b.has(ref)) assert.ok(at('drop', ref) >= 0, `${ref} goes`);
    });
    await fc.assert(property, { numRuns: 1000 });
  });

  test('two that swap claims: each is dropped at most once, and put once', async () => {
    const a = toys(toy('x/a', { claims: ['p'] }), toy('x/b', { claims: ['q'] }));
    const b = toys(toy('x/a', { claims: ['q'] }), toy('x/b', { claims: ['p'] }));
    const world = await worldOf(a, true);
    const planned = await planFrom(world, b, a);
    assert.deepEqual(lines(planned), ['drop x/b (gives q to x/a)', 'put x/a (update)', 'put x/b (update)']);
    await run(world, planned, b);
    same(world, b);
  });

  test('a ring of three claims', async () => {
    const ring = (...held: readonly string[]): Toys =>
      toys(...held.map((claim, i) => toy(`x/${'abc'[i]}`, { claims: [claim] })));
    const world = await worldOf(ring('p', 'q', 'r'), false);
    const planned = await planFrom(world, ring('q', 'r', 'p'), ring('p', 'q', 'r'));
    assert.equal(planned.actions.filter(({ verb }) => verb === 'drop').length, 2);
    await run(world, planned, ring('q', 'r', 'p'));
    same(world, ring('q', 'r', 'p'));
  });

  test('what stands on a replaced one is put again, however high it stands', async () => {
    const tower = (body: number, value = 0): Toys =>
      toys(
        toy('x/a', { body }),
        toy('y/b', { value, stands: ['x/a'] }),
        toy('x/c', { stands: ['y/b'] }),
        toy('z/other'),
      );
    const world = await worldOf(tower(0), false);
    const planned = await planFrom(world, tower(1, 1), tower(0));
    assert.deepEqual(lines(planned), [
      'drop x/a (replace)',
      'put x/a (replace)',
      'put y/b (update)',
      'put x/c (again)',
    ]);
    await run(world, planned, tower(1, 1));
    same(world, tower(1, 1));
  });

  test('two that want the same are a fault that names both, and nothing is planned', async () => {
    const twice = toys(toy('x/a', { claims: ['p'] }), toy('y/b', { claims: ['p'] }));
    const { actions, faults } = await planFrom(toyWorld(), twice);
    assert.deepEqual(actions, []);
    assert.deepEqual(faults, [{ code: 'in-use', what: 'y/b', why: 'p is wanted by x/a too', retry: false }]);
  });

  test('what retires goes last, unless it holds what another one needs', async () => {
    const a = toys(toy('z/a', { claims: ['p'] }), toy('z/b'), toy('x/c'));
    const b = toys(toy('x/d', { claims: ['p'] }));
    const world = await worldOf(a, true);
    const { actions } = await planFrom(world, b, a);
    assert.deepEqual(
      actions.map(({ phase, line }) => `${phase} ${line}`),
      ['switch drop z/a (gives p to x/d)', 'switch put x/d', 'switch drop x/c', 'retire drop z/b'],
    );
  });

  test('2000 things in a moment', async () => {
    const many = (value: number): Toys =>
      toys(
        ...Array.from({ length: 1000 }, (_, i) => toy(`x/${i}`, { claims: [`c${i}`] })),
        ...Array.from({ length: 1000 }, (_, i) => toy(`y/${i}`, { value: i === 7 ? value : 0, stands: [`x/${i}`] })),
      );
    const world = toyWorld(true);
    for (const [ref, { spec }] of many(0)) world.things.set(ref, spec);
    const begun = process.cpuUsage();
    const planned = await planFrom(world, many(1), many(0));
    const { user, system } = process.cpuUsage(begun);
    assert.deepEqual(lines(planned), ['put y/7 (update)']);
    // Of CPU and not of time, of which a busy machine takes what it likes. Looks of each at each would be seconds.
    assert.ok(user + system < 600_000, `${user + system} us`);
  });
});

interface Loop {
  readonly world: ToyWorld;
  readonly reconciler: Reconciler;
  readonly clock: ReturnType<typeof fakeClock>;
  readonly notes: string[];
}

async function loopOf(desired: Toys, tells: boolean): Promise<Loop> {
  const world = toyWorld(tells);
  const clock = fakeClock();
  const notes: string[] = [];
  const reconciler = openReconciler({
    drivers: world.drivers,
    clock,
    actionLog: () => undefined,
    broken: (error) => {
      throw error;
    },
    note: (level, message, fields) => notes.push(`${level} ${message} ${(fields as { ref?: string }).ref}`),
  });
  const pass = await reconciler.adopt(desired);
  assert.deepEqual(pass.faults, []);
  await reconciler.settled();
  same(world, desired);
  notes.length = 0;
  return { world, reconciler, clock, notes };
}

describe('a change', () => {
  test('gives the new, or leaves the old, wherever it fails', async () => {
    const property = fc.asyncProperty(
      twoWorlds,
      fc.integer({ min: 1, max: 14 }),
      fc.boolean(),
      async (two, n, half) => {
        const [a, b, tells] = two;
        const { world, reconciler } = await loopOf(a, tells);
        const before = world.steps.length;
        world.failStep(n, half);
        const pass = await reconciler.change(b);
        if (pass.faults.length === 0) {
          await reconciler.retire(pass.actions);
          // A failure that hits a retire is made good later.
          await reconciler.audit();
        } else {
          assert.ok(world.steps.length >= before + n);
        }
        same(world, pass.faults.length === 0 ? b : a);
        assert.deepEqual(
          sorted(reconciler.desired()).map(([ref]) => ref),
          sorted(world.things).map(([ref]) => ref),
        );
        assert.deepEqual(reconciler.failures(), []);
        await reconciler.close();
      },
    );
    await fc.assert(property, { numRuns: 1500 });
  });

  test('the way back that fails too is walked to its end when the world lets it', async () => {
    const property = fc.asyncProperty(
      twoWorlds,
      fc.array(fc.nat(25), { maxLength: 8 }),
      async ([a, b, tells], failures) => {
        const { world, reconciler, clock } = await loopOf(a, tells);
        for (const n of failures) world.failStep(n + 1);
        const pass = await reconciler.change(b);
        if (pass.faults.length === 0) await reconciler.retire(pass.actions);
        for (let i = 0; i < 10; i += 1) {
          clock.advance(2500);
          await reconciler.audit();
        }
        same(world, pass.faults.length === 0 ? b : a);
        assert.deepEqual(reconciler.failures(), []);
        await reconciler.close();
      },
    );
    await fc.assert(property, { numRuns: 700 });
  });

  test('drift of any kind is found and repaired, and told; what is well is left alone', async () => {
    const property = fc.asyncProperty(anyToys, anyToys, async (a, other) => {
      const { world, reconciler, notes } = await loopOf(a, true);
      const steps = world.steps.length;
      await reconciler.audit();
      assert.equal(world.steps.length, steps);
      assert.deepEqual(notes, []);
      // Some are gone, some are others, some are there that nobody wants.
      world.things.clear();
      for (const [ref, { spec }] of other) world.things.set(ref, spec);
      await reconciler.audit();
      same(world, a);
      assert.deepEqual(reconciler.failures(), []);
      const specs = (of: Toys): string =>
        JSON.stringify(sorted([...of].map(([ref, { spec }]) => [ref, spec] as const)));
      assert.equal(/ (repaired|recovered) /.test(notes.join('\n')), specs(a) !== specs(other), notes.join('\n'));
      await reconciler.close();
    });
    await fc.assert(property, { numRuns: 500 });
  });

  test('what stood on a thing of somebody else is back when that is gone', async () => {
    const [base, top] = [toy('y/base'), toy('y/top', { stands: ['y/base'] })];
    const wanted = toys(toy('y/a', { claims: ['p'] }), base, top);
    const { world, reconciler } = await loopOf(wanted, true);
    world.things.clear();
    const strange = toys(toy('x/strange', { claims: ['p'] }), toy('y/base', { stands: ['x/strange'] }), top);
    for (const [ref, { spec }] of strange) world.things.set(ref, spec);
    await reconciler.audit();
    same(world, wanted);
    assert.deepEqual(reconciler.failures(), []);
    await reconciler.close();
  });

  test('verify sees what a driver only claims to have done', async () => {
    const { world, reconciler } = await loopOf(toys(), false);
    const wanted = toys(toy('x/a'));
    assert.deepEqual(
      (await verify(world.drivers, wanted, new Set<Ref>(['x/a']))).map(({ code, what }) => [code, what]),
      [['not-verified', 'x/a']],
    );
    await reconciler.close();
  });

  test('a thing that fails and goes on failing does not keep others from changing; it recovers by itself', async () => {
    const { world, reconciler, clock, notes } = await loopOf(toys(toy('x/a'), toy('x/b', { stands: ['x/a'] })), true);
    world.things.clear();
    world.failThing('x/a');
    await reconciler.audit();
    assert.deepEqual(
      reconciler.failures().map(({ ref, fault }) => [ref, fault.why]),
      [
        ['x/a', 'the toy fails'],
        ['x/b', 'needs x/a: the toy fails'],
      ],
    );
    const more = toys(toy('x/a'), toy('x/b', { stands: ['x/a'] }), toy('y/c'), toy('y/d', { stands: ['x/b'] }));
    const pass = await reconciler.change(more);
    assert.deepEqual(pass.faults, []);
    assert.ok(world.things.has('y/c'));
    assert.equal(reconciler.failures().length, 3);
    const refused = await reconciler.change(toys(...more.values(), toy('y/e', { stands: ['y/nothing'] })));
    assert.deepEqual(
      refused.faults.map(({ what }) => what),
      ['y/e'],
    );
    world.failThing(undefined);
    clock.advance(2100);
    await reconciler.plan(more);
    same(world, more);
    assert.deepEqual(reconciler.failures(), []);
    assert.ok(notes.includes('info recovered x/a'), notes.join('; '));
    await reconciler.close();
  });

  test('published things come and go beside the committed; what stands on what goes, goes with it', async () => {
    const base = toys(toy('x/a'), toy('x/z'));
    const { world, reconciler, clock } = await loopOf(base, true);
    reconciler.publish('run', [toy('y/p', { stands: ['x/a'] }), toy('y/q')]);
    clock.advance(30);
    await reconciler.plan(base);
    assert.deepEqual([...world.things.keys()].toSorted(), ['x/a', 'x/z', 'y/p', 'y/q']);
    const pass = await reconciler.change(toys(toy('x/z')));
    assert.deepEqual(pass.faults, []);
    assert.deepEqual([...world.things.keys()].toSorted(), ['x/z', 'y/q']);
    assert.deepEqual(reconciler.failures(), []);
    reconciler.publish('run', []);
    clock.advance(30);
    await reconciler.plan(base);
    assert.deepEqual([...world.things.keys()], ['x/z']);
    await reconciler.close();
  });

  test('one that publishes what is claimed already fails alone', async () => {
    const base = toys(toy('x/a', { claims: ['p'] }));
    const { world, reconciler, clock } = await loopOf(base, true);
    reconciler.publish('run', [toy('y/p', { claims: ['p'] }), toy('y/q')]);
    clock.advance(30);
    await reconciler.plan(base);
    assert.deepEqual([...world.things.keys()].toSorted(), ['x/a', 'y/q']);
    assert.deepEqual(
      reconciler.failures().map(({ ref, fault }) => [ref, fault.code]),
      [['y/p', 'in-use']],
    );
    await reconciler.close();
  });

  test('after a start nobody takes away what may still be published, for ten seconds at most', async () => {
    const world = toyWorld(true);
    world.things.set('y/old', toy('y/old').spec);
    world.things.set('y/older', toy('y/older', { claims: ['p'] }).spec);
    const clock = fakeClock();
    const fail = (error: unknown): never => {
      throw error;
    };
    const parts = { drivers: world.drivers, clock, actionLog: () => undefined, broken: fail, note: () => undefined };
    const reconciler = openReconciler(parts);
    await reconciler.adopt(toys(toy('x/a')));
    assert.deepEqual([...world.things.keys()].toSorted(), ['x/a', 'y/old', 'y/older']);
    // A commit in between: what stands in its way goes, the rest waits.
    const pass = await reconciler.change(toys(toy('x/a', { claims: ['p'] })));
    assert.deepEqual(pass.faults, []);
    assert.deepEqual([...world.things.keys()].toSorted(), ['x/a', 'y/old']);
    reconciler.publish('run', [toy('y/old')]);
    clock.advance(10_001);
    await reconciler.plan(toys());
    await reconciler.plan(toys());
    assert.deepEqual([...world.things.keys()].toSorted(), ['x/a', 'y/old']);
    await reconciler.close();
  });
});
