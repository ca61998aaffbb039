// The router of the L7 benchmarks, alone in its process:
//   node test/bench/l7/router.ts PORT UPSTREAM_PORT ACCESS_LOG HOSTS PREFIXES [CHAIN KEY [CALLS]]
import { readFileSync } from 'node:fs';
import type { Snapshot } from '../../../src/mesh/snapshot.ts';
import { startRouter } from '../../../src/l7/router.ts';
import { endpoint, forward, host, route, snapshot } from '../../fake/l7.ts';
import { hostName, prefix } from './work.ts';

const [port = '', upstreamPort = '', accessLog = '', hosts = '10', prefixes = '10', chain = '', key = '', calls] =
  process.argv.slice(2);
const onFault = (what: string): void => void process.stderr.write(`${what}\n`);
const router = startRouter({ workers: 1, accessLog, maxConnections: 60_000, onFault });
process.once('SIGTERM', () => void router.stop(0).then(() => process.exit(0)));
const table = Array.from({ length: Number(hosts) }, (_h, h) =>
  host(
    [hostName(h)],
    ...Array.from({ length: Number(prefixes) }, (_p, p) =>
      route(`${h}-${p}`, forward('up'), { path: { kind: 'prefix', value: prefix(p) } }),
    ),
  ),
);
const plain = snapshot(Number(port), table, [{ key: 'up', protocol: calls === 'true' ? 'HTTP/2' : 'HTTP/1.1' }]);
const tls = [{ host: '*', routes: 'main', certificates: ['own'], minimum: 'TLSv1.2' }] as const;
const secured: Snapshot = {
  ...plain,
  listeners: plain.listeners.map((l) => ({ ...l, protocol: 'HTTPS', tls })),
  secrets: chain === '' ? [] : [{ name: 'own', chain: readFileSync(chain, 'utf8'), key: readFileSync(key, 'utf8') }],
};
await router.started();
const ack = await router.offer(chain === '' ? plain : secured);
if (!ack.ok) throw new Error(ack.why);
router.endpoints({ cluster: 'up', version: '1', list: [endpoint(Number(upstreamPort))] });
