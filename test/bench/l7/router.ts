// The router of the L7 benchmarks, alone in its process: node test/bench/l7/router.ts JSON, which is a FoilInput.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Cluster, Secret, Snapshot, TlsHost } from '../../../src/mesh/snapshot.ts';
import { startRouter } from '../../../src/l7/router.ts';
import { endpoint, forward, host, route, snapshot } from '../../fake/l7.ts';
import type { FoilInput } from './foils.ts';
import { hostName, prefix } from './work.ts';

const input = JSON.parse(process.argv[2] ?? '') as FoilInput;
const { folder, port, upstreamPort, work, http2Behind, tls, mutual } = input;
const onFault = (what: string): void => void process.stderr.write(`${what}\n`);
const accessLog = join(folder, 'router-access.log');
const router = startRouter({ workers: 1, accessLog, maxConnections: 60_000, onFault });
process.once('SIGTERM', () => void router.stop(0).then(() => process.exit(0)));

const read = (file: string): string => readFileSync(file, 'utf8');
const table = Array.from({ length: work.hosts }, (_h, h) =>
  host(
    [hostName(h)],
    ...Array.from({ length: work.prefixes }, (_p, p) =>
      route(`${h}-${p}`, forward('up'), { path: { kind: 'prefix', value: prefix(p) } }),
    ),
  ),
);
const cluster: Partial<Cluster> = {
  key: 'up',
  protocol: http2Behind === true ? 'HTTP/2' : 'HTTP/1.1',
  ...(mutual && { tls: { trust: 'trust', certificate: 'own', names: [mutual.upstreamUri] } }),
};

/** The same behind TLS. */
function secured(plain: Snapshot, { chain, key }: NonNullable<FoilInput['tls']>): Snapshot {
  const hosts: TlsHost = {
    host: '*',
    routes: 'main',
    certificates: ['own'],
    minimum: 'TLSv1.2',
    ...(mutual && { client: { required: true, trust: 'trust' } }),
  };
  const secrets: Secret[] = [{ name: 'own', chain: read(chain), key: read(key) }];
  if (mutual !== undefined) secrets.push({ name: 'trust', ca: read(mutual.ca) });
  const listeners = plain.listeners.map((listener) => ({
    ...listener,
    protocol: 'HTTPS' as const,
    tls: [hosts],
    ...(mutual && { forwardCertificate: ['URI' as const] }),
  }));
  return { ...plain, listeners, secrets };
}

await router.started();
const plain = snapshot(port, table, [cluster]);
const ack = await router.offer(tls === undefined ? plain : secured(plain, tls));
if (!ack.ok) throw new Error(ack.why);
router.endpoints({ cluster: 'up', version: '1', list: [endpoint(upstreamPort)] });
