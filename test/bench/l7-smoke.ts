// A look at the router's throughput on this machine: an upstream in a child, the router's workers, and a client of many
// keep-alive connections in another child. Prints requests per second and the router's CPU time per 100,000 requests.
// node test/bench/l7-smoke.ts [seconds] [connections] [workers]
import { fork } from 'node:child_process';
import net from 'node:net';
import { once as event } from 'node:events';
import { startRouter } from '../../src/l7/router.ts';
import { endpoint, forward, host, route, snapshot } from '../fake/l7.ts';
import { freePort } from '../fake/port.ts';

const request = 'GET /p7/x HTTP/1.1\r\nHost: h7.test\r\nUser-Agent: smoke\r\nAccept: */*\r\n\r\n';

function serve(): void {
  const answer = Buffer.from('HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello');
  const server = net.createServer({ noDelay: true }, (socket) => {
    socket.on('error', () => {});
    socket.on('data', () => socket.write(answer));
  });
  server.listen(0, '127.0.0.1', () => process.send!((server.address() as net.AddressInfo).port));
}

function load(port: number, connections: number, seconds: number): void {
  let done = 0;
  let errors = 0;
  const bytes = Buffer.from(request);
  for (let i = 0; i < connections; i += 1) {
    const socket = net.connect({ port, host: '127.0.0.1', noDelay: true });
    socket.on('connect', () => socket.write(bytes));
    socket.on('error', () => (errors += 1));
    socket.on('data', (piece) => {
      if (piece.indexOf('hello') < 0) return void (errors += 1);
      done += 1;
      socket.write(bytes);
    });
  }
  setTimeout(() => {
    process.send!({ done, errors });
    process.exit(0);
  }, seconds * 1000);
}

async function main(seconds: number, connections: number, workers: number): Promise<void> {
  const upstream = fork(import.meta.filename, ['serve']);
  const [upstreamPort] = (await event(upstream, 'message')) as [number];
  const port = await freePort();
  const router = startRouter({ workers, onFault: (what) => console.error(what) });
  const hosts = Array.from({ length: 10 }, (_, h) =>
    host(
      [`h${h}.test`],
      ...Array.from({ length: 10 }, (_unused, p) =>
        route(`r${h}-${p}`, forward('a'), { path: { kind: 'prefix', value: `/p${p}` } }),
      ),
    ),
  );
  const ack = await router.offer(snapshot(port, hosts, [{ key: 'a' }]));
  if (!ack.ok) throw new Error(ack.why);
  router.endpoints({ cluster: 'a', version: '1', list: [endpoint(upstreamPort)] });
  const before = process.cpuUsage();
  const client = fork(import.meta.filename, ['load', String(port), String(connections), String(seconds)]);
  const [{ done, errors }] = (await event(client, 'message')) as [{ done: number; errors: number }];
  const used = process.cpuUsage(before);
  const cpu = (used.user + used.system) / 1e6;
  const row = router.routeStats().find((r) => r.route === 'r7-7');
  console.log(
    `${Math.round(done / seconds)} requests/s, ${errors} errors, ` +
      `${((cpu / done) * 100_000).toFixed(2)} CPU-s per 100k, ` +
      `p50 ${row?.p50Ms} ms, p99 ${row?.p99Ms} ms`,
  );
  await router.stop(0);
  upstream.kill();
}

const [what, ...rest] = process.argv.slice(2);
if (what === 'serve') serve();
else if (what === 'load') load(Number(rest[0]), Number(rest[1]), Number(rest[2]));
else await main(Number(what ?? 3), Number(rest[0] ?? 64), Number(rest[1] ?? 2));
