// What a change costs those who do not ask for it: latencies of a constant rate of requests while one of ten thousand
// routes changes five times a second, over those while nothing changes.
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { constantRate, type Latency, loadCore } from '../load.ts';
import { needPackages } from '../proxies.ts';
import { alone, type Bench, type Group, interleave, median, type Row, short } from '../row.ts';
import type { Changed } from './changing.ts';
import { startBodies } from './foils.ts';
import { freePort } from '../../fake/port.ts';

const hosts = 1000;
const prefixes = 10;
/** At low rates a virtual machine's core wakes late, for everybody. */
const rate = 8000;
const roundSeconds = 5;
const rounds = 7;
const everyMs = 200;

interface Router extends Disposable {
  readonly changes: Changed[];
  /** A change every so many milliseconds from now on; 0: none. */
  every(ms: number): void;
}

async function startChanging(port: number, upstreamPort: number): Promise<Router> {
  const args = [join(import.meta.dirname, 'changing.ts'), port, upstreamPort, hosts, prefixes].map(String);
  const child = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  const changes: Changed[] = [];
  createInterface({ input: child.stdout }).on('line', (line) => changes.push(JSON.parse(line) as Changed));
  const router: Router = {
    changes,
    every: (ms) => void child.stdin.write(`${ms}\n`),
    [Symbol.dispose]: () => void child.kill('SIGTERM'),
  };
  for (let i = 0; i < 200 && changes.length === 0; i += 1) await sleep(50);
  if (changes.length > 0) return router;
  router[Symbol.dispose]();
  throw new Error('the router does not take its routes');
}

async function latencies(bench: Bench): Promise<readonly Row[]> {
  needPackages({ nginx: 'nginx' }, (line) => bench.say(line));
  await using stack = new AsyncDisposableStack();
  const folder = mkdtempSync(join(tmpdir(), `${bench.prefix}-changes-`));
  stack.defer(() => rmSync(folder, { recursive: true, force: true }));
  const [upstream, port] = [await freePort(), await freePort()];
  stack.use(await startBodies(folder, upstream, loadCore));
  const router = stack.use(await startChanging(port, upstream));
  const measure = constantRate(folder);
  const got: Record<'quiet' | 'changing', Latency[]> = { quiet: [], changing: [] };
  const side = (name: keyof typeof got, ms: number) => async (): Promise<number> => {
    router.every(ms);
    await sleep(500);
    const one = await measure(port, rate, roundSeconds);
    got[name].push(one);
    return one.p99;
  };
  await side('quiet', 0)();
  got.quiet.length = router.changes.length = 0;
  const sides = { quiet: side('quiet', 0), changing: side('changing', everyMs) };
  const p99 = await interleave(bench, `p99 at ${rate} requests/s, us`, sides, rounds);
  const rise = p99.changing.map((us, i) => (us - (p99.quiet[i] ?? Number.NaN)) / 1000);
  const note = `${router.changes.length} changes; p99 ${short(median(p99.quiet))} us while nothing changes`;
  const of = (key: keyof Changed): number[] => router.changes.map((change) => change[key]);
  return [
    { ...alone('p99 risen by changes among 10,000 routes', 'ms', rise), note },
    alone('a change of one route of 10,000, offer to acknowledgement', 'ms', of('ms')),
    alone('longest piece of work on it in a worker', 'ms', of('pieceMs')),
    alone('longest time that the main thread stands still for it', 'ms', of('mainMs')),
  ];
}

export const changes: Group = {
  name: 'changes',
  what: 'requests while one of 10,000 routes of the router changes',
  run: latencies,
};
