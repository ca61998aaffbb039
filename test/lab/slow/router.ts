// The router alone in a process, so that its memory and descriptors can be told from the test's. Forked with one
// argument, RouterInput as JSON; answers each message with Looks.
import { readdirSync } from 'node:fs';
import { startRouter } from '../../../src/l7/router.ts';
import type { RouterOptions } from '../../../src/l7/router.ts';
import { endpoint, forward, host, route, snapshot } from '../../fake/l7.ts';

export interface RouterInput {
  readonly port: number;
  readonly upstreamPort: number;
  readonly options: Pick<RouterOptions, 'times' | 'maxConnections' | 'accessLog'>;
}

export interface Looks {
  readonly rssMiB: number;
  readonly descriptors: number;
  readonly connections: number;
  readonly accepted: number;
  readonly refused: number;
  readonly upstreams: number;
  /** Answers 4xx. */
  readonly clientErrors: number;
  readonly faults: number;
  readonly crashes: number;
}

const { port, upstreamPort, options } = JSON.parse(process.argv[2] ?? '') as RouterInput;
const router = startRouter({ workers: 1, ackMs: 60_000, ...options });

async function look(): Promise<Looks> {
  const [worker] = await router.workerStats();
  return {
    rssMiB: process.memoryUsage.rss() / 2 ** 20,
    descriptors: readdirSync('/proc/self/fd').length,
    connections: worker?.connections ?? -1,
    accepted: worker?.accepted ?? -1,
    refused: worker?.refused ?? -1,
    upstreams: worker?.upstreams ?? -1,
    clientErrors: router.routeStats().reduce((sum, row) => sum + row.classes[3], 0),
    faults: worker?.faults ?? -1,
    crashes: router.crashes(),
  };
}

const hosts = [host(['*'], route('all', { ...forward('up'), timeoutMs: 0 }))];
const ack = await router.offer(snapshot(port, hosts, [{ key: 'up' }]));
if (!ack.ok) throw new Error(ack.why);
router.endpoints({ cluster: 'up', version: '1', list: [endpoint(upstreamPort)] });
process.on('message', () => void look().then((looks) => process.send?.(looks)));
process.once('disconnect', () => void router.stop(0).then(() => process.exit(0)));
process.send?.(await look());
