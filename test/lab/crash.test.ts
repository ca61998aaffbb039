// kill -9 at each step of a commit that has a resource of every kind, there and back: after the restart the revision is
// the old or the new, the world is as that revision has it, and forwarding of what they have in common never stopped.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { files, hosts, manifests, newer, older, withoutVm } from './crash/documents.ts';
import { callsDuring, killedAt, type Moment } from './crash/kill.ts';
import { atRest, driftOf, faceOf, halfWritten, mustLook, type Running, runningOf } from './crash/rest.ts';
import { worldOf } from './crash/world.ts';
import { openSwitch, type TestSwitch } from './switch.ts';

interface Side {
  readonly name: string;
  readonly document: string;
  readonly manifests: Readonly<Record<string, string>>;
  world: unknown;
}

const long = process.env['MIDPLANE_TEST_LONG'] === '1';
const sides: readonly [Side, Side] = [
  { name: 'older', document: older, manifests: {}, world: undefined },
  { name: 'newer', document: long ? newer : withoutVm(newer), manifests, world: undefined },
];

const logOf = (sw: TestSwitch): string => join(sw.state, 'actions.log');
const pidOf = (sw: TestSwitch): number =>
  (JSON.parse(readFileSync(`/run/midplane/${sw.instance}/functions/keep.json`, 'utf8')) as { pid: number }).pid;

const commit = (sw: TestSwitch, { document, manifests: own }: Side): Promise<{ status: number; body: unknown }> =>
  sw.api('POST', '/v1/commit', { document, manifests: own });

/** Fails unless the daemon, started again, is on one of the sides and nowhere else; which one it is. */
async function sideAfter(sw: TestSwitch, before: Running, when: string): Promise<Side> {
  assert.equal(await sw.ping('h1', '10.0.10.2'), 3, `${when}: the ports in common, without a daemon`);
  await sw.boot();
  const { revision, document, manifests: own } = await runningOf(sw);
  const side = sides.find((each) => each.document === document);
  assert.ok(side, `${when}: ${document}`);
  assert.deepEqual(own, side.manifests, when);
  assert.equal(revision, before.revision + (document === before.document ? 0 : 1), when);
  await atRest(sw, when);
  await mustLook(sw, side.world, `${when}: ${side.name}`);
  assert.deepEqual(faceOf(sw), { document, manifests: own }, when);
  assert.deepEqual(halfWritten(sw), [], when);
  assert.equal(await sw.ping('h1', '10.0.10.2'), 3, `${when}: the ports in common`);
  return side;
}

/** Commits `to`, from the other side, and kills the daemon at the moment; it must come back as `expected` says. False:
 * the commit was over before, so that nothing was killed. */
async function tryAt(sw: TestSwitch, to: Side, at: Moment, expected?: Side): Promise<boolean> {
  const when = `to ${to.name}, ${at.call} ${at.n}`;
  const from = sides.find((side) => side !== to);
  let before = await runningOf(sw);
  if (from !== undefined && before.document !== from.document) {
    await goTo(sw, from);
    before = await runningOf(sw);
  }
  if (!(await killedAt(sw, at, () => commit(sw, to)))) return false;
  const side = await sideAfter(sw, before, when);
  if (expected !== undefined) assert.equal(side.name, expected.name, when);
  return true;
}

async function goTo(sw: TestSwitch, side: Side): Promise<void> {
  const { status, body } = await commit(sw, side);
  assert.equal(status, 200, JSON.stringify(body));
  await atRest(sw, side.name);
}

interface Way {
  readonly to: Side;
  /** What is written to the action log, call by call, and what is renamed to what. */
  readonly writes: readonly string[];
  readonly renames: readonly string[];
}

/** Goes there undisturbed: how the world then looks is how it must look ever after. */
async function walk(sw: TestSwitch, to: Side): Promise<Way> {
  const from = readFileSync(logOf(sw), 'utf8').length;
  const renames = await callsDuring(sw, 'rename', () => goTo(sw, to));
  to.world = await worldOf(sw);
  const steps = readFileSync(logOf(sw), 'utf8').slice(from);
  // A batch is begun by one write and ended by one.
  const writes = steps.match(/^(begin .*\n)+|^(end .*\n)+/gm) ?? [];
  const kinds = new Set([...steps.matchAll(/^begin (?:put|drop) ([a-z]+)\//gm)].map(([, kind = '']) => kind));
  const { resources } = await driftOf(sw);
  const all = Object.keys(resources).filter((kind) => long || kind !== 'vm');
  assert.deepEqual([...kinds].toSorted(), all.toSorted(), `to ${to.name}: a step of every kind`);
  return { to, writes, renames };
}

const nth = (list: readonly string[], pattern: RegExp): number => {
  const at = list.findIndex((each) => pattern.test(each));
  assert.ok(at >= 0, `${pattern.source} in ${list.join('')}`);
  return at + 1;
};

await test('kill -9 on the way from one revision to another', async (t) => {
  await using sw = await openSwitch({ document: older, hosts, files });
  const [old, next] = sides;
  const there = await walk(sw, next);
  const back = await walk(sw, old);
  const keeper = pidOf(sw);
  const path = logOf(sw);
  t.diagnostic(`there ${there.writes.length} writes, ${there.renames.length} renames; back ${back.writes.length}`);

  const sweep = async ({ to }: Way, call: string, more: Pick<Moment, 'path'> = {}): Promise<number> => {
    let n = 0;
    while (await tryAt(sw, to, { call, n: n + 1, ...more })) n += 1;
    return n;
  };
  if (long) {
    await t.test('at each step there', async (u) => {
      const n = await sweep(there, 'write', { path });
      u.diagnostic(`killed ${n} times`);
      assert.ok(n >= there.writes.length - 2, `${n} of ${there.writes.length}`);
    });
    await t.test('at each step back', async (u) => {
      const n = await sweep(back, 'write', { path });
      u.diagnostic(`killed ${n} times`);
      assert.ok(n >= back.writes.length - 2, `${n} of ${back.writes.length}`);
    });
    await t.test('at each file that takes its place', async (u) => {
      u.diagnostic(`killed ${await sweep(there, 'rename')} times`);
    });
  } else {
    t.diagnostic('a sample, and no VM: npm run test:long kills at each step');
    await t.test('there: half-way, with all guests started, and before it is recorded', async () => {
      await tryAt(sw, next, { call: 'write', path, n: nth(there.writes, /^begin put link/) }, old);
      await tryAt(sw, next, { call: 'write', path, n: nth(there.writes, /^end put function\/hello/) }, old);
      await tryAt(sw, next, { call: 'rename', n: nth(there.renames, /history\/\d+"\)/) }, old);
    });
    await t.test('there: when it is recorded, and before FILE shows it', async () => {
      await tryAt(sw, next, { call: 'rename', n: nth(there.renames, /midplane\.yaml"\)/) }, next);
    });
    await t.test('back: half-way', async () => {
      await tryAt(sw, old, { call: 'write', path, n: nth(back.writes, /^end drop container/) }, next);
    });
  }
  assert.equal(pidOf(sw), keeper, 'the guest in common was never touched');
});
