// Request smuggling: the same bytes to the router, nginx and HAProxy, each before an upstream that keeps what it gets.
// The router refuses what could be read in two ways and closes, or passes on bytes that every reader takes for exactly
// the requests that the router counted.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { forward, host, route, sleep } from '../fake/l7.ts';
import { engineNames, onEngine } from '../fake/l7-engines.ts';
import { type Rig, rig } from '../fake/l7-rig.ts';
import type { Case } from './smuggling/case.ts';
import { cases, classes } from './smuggling/cases.ts';
import { foilsMissing, startHaproxy, startNginx } from './smuggling/foils.ts';
import { disagreeing, read } from './smuggling/reader.ts';
import { type Recorder, startRecorder } from './smuggling/recorder.ts';

/** Goes behind every case: who still knows where a request begins answers it and closes. */
const closing = 'GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n';
/** A foil that waits for more is not asked for longer; the router always ends by itself. */
const foilMs = 1000;
const routerMs = 20_000;

interface Outcome {
  readonly statuses: readonly number[];
  /** The other side closed. */
  readonly closed: boolean;
  readonly upstream: readonly string[];
}

async function put(port: number, recorder: Recorder, bytes: string, ms: number): Promise<Outcome> {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true });
  let text = '';
  let closed = false;
  socket.on('data', (piece: Buffer) => (text += piece.toString('latin1')));
  socket.on('error', () => undefined);
  socket.on('end', () => (closed = true));
  const gone = new Promise<void>((resolve) => socket.on('close', () => resolve()));
  socket.write(Buffer.from(bytes + closing, 'latin1'));
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise((resolve) => (timer = setTimeout(resolve, ms)));
  await Promise.race([gone, late]);
  clearTimeout(timer);
  const ended = closed || socket.closed;
  socket.destroy();
  const statuses = [...text.matchAll(/HTTP\/1\.[01] (\d{3})/g)].map((found) => Number(found[1]));
  return { statuses, closed: ended, upstream: await recorder.take() };
}

const wholes = (upstream: readonly string[]): string[] =>
  upstream.flatMap((text) => read(text).flatMap((seen) => (seen.whole ? [seen.text] : [])));

/** Nothing of it was served: an error, or no word at all. */
function refused({ statuses, upstream }: Outcome): boolean {
  const [first = 400] = statuses;
  return first >= 400 && wholes(upstream).length === 0;
}

async function putOurs(r: Rig, recorder: Recorder, bytes: string): Promise<Outcome> {
  r.log.length = 0;
  const got = await put(r.port, recorder, bytes, routerMs);
  assert.ok(got.closed, 'the connection was left open');
  for (const text of got.upstream) assert.deepEqual(disagreeing(text), [], `read in two ways: ${JSON.stringify(text)}`);
  // A body that broke its framing is broken off, perhaps before its head has gone anywhere.
  const passed = r.log.filter((line) => line.upstream !== '');
  const served = passed.filter((line) => line.flags === '').length;
  const seen = got.upstream.flatMap((text) => read(text));
  assert.equal(seen.filter((one) => one.whole).length, served, `the router counted ${served}: ${JSON.stringify(seen)}`);
  assert.ok(seen.length <= passed.length, `the router passed on ${passed.length}: ${JSON.stringify(seen)}`);
  assert.equal(got.statuses.length, r.log.length, 'an answer for each request that was counted');
  return got;
}

async function judgeOurs(r: Rig, recorder: Recorder, one: Case): Promise<Outcome> {
  const got = await putOurs(r, recorder, one.bytes);
  if (one.forwards === undefined) {
    assert.ok(refused(got), `passed on, and the case says no reason: ${JSON.stringify(got)}`);
    assert.equal(got.statuses.length, 1, String(got.statuses));
    assert.match(String(got.statuses[0]), /^(4\d\d|501|505)$/);
  } else {
    assert.ok(!refused(got), 'refused, and the case says that it is passed on');
    assert.deepEqual([...new Set(got.statuses)], [200]);
  }
  return got;
}

/** Every request of legal bytes arrives as it was sent, and is answered. */
async function judgeSibling(port: number, recorder: Recorder, one: Case, ours?: Rig): Promise<void> {
  const got =
    ours === undefined ? await put(port, recorder, one.sibling, routerMs) : await putOurs(ours, recorder, one.sibling);
  const wanted = read(one.sibling + closing).map((seen) => seen.text);
  assert.deepEqual(wholes(got.upstream), wanted);
  assert.deepEqual(
    got.statuses,
    wanted.map(() => 200),
  );
}

/** The upstream got as many requests as the router has answers to, and bytes that all readers take for these. */
async function judgeCount(r: Rig, asked: Promise<Outcome>): Promise<void> {
  r.log.length = 0;
  const { upstream } = await asked;
  const passed = wholes(upstream).length;
  const counted = (): number => r.log.filter((line) => line.status === 200).length;
  // A foil that gave up its client still has the router's answer under way.
  for (let i = 0; i < 50 && counted() !== passed; i += 1) await sleep(10);
  assert.equal(counted(), passed, `the router counted ${counted()}: ${JSON.stringify(upstream)}`);
  for (const text of upstream) assert.deepEqual(disagreeing(text), [], `read in two ways: ${JSON.stringify(text)}`);
}

type StartFoil = typeof startNginx;

/** The same with nginx and with HAProxy, side by side. */
async function withFoils(
  body: (startFoil: StartFoil, folder: string, inner: AsyncDisposableStack) => Promise<void>,
): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'mpt-smuggling-'));
  await using inner = new AsyncDisposableStack();
  inner.defer(() => rmSync(folder, { recursive: true }));
  await Promise.all([body(startNginx, folder, inner), body(startHaproxy, folder, inner)]);
}

async function all(judge: (one: Case) => Promise<unknown>): Promise<void> {
  const wrong: string[] = [];
  for (const one of cases) await judge(one).catch((error: Error) => wrong.push(`${one.name}: ${error.message}`));
  assert.equal(wrong.length, 0, `${wrong.length} of ${cases.length}\n${wrong.join('\n\n')}`);
}

const names = { ours: 'the router', nginx: 'nginx', haproxy: 'HAProxy' } as const;

async function routerBefore(stack: AsyncDisposableStack, port: number): Promise<Rig> {
  const r = stack.use(await rig());
  r.serve([host(['*'], route('all', forward('a')))]);
  r.endpoints('a', [port]);
  return r;
}

await test('request smuggling', async (t) => {
  await using stack = new AsyncDisposableStack();
  const recorder = stack.use(await startRecorder());
  const ours = new Map<string, boolean>();

  await t.test('the corpus is large, and its bytes can be read in several ways', () => {
    assert.ok(cases.length >= 200);
    assert.ok(Object.keys(classes).length >= 25);
    assert.ok(Object.values(classes).every((list) => list.length >= 2));
    assert.equal(new Set(cases.map((one) => one.name)).size, cases.length, 'names are used once');
    const raw = cases.filter((one) => disagreeing(one.bytes).length > 0);
    assert.ok(raw.length >= 40, `the readers disagree on the bytes of ${raw.length} cases only`);
  });

  for (const engine of engineNames) {
    const r = await onEngine(engine, () => routerBefore(stack, recorder.port));

    await t.test(`${cases.length} cases are refused, or passed on as what they are (${engine})`, () =>
      all(async (one) => ours.set(one.name, refused(await judgeOurs(r, recorder, one)))),
    );

    await t.test(`the legal sibling of each arrives whole (${engine})`, () =>
      all((one) => judgeSibling(r.port, recorder, one, r)),
    );
  }

  await t.test('nginx and HAProxy on the same bytes', { skip: foilsMissing }, async (u) => {
    const folder = mkdtempSync(join(tmpdir(), 'mpt-smuggling-'));
    await using inner = new AsyncDisposableStack();
    inner.defer(() => rmSync(folder, { recursive: true }));
    const verdicts = { nginx: new Map<string, boolean>(), haproxy: new Map<string, boolean>() };
    const ambiguous = { nginx: 0, haproxy: 0 };
    await Promise.all(
      (['nginx', 'haproxy'] as const).map(async (name) => {
        const own = inner.use(await startRecorder());
        const foil = inner.use(await (name === 'nginx' ? startNginx : startHaproxy)(folder, own.port));
        for (const one of cases) {
          const got = await put(foil.port, own, one.bytes, foilMs);
          verdicts[name].set(one.name, refused(got));
          if (got.upstream.some((text) => disagreeing(text).length > 0)) ambiguous[name] += 1;
        }
      }),
    );
    const both = cases.filter(({ name }) => verdicts.nginx.get(name) && verdicts.haproxy.get(name));
    const unexplained = both.filter((one) => ours.get(one.name) !== true && one.forwards === undefined);
    assert.deepEqual(unexplained, [], 'both foils refuse it, the router passes it on without a reason');
    const count = (map: ReadonlyMap<string, boolean>): number => [...map.values()].filter(Boolean).length;
    u.diagnostic(`of ${cases.length} refused: ${names.ours} ${count(ours)}, ${names.nginx} ${count(verdicts.nginx)}`);
    u.diagnostic(`${names.haproxy} ${count(verdicts.haproxy)}, both of them ${both.length}`);
    u.diagnostic(`passed on in a way that readers disagree on: nginx ${ambiguous.nginx}, HAProxy ${ambiguous.haproxy}`);
    assert.ok(both.length >= 60, `nginx and HAProxy both refuse only ${both.length}: are they asked rightly?`);
  });

  await t.test('the router before nginx and before HAProxy', { skip: foilsMissing }, () =>
    withFoils(async (startFoil, folder, inner) => {
      const behind = inner.use(await startRecorder());
      const foil = inner.use(await startFoil(folder, behind.port));
      const front = await routerBefore(inner, foil.port);
      await all((one) => judgeSibling(front.port, behind, one));
      await all(async (one) => judgeCount(front, put(front.port, behind, one.bytes, routerMs)));
    }),
  );

  await t.test('the router behind nginx and behind HAProxy', { skip: foilsMissing }, () =>
    withFoils(async (startFoil, folder, inner) => {
      const behind = inner.use(await startRecorder());
      const inside = await routerBefore(inner, behind.port);
      const foil = inner.use(await startFoil(folder, inside.port));
      await all((one) => judgeSibling(foil.port, behind, one));
      await all(async (one) => judgeCount(inside, put(foil.port, behind, one.bytes, foilMs)));
    }),
  );
});
