// The router of the L7 benchmark, alone in its process: node test/bench/router.ts PORT UPSTREAM_PORT ACCESS_LOG
import { startRouter } from '../../src/l7/router.ts';
import { endpoint, forward, host, route, snapshot } from '../fake/l7.ts';

const [port = '', upstreamPort = '', accessLog = ''] = process.argv.slice(2);
const router = startRouter({ workers: 1, accessLog, onFault: (what) => process.stderr.write(`${what}\n`) });
process.once('SIGTERM', () => void router.stop(0).then(() => process.exit(0)));
const table = [host(['*'], route('all', forward('up'), { path: { kind: 'prefix', value: '/' } }))];
const ack = await router.offer(snapshot(Number(port), table, [{ key: 'up' }]));
if (!ack.ok) throw new Error(ack.why);
router.endpoints({ cluster: 'up', version: '1', list: [endpoint(Number(upstreamPort))] });
