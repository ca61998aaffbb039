// The lab under a life of its own: a change a second, routes and ports that flap, HTTP load, guests that are restarted.
// An hour of it with MIDPLANE_TEST_LONG (or MIDPLANE_SOAK_SECONDS), else half a minute. Memory, descriptors, pins and namespaces are watched.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { setIn } from '../../src/config/edit.ts';
import { run } from '../../src/lab/process.ts';
import { kernel } from './rig.ts';
import { type Started, startLab, until } from './stranger.ts';

const long = process.env['MIDPLANE_TEST_LONG'] === '1';
const soakMs = long ? Number(process.env['MIDPLANE_SOAK_SECONDS'] ?? 3_600) * 1_000 : 30_000;
const warmUpMs = long ? soakMs / 6 : 10_000;
const sampleMs = long ? 10_000 : 2_000;
const changeMs = 1_000;
const flapMs = 5_000;
const restartMs = 20_000;
const requestMs = 20;

let lab: Started;
before(async () => {
  lab = await startLab();
});
after(async () => {
  const gone = lab.child.exitCode === null ? once(lab.child, 'exit') : undefined;
  lab.child.kill('SIGINT');
  await gone;
});

function ask<T>(method: string, path: string, body?: unknown): Promise<{ status: number; body: T }> {
  const text = body === undefined ? '' : JSON.stringify(body);
  const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) };
  return new Promise((resolve, reject) => {
    const sent = request({ socketPath: '/run/midplane/lab/api.sock', method, path, headers }, (response) => {
      let answer = '';
      response.setEncoding('utf8').on('data', (chunk: string) => (answer += chunk));
      response.once('end', () => resolve({ status: response.statusCode ?? 0, body: JSON.parse(answer) as T }));
    });
    sent.once('error', reject).end(text);
  });
}

interface System {
  readonly pid: number;
  readonly threads: readonly { name: string; delayMs: { p99: number } }[];
}

async function system(): Promise<System> {
  return (await ask<{ data: System }>('POST', '/v1/command', { line: 'show system | json' })).body.data;
}

interface Sample {
  readonly atMs: number;
  readonly rssMiB: number;
  readonly descriptors: number;
}

function sampleOf(pid: number, begun: number): Sample {
  const [, kib = '0'] = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
  const descriptors = readdirSync(`/proc/${pid}/fd`).length;
  return { atMs: performance.now() - begun, rssMiB: Number(kib) / 1024, descriptors };
}

/** Pins and namespaces: what a change may make too many of. */
function made(): Readonly<Record<string, readonly string[]>> {
  const pins = ['maps', 'links'].flatMap((kind) =>
    readdirSync(join('/sys/fs/bpf/midplane/lab', kind)).map((name) => `${kind}/${name}`),
  );
  const namespaces = kernel.netns.list().filter((name) => name.startsWith('lab-') || name.startsWith('mp-lab-'));
  return { pins: pins.toSorted(), namespaces: namespaces.toSorted() };
}

/** The document as of change `i`: a description, a static route that comes and goes, a port's shut and its MTU. */
function edited(document: string, i: number): string {
  let text = setIn(document, ['ports', 'swp1', 'description'], `change ${i}`);
  if (i % 2 === 1) text = setIn(text, ['routes', `10.99.${i % 7}.0/24`], { via: ['10.20.0.13'] });
  if (i % 6 === 3) text = setIn(text, ['ports', 'swp4', 'shut'], true);
  return setIn(text, ['ports', 'swp2', 'mtu'], 1400 + (i % 50));
}

interface Life {
  readonly end: AbortController;
  changes: number;
  requests: number;
  readonly refused: string[];
  readonly answers: Record<string, number>;
}

/** Calls until the life ends, at that pace at most. */
async function every(life: Life, ms: number, call: (i: number) => Promise<void>): Promise<void> {
  for (let i = 1; !life.end.signal.aborted; i += 1) {
    const begun = performance.now();
    await call(i);
    const left = ms - (performance.now() - begun);
    if (left > 0) await sleep(left, undefined, { signal: life.end.signal }).catch(() => undefined);
  }
}

function load(life: Life, agent: Agent): Promise<void> {
  const [headers, port] = [{ host: 'lab' }, lab.port.http];
  return new Promise((resolve) => {
    const count = (word: string): void => {
      life.requests += 1;
      life.answers[word] = (life.answers[word] ?? 0) + 1;
      resolve();
    };
    const asked = request({ host: '127.0.0.1', port, path: '/', agent, headers, timeout: 5_000 }, (response) => {
      response.resume().once('end', () => count(String(response.statusCode)));
    });
    asked.once('timeout', () => asked.destroy(new Error('timeout')));
    asked.once('error', (error: NodeJS.ErrnoException) => count(error.code ?? error.message));
    asked.end();
  });
}

function live(life: Life, document: string): Promise<unknown> {
  const agent = new Agent({ keepAlive: true, maxSockets: 4 });
  const cut = new Agent({ keepAlive: false });
  const guests = ['web-v2', 'hello'];
  return Promise.all([
    every(life, changeMs, async (i) => {
      const { status, body } = await ask<unknown>('POST', '/v1/commit', { document: edited(document, i) });
      if (status === 200) life.changes += 1;
      else life.refused.push(`change ${i}: ${status} ${JSON.stringify(body).slice(0, 500)}`);
    }),
    every(life, flapMs, async (i) => {
      await run('lab-h2', ['ip', 'link', 'set', 'eth0', i % 2 === 1 ? 'down' : 'up']);
    }),
    every(life, restartMs, async (i) => {
      await ask('POST', '/v1/command', { line: `guest restart ${guests[i % 2]}` });
    }),
    every(life, requestMs, async (i) => load(life, i % 5 === 0 ? cut : agent)),
  ]).finally(() => agent.destroy());
}

/** MiB a minute, by least squares. */
function slope(samples: readonly Sample[]): number {
  const n = samples.length;
  const mean = (of: (s: Sample) => number): number => samples.reduce((sum, s) => sum + of(s), 0) / n;
  const [x, y] = [mean((s) => s.atMs), mean((s) => s.rssMiB)];
  const top = samples.reduce((sum, s) => sum + (s.atMs - x) * (s.rssMiB - y), 0);
  const bottom = samples.reduce((sum, s) => sum + (s.atMs - x) ** 2, 0);
  return (top / bottom) * 60_000;
}

test(`the lab lives for ${soakMs / 1000} s and holds no more than before`, async (t) => {
  const { document } = (await ask<{ document: string }>('GET', '/v1/configuration')).body;
  await until('all guests are healthy', async () => ((await healthy()) ? true : undefined), 90);
  const { pid } = await system();
  const before = { ...made(), descriptors: sampleOf(pid, 0).descriptors };
  const life: Life = { end: new AbortController(), changes: 0, requests: 0, refused: [], answers: {} };
  const begun = performance.now();
  const living = live(life, document);
  const samples: Sample[] = [];
  while (performance.now() - begun < soakMs) {
    await sleep(sampleMs);
    const sample = sampleOf(pid, begun);
    if (sample.atMs > warmUpMs) samples.push(sample);
    if (samples.length % 30 === 1) t.diagnostic(`${Math.round(sample.atMs / 1000)} s: ${sample.rssMiB.toFixed(0)} MiB`);
  }
  life.end.abort();
  await living;
  await run('lab-h2', ['ip', 'link', 'set', 'eth0', 'up']);
  const perMinute = slope(samples);
  const { pid: pidAfter, threads } = await system();
  const p99 = Math.max(...threads.map((thread) => thread.delayMs.p99));
  const rss = `${samples[0]?.rssMiB.toFixed(0)} to ${samples.at(-1)?.rssMiB.toFixed(0)} MiB`;
  t.diagnostic(`${life.changes} changes, ${life.requests} requests ${JSON.stringify(life.answers)}`);
  t.diagnostic(`RSS ${rss}, ${perMinute.toFixed(2)} MiB a minute; event loop p99 ${p99.toFixed(1)} ms late`);
  assert.equal(pidAfter, pid, 'the daemon is the one that began');
  assert.deepEqual(life.refused, []);
  assert.ok(life.changes > soakMs / changeMs / 4, `${life.changes} changes`);
  assert.ok((life.answers['200'] ?? 0) > life.requests * 0.9, JSON.stringify(life.answers));
  assert.equal((await ask('POST', '/v1/commit', { document })).status, 200);
  await until('all guests are healthy again', async () => ((await healthy()) ? true : undefined), 90).catch(
    async (error: Error) => {
      throw new Error(`${error.message}: ${await guestsNow()}`, { cause: error });
    },
  );
  await until(
    'no descriptor, pin or namespace is left over',
    async () => {
      const { descriptors, ...things } = before;
      assert.deepEqual(made(), things);
      assert.ok(sampleOf(pid, 0).descriptors <= descriptors);
      return true;
    },
    60,
  ).catch(() => {
    assert.deepEqual({ ...made(), descriptors: sampleOf(pid, 0).descriptors }, before);
  });
  // Half a minute says nothing of a slope, and a busy machine delays every loop.
  if (!long) return;
  assert.ok(perMinute < 1, `RSS grows by ${perMinute.toFixed(2)} MiB a minute`);
  assert.ok(p99 < 20, `event loop p99 ${p99} ms`);
});

/** What is known of the guests, and of what failed. */
async function guestsNow(): Promise<string> {
  const line = async (text: string): Promise<unknown> =>
    (await ask<{ data: unknown }>('POST', '/v1/command', { line: `${text} | json` })).body.data;
  return JSON.stringify([await line('show guests'), await line('show system')]);
}

async function healthy(): Promise<boolean> {
  const { body } = await ask<{ data: { healthy: boolean }[] }>('POST', '/v1/command', { line: 'show guests | json' });
  return body.data.every((guest) => guest.healthy);
}
