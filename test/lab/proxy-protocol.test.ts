// The PROXY protocol against HAProxy, whose invention it is: what it sends we read, what we write it believes.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { printIp, ipFromBytes, parseIp } from '../../src/lib/ip.ts';
import { INET, INET6, STREAM, UNSPEC, findTlv, parseProxy, proxy, proxyInfo, tlv } from '../../src/l7/head/proxy.ts';
import { writeProxy1, writeProxy2 } from '../../src/l7/head/proxy.ts';
import type { ProxyInfo } from '../../src/l7/head/proxy.ts';
import { connect, forward, host, route, snapshot, stream, streams, upstream } from '../fake/l7.ts';
import { rig } from '../fake/l7-rig.ts';
import { foilsMissing, startHaproxyWith } from './smuggling/foils.ts';
import { freePort } from '../fake/port.ts';

const request = 'GET /x HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n';
const answer = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok';

/** A request over a socket of the family; gives the client's port. */
async function ask(host: string, port: number, localAddress?: string): Promise<number> {
  const socket = net.connect({ host, port, ...(localAddress !== undefined && { localAddress }) });
  await new Promise((resolve) => socket.once('connect', resolve));
  const { localPort } = socket;
  socket.write(request);
  socket.resume();
  await new Promise((resolve) => socket.once('close', resolve));
  return localPort ?? 0;
}

interface Told {
  readonly by: string;
  readonly version: number;
  readonly from: string;
  readonly fromIsClient: boolean;
  readonly to: string;
  readonly toPort: number;
  /** The bytes behind the header are the request. */
  readonly rest: boolean;
}

function told(by: string, text: string, clientPort: number): Told {
  const bytes = Buffer.from(text, 'latin1');
  for (let n = 0; n < 16; n += 1) assert.equal(parseProxy(bytes, 0, n), 0);
  const used = parseProxy(bytes, 0, bytes.length);
  assert.ok(used > 0, `${by}: ${proxy.why}: ${JSON.stringify(text)}`);
  const size = proxy.family === INET6 ? 16 : 4;
  const name = (a: Uint8Array) => printIp(ipFromBytes(a.subarray(0, size)));
  const { version, fromPort, toPort } = proxy;
  const rest = bytes.toString('latin1', used).startsWith('GET /x ');
  return {
    by,
    version,
    from: name(proxy.from),
    fromIsClient: fromPort === clientPort,
    to: name(proxy.to),
    toPort,
    rest,
  };
}

const ways = {
  'send-proxy': 1,
  'send-proxy-v2': 2,
  'send-proxy-v2 proxy-v2-options crc32c': 2,
  'send-proxy-v2 proxy-v2-options unique-id,crc32c': 2,
} as const;

test('what HAProxy sends', { skip: foilsMissing }, async () => {
  const folder = mkdtempSync(join(tmpdir(), 'mpt-proxy-'));
  await using stack = new AsyncDisposableStack();
  stack.defer(() => rmSync(folder, { recursive: true }));
  const up = stack.use(await upstream((socket, _, all) => void (all.includes('GET') && socket.end(answer))));
  const ports = await Promise.all(Object.keys(ways).map(freePort));
  const sections = Object.keys(ways).map(
    (way, i) => `
frontend in${i}
  bind 127.0.0.1:${ports[i]}
  bind ::1:${ports[i]} v6only
  unique-id-format id-%cp
  default_backend up${i}
backend up${i}
  server one 127.0.0.1:${up.port} ${way}
`,
  );
  stack.use(await startHaproxyWith(join(folder, 'send.cfg'), sections.join(''), ports[0]!));
  for (const [i, [way, version]] of Object.entries(ways).entries()) {
    for (const host of ['127.0.0.1', '::1']) {
      up.seen.length = 0;
      const client = await ask(host, ports[i]!);
      const got = told(way, up.seen.join(''), client);
      assert.deepEqual(got, {
        by: way,
        version,
        from: host,
        fromIsClient: true,
        to: host,
        toPort: ports[i],
        rest: true,
      });
      const bytes = Buffer.from(up.seen.join(''), 'latin1');
      if (way.includes('unique-id')) {
        assert.ok(findTlv(bytes, 5));
        assert.equal(bytes.toString('latin1', tlv.off, tlv.off + tlv.len), `id-${client}`);
      }
      assert.equal(findTlv(bytes, 3), way.includes('crc32c'), 'a checksum, where one is asked for');
      if (!way.includes('crc32c')) continue;
      bytes[17] = bytes[17]! ^ 1;
      assert.equal(parseProxy(bytes, 0, bytes.length), -1);
      assert.match(proxy.why, /checksum/);
    }
  }
});

function info(from: string, to: string): ProxyInfo {
  const [a, b] = [parseIp(from)!, parseIp(to)!];
  const made = Object.assign(proxyInfo(), { family: a.family === 4 ? INET : INET6, transport: STREAM });
  made.from.set(a.bytes);
  made.to.set(b.bytes);
  return Object.assign(made, { fromPort: 4711, toPort: 80 });
}

test('what HAProxy believes', { skip: foilsMissing }, async () => {
  const folder = mkdtempSync(join(tmpdir(), 'mpt-proxy-'));
  await using stack = new AsyncDisposableStack();
  stack.defer(() => rmSync(folder, { recursive: true }));
  const up = stack.use(await upstream((socket, _, all) => void (all.includes('GET') && socket.end(answer))));
  const port = await freePort();
  const sections = `
frontend in
  bind 127.0.0.1:${port} accept-proxy
  option forwardfor
  http-request set-header x-client "%[src] %[src_port] %[dst] %[dst_port]"
  default_backend up
backend up
  server one 127.0.0.1:${up.port}
`;
  stack.use(await startHaproxyWith(join(folder, 'accept.cfg'), sections, port));
  const said = [
    info('192.0.2.1', '198.51.100.7'),
    info('255.255.255.255', '0.0.0.0'),
    info('2001:db8::1', 'fd00:10::80'),
    info('2001:db8:1:2:3:4:5:6', '::1'),
  ];
  for (const write of [writeProxy1, writeProxy2]) {
    for (const one of [...said, Object.assign(proxyInfo(), { family: UNSPEC })]) {
      up.seen.length = 0;
      const bytes = Buffer.alloc(300);
      const c = await connect(port);
      c.send(bytes.subarray(0, write(bytes, 0, one)));
      c.send(request);
      assert.match(await c.closed(), /ok$/, up.seen.join(''));
      const client = /\r\nx-client: (.*)\r\n/i.exec(up.seen.join(''))?.[1];
      const size = one.family === INET6 ? 16 : 4;
      const name = (a: Uint8Array) => printIp(ipFromBytes(a.subarray(0, size)));
      const own = `127.0.0.1 ${c.socket.localPort} 127.0.0.1 ${port}`;
      assert.equal(client, one.family === UNSPEC ? own : `${name(one.from)} 4711 ${name(one.to)} 80`);
    }
  }
});

test(
  'the router behind HAProxy: the client is who HAProxy says, in HTTP and in TCP',
  { skip: foilsMissing },
  async () => {
    const folder = mkdtempSync(join(tmpdir(), 'mpt-proxy-'));
    await using stack = new AsyncDisposableStack();
    stack.defer(() => rmSync(folder, { recursive: true }));
    const up = stack.use(await upstream((socket, _, all) => void (all.includes('GET') && socket.end(answer))));
    const [http, tcp] = [stack.use(await rig()), stack.use(await rig())];
    const plain = snapshot(http.port, [host(['*'], route('all', forward('a')))], [{ key: 'a' }]);
    const trusting = (s: typeof plain) => ({
      ...s,
      listeners: s.listeners.map((l) => ({ ...l, proxyFrom: ['127.0.0.1/32'] })),
    });
    http.apply(trusting(plain));
    tcp.apply(trusting(streams(tcp.port, 'TCP', [stream('db', 'a')])));
    for (const r of [http, tcp]) r.endpoints('a', [up.port]);
    const ways = [http, tcp].flatMap((r) => ['send-proxy', 'send-proxy-v2'].map((way) => ({ r, way })));
    const ports = await Promise.all(ways.map(freePort));
    const sections = ways.map(
      ({ r, way }, i) => `
frontend in${i}
  bind 127.0.0.1:${ports[i]}
  default_backend up${i}
backend up${i}
  server one 127.0.0.1:${r.port} ${way}
`,
    );
    stack.use(await startHaproxyWith(join(folder, 'front.cfg'), sections.join(''), ports[0]!));
    for (const [i, { r, way }] of ways.entries()) {
      up.seen.length = 0;
      r.log.length = 0;
      await ask('127.0.0.1', ports[i]!, '127.0.0.9');
      for (let n = 0; n < 100 && r.log.length === 0; n += 1) await new Promise((resolve) => setTimeout(resolve, 10));
      assert.deepEqual(
        r.log.map((l) => l.client),
        ['127.0.0.9'],
        way,
      );
      if (r === http) assert.match(up.seen.join(''), /x-forwarded-for: 127\.0\.0\.9\r\n/);
      else assert.match(up.seen.join(''), /^GET \/x /);
    }
  },
);

test('HAProxy behind the router: it believes who the client is', { skip: foilsMissing }, async () => {
  const folder = mkdtempSync(join(tmpdir(), 'mpt-proxy-'));
  await using stack = new AsyncDisposableStack();
  stack.defer(() => rmSync(folder, { recursive: true }));
  const up = stack.use(await upstream((socket, _, all) => void (all.includes('GET') && socket.end(answer))));
  const port = await freePort();
  const sections = `
frontend in
  bind 127.0.0.1:${port} accept-proxy
  http-request set-header x-client "%[src] %[src_port] %[dst_port]"
  default_backend up
backend up
  server one 127.0.0.1:${up.port}
`;
  stack.use(await startHaproxyWith(join(folder, 'behind.cfg'), sections, port));
  const r = stack.use(await rig());
  r.endpoints('a', [port]);
  for (const proxyProtocol of [1, 2] as const) {
    const clusters = [{ key: 'a', proxyProtocol }];
    const all = [
      snapshot(r.port, [host(['*'], route('all', forward('a')))], clusters),
      streams(r.port, 'TCP', [stream('db', 'a')], clusters),
    ];
    for (const s of all) {
      r.apply(s);
      up.seen.length = 0;
      const client = await ask('127.0.0.1', r.port, '127.0.0.9');
      const said = /\r\nx-client: (.*)\r\n/i.exec(up.seen.join(''))?.[1];
      assert.equal(said, `127.0.0.9 ${client} ${r.port}`, up.seen.join(''));
    }
  }
});
