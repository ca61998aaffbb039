// Paths in each way of making them normal, through the router and through Envoy with equal configuration: the same
// route must be chosen and the upstream must get the same bytes. Envoy is the oracle.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { noEdits, pathNormalizations } from '../../src/mesh/snapshot.ts';
import type { PathNormalization, Snapshot } from '../../src/mesh/snapshot.ts';
import { type Client, connect, forward, host, route, snapshot, upstream } from '../fake/l7.ts';
import { type Rig, rig } from '../fake/l7-rig.ts';
import { bootstrapOf } from './envoy-static.ts';
import { envoyMissing, startEnvoyOn } from './envoy.ts';
import { type PathCase, onlyHere, pathCases } from './paths/cases.ts';
import { freePort } from '../fake/port.ts';

/** A route that tells the upstream its name. */
const named = (name: string, path: string) =>
  route(
    name,
    forward('a'),
    { path: { kind: 'prefix', value: path } },
    { request: { ...noEdits, set: [['x-route', name]] } },
  );
const hosts = [
  host(['a.test'], named('open', '/open'), named('closed', '/closed'), named('other', '')),
  host(['*.b.test'], named('wild', '')),
  host(['*'], named('any', '')),
];

/** One listener a way, all with one table. */
function listening(ports: readonly number[]): Snapshot {
  const s = snapshot(0, hosts, [{ key: 'a' }]);
  const listeners = pathNormalizations.map((paths, i) => ({
    ...s.listeners[0]!,
    name: paths,
    port: ports[i]!,
    paths,
  }));
  return { ...s, listeners };
}

/** A client's connections, one after the other, and what the upstream sees of them. */
interface Asker {
  readonly port: number;
  readonly seen: string[];
  client: Client | undefined;
}

/** "ROUTE TARGET" as the upstream got it, or the status. A Host that did not come through as it was is added. */
async function ask(a: Asker, { target, host: name }: PathCase): Promise<string> {
  a.seen.length = 0;
  a.client ??= await connect(a.port);
  a.client.clear();
  a.client.send(`GET ${target} HTTP/1.1\r\nHost: ${name}\r\n\r\n`);
  const status = (await a.client.until(/^HTTP\/1\.1 \d{3} [^]*\r\n\r\n/)).slice(9, 12);
  const head = a.seen.join('');
  if (head === '') {
    a.client.socket.destroy();
    a.client = undefined;
    return status;
  }
  await a.client.until(/ok$/);
  const line = /^GET (.*) HTTP\/1\.1\r\n/.exec(head)?.[1];
  const field = (wanted: string): string => new RegExp(`\r\n${wanted}: (.*)\r\n`).exec(head)?.[1] ?? 'none';
  return `${field('x-route')} ${line}${field('host') === name ? '' : ` at ${field('host')}`}`;
}

type Answers = Map<PathNormalization, ReadonlyMap<string, string>>;
const cases: readonly PathCase[] = [...pathCases, ...onlyHere.map(({ target }) => ({ target, host: 'a.test' }))];
const keyOf = ({ target, host: name }: PathCase): string => (name === 'a.test' ? target : `${target} of ${name}`);

async function answers(ports: readonly number[], seen: string[]): Promise<Answers> {
  const all: Answers = new Map();
  for (const [i, mode] of pathNormalizations.entries()) {
    const found = new Map<string, string>();
    const asker: Asker = { port: ports[i]!, seen, client: undefined };
    for (const one of cases) found.set(keyOf(one), await ask(asker, one));
    asker.client?.socket.destroy();
    all.set(mode, found);
  }
  return all;
}

/** What the upstream got is what the log says. */
function logged(r: Rig, ours: Answers): void {
  const lines = new Set(r.log.filter((line) => line.status === 200).map((line) => `${line.route} ${line.path}`));
  const passed = [...ours.values()].flatMap((found) => [...found.values()].filter((text) => text.includes(' ')));
  assert.deepEqual(
    passed.filter((text) => !lines.has(text)),
    [],
  );
  assert.deepEqual(r.faults, []);
}

await test('paths', { skip: envoyMissing }, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'mpt-paths-'));
  await using stack = new AsyncDisposableStack();
  stack.defer(() => rmSync(folder, { recursive: true }));
  const up = stack.use(await upstream());
  const ports = await Promise.all(Array.from({ length: 2 * pathNormalizations.length }, freePort));
  const [mine, others] = [ports.slice(0, pathNormalizations.length), ports.slice(pathNormalizations.length)];
  const r = stack.use(await rig());
  r.apply(listening(mine));
  r.endpoints('a', [up.port]);
  stack.use(await startEnvoyOn(folder, bootstrapOf(listening(others), { a: [up.port] }), others.at(-1)!));
  const ours = await answers(mine, up.seen);
  const theirs = await answers(others, up.seen);

  await t.test('the log says what the upstream got', () => logged(r, ours));

  await t.test(`${pathCases.length} cases: the router and Envoy choose one route and pass on one path`, () => {
    assert.ok(pathCases.length >= 80);
    for (const mode of pathNormalizations) {
      const same = (found: Answers) =>
        Object.fromEntries(pathCases.map((one) => [keyOf(one), found.get(mode)!.get(keyOf(one))]));
      assert.equal(Object.keys(same(ours)).length, pathCases.length, 'each case stands once');
      assert.deepEqual(same(ours), same(theirs), mode);
    }
  });

  await t.test('where they differ, it is for a reason', () => {
    for (const mode of pathNormalizations) {
      for (const { target, modes, ours: here, envoy, why } of onlyHere) {
        const got = [ours.get(mode)!.get(target), theirs.get(mode)!.get(target)];
        if (modes.includes(mode)) assert.deepEqual(got, [here, envoy], `${mode} ${target}: ${why}`);
        else assert.equal(got[0], got[1], `${mode} ${target}`);
      }
    }
  });
});
