// From a change of an endpoint to the first answer that shows it: through the router, through a real Envoy that is
// programmed over xDS, and with the commit that says it.
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { pino } from 'pino';
import { startRouter } from '../../src/l7/router.ts';
import { systemClock } from '../../src/lib/clock.ts';
import type { Consumer } from '../../src/mesh/snapshot.ts';
import { bootstrap } from '../../src/mesh/xds/bootstrap.ts';
import { openXds } from '../../src/mesh/xds/server.ts';
import { connect, endpoint, forward, host, route, snapshot } from '../fake/l7.ts';
import { envoyBinary, startEnvoy, until } from '../lab/envoy.ts';
import { backendOf } from '../lab/mesh/compare.ts';
import { document, get, openSite, type Site, type Which } from '../lab/mesh/site.ts';
import { alone, type Bench, type Group, type Row, short } from './row.ts';
import { freePort } from '../fake/port.ts';

const changes = 25;
const commits = 5;
/** Between two changes, so that none meets the work of the one before. */
const restMs = 100;

export const mesh: Group = { name: 'mesh', what: 'an endpoint changes, to the first changed answer', run: runMesh };

async function runMesh(bench: Bench): Promise<readonly Row[]> {
  const rows = [...(await bare(bench))];
  rows.push(...(await committed(bench)));
  return rows;
}

async function openBackend(name: string): Promise<AsyncDisposable & { readonly port: number }> {
  const server = createServer((_, answer) => answer.end(`from-${name}`)).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

/** Asks on one connection, again and again, until the answer is from that backend. */
async function answers(port: number, name: string): Promise<void> {
  const client = await connect(port);
  try {
    for (let text = ''; !text.includes(`from-${name}`);) {
      client.clear();
      client.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
      text = await client.until(/from-[ab]|HTTP\/1.1 503 [^]*\r\n\r\n/, 20_000);
    }
  } finally {
    client.socket.destroy();
  }
}

/** The model changes in this process; consumers are told, as the daemon tells them. */
async function bare(bench: Bench): Promise<readonly Row[]> {
  await using stack = new AsyncDisposableStack();
  const folder = mkdtempSync(join(tmpdir(), `${bench.prefix}-mesh-`));
  stack.defer(() => rmSync(folder, { recursive: true, force: true }));
  const backends = { a: stack.use(await openBackend('a')), b: stack.use(await openBackend('b')) };
  const hosts = [host(['*'], route('all', forward('up')))];
  let version = 0;
  const point = (consumer: Consumer, name: 'a' | 'b'): void => {
    version += 1;
    consumer.endpoints({ cluster: 'up', version: String(version), list: [endpoint(backends[name].port)] });
  };
  const offer = async (consumer: Consumer, scope: 'router' | 'gateway'): Promise<number> => {
    const port = await freePort();
    point(consumer, 'a');
    const ack = await consumer.offer({ ...snapshot(port, hosts, [{ key: 'up' }]), scope });
    if (!ack.ok) throw new Error(ack.why);
    return port;
  };
  const measure = async (what: string, consumer: Consumer, port: number): Promise<Row> => {
    const samples: number[] = [];
    for (let i = 0; i < changes; i += 1) {
      bench.signal.throwIfAborted();
      const name = i % 2 === 0 ? 'b' : 'a';
      await sleep(restMs);
      const begun = performance.now();
      point(consumer, name);
      await answers(port, name);
      samples.push(performance.now() - begun);
    }
    bench.say(`${what}, ms: ${samples.map(short).join(' ')}`);
    return alone(`an endpoint changes, to the first changed answer: ${what}`, 'ms', samples);
  };
  const rows: Row[] = [];
  const router = stack.use(startRouter({ workers: 1, ackMs: 20_000 }));
  const routerPort = await offer(router, 'router');
  await answers(routerPort, 'a');
  rows.push(await measure('the router', router, routerPort));
  if (!existsSync(envoyBinary)) {
    bench.say('Envoy is not installed (native/envoy.sh): not measured');
    return rows;
  }
  const socketPath = join(folder, 'xds.sock');
  const xds = stack.use(await openXds({ socketPath, log: pino({ level: 'silent' }), clock: systemClock }));
  const gateway = xds.consumer('gateway');
  const envoyPort = await offer(gateway, 'gateway');
  stack.use(startEnvoy(folder, bootstrap({ role: 'gateway', id: 'bench', xds: { path: socketPath } })));
  await until('Envoy answers', () =>
    answers(envoyPort, 'a').then(
      () => true,
      () => false,
    ),
  );
  rows.push(await measure('an Envoy over xDS', gateway, envoyPort));
  return rows;
}

/** The whole way: a document is committed by the API, both routers take it. */
async function committed(bench: Bench): Promise<readonly Row[]> {
  if (!existsSync(envoyBinary)) return [];
  const read = (name: string): string => readFileSync(join(import.meta.dirname, '../lab/mesh/manifests', name), 'utf8');
  const manifests = { 'gateway.yaml': read('gateway.yaml'), 'live.yaml': read('live.yaml') };
  await using site = await openSite(manifests);
  const moved = document.replace(/moving: (\{ address: \S+) port: 8005/, 'moving: $1 port: 8006');
  const rows: Row[] = [];
  for (const which of ['router', 'envoy'] as const) {
    const samples: number[] = [];
    for (let i = 0; i < commits; i += 1) {
      for (const [text, name] of [
        [moved, 'e1'],
        [document, 'd1'],
      ] as const) {
        bench.signal.throwIfAborted();
        samples.push(await oneCommit(site, which, { document: text, manifests }, name));
      }
    }
    const what = which === 'envoy' ? 'an Envoy over xDS' : 'the router';
    bench.say(`by a commit, ${what}, ms: ${samples.map(short).join(' ')}`);
    rows.push(alone(`the same, from the commit's request on: ${what}`, 'ms', samples));
  }
  return rows;
}

async function oneCommit(site: Site, which: Which, body: object, name: string): Promise<number> {
  await site.settled();
  await sleep(restMs);
  const begun = performance.now();
  const answer = site.sw.api<{ ok: boolean }>('POST', '/v1/commit', body);
  for (;;) {
    const given = await site.ask(which, 80, get('/moving', 'live.test'));
    if (backendOf(given) === name) break;
    if (performance.now() - begun > 20_000) throw new Error(`${which}: no answer from ${name}: ${given.body}`);
  }
  const took = performance.now() - begun;
  const { status } = await answer;
  if (status !== 200) throw new Error(`commit: ${status}`);
  return took;
}
