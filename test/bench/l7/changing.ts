// A router with many routes, alone in its process, which changes one of them again and again when it is told to:
//   node test/bench/l7/changing.ts PORT UPSTREAM_PORT HOSTS PREFIXES [WORKERS]
// A number on standard input: a change every so many milliseconds, 0: none. For each change a line of JSON comes back.
import { createInterface } from 'node:readline';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Snapshot } from '../../../src/mesh/snapshot.ts';
import { startRouter } from '../../../src/l7/router.ts';
import { endpoint, forward, host, route, snapshot } from '../../fake/l7.ts';
import { hostName, prefix } from './work.ts';

/** What is said of a change. */
export interface Changed {
  /** From the offer to the last worker's word that it is in force. */
  readonly ms: number;
  /** Of a worker, Milliseconds of the longest piece of work on it. */
  readonly pieceMs: number;
  /** How long the main thread's loop stood still at most. */
  readonly mainMs: number;
}

const [port = '', upstreamPort = '', hosts = '', prefixes = '', workers = '1'] = process.argv.slice(2);
const onFault = (what: string): void => void process.stderr.write(`${what}\n`);
const router = startRouter({ workers: Number(workers), onFault, ackMs: 20_000 });
process.once('SIGTERM', () => void router.stop(0).then(() => process.exit(0)));

const hostOf = (h: number, version: number): ReturnType<typeof host> =>
  host(
    [hostName(h)],
    ...Array.from({ length: Number(prefixes) }, (_p, p) => {
      const path = h === 7 && p === 1 ? `/changed${version}` : prefix(p);
      return route(`httproute/default/${h}-${p}/0/0`, forward('up'), { path: { kind: 'prefix', value: path } });
    }),
  );
const first = Array.from({ length: Number(hosts) }, (_h, h) => hostOf(h, 0));

/** `version` is in one route's path; hosts that don't change are the same objects, as in the daemon's snapshots. */
function built(version: number): Snapshot {
  const table = first.map((each, h) => (h === 7 ? hostOf(h, version) : each));
  return snapshot(Number(port), table, [{ key: 'up' }]);
}

async function change(version: number): Promise<void> {
  const next = built(version);
  await sleep(20);
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  const begun = performance.now();
  const ack = await router.offer(next);
  const ms = performance.now() - begun;
  if (!ack.ok) throw new Error(ack.why);
  await sleep(2);
  delay.disable();
  const stats = await router.workerStats();
  const pieceMs = Math.max(...stats.map(({ changeMs }) => changeMs));
  const changed: Changed = { ms, pieceMs, mainMs: delay.max / 1e6 };
  process.stdout.write(`${JSON.stringify(changed)}\n`);
}

await router.started();
await change(0);
router.endpoints({ cluster: 'up', version: '1', list: [endpoint(Number(upstreamPort))] });
let everyMs = 0;
createInterface({ input: process.stdin }).on('line', (line) => (everyMs = Number(line)));
for (let version = 1; ;) {
  await sleep(everyMs === 0 ? 20 : everyMs);
  if (everyMs !== 0) await change(version++);
}
