// The corpus of request smuggling before a server of HTTP/2: what HTTP/1.1 could be read as in two ways becomes no
// stream, and the legal sibling of each becomes just the streams that it is.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import http2 from 'node:http2';
import type { IncomingHttpHeaders, ServerHttp2Session, ServerHttp2Stream } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { connect, sleep } from '../../../test/fake/l7.ts';
import { http2Rig } from '../../../test/fake/l7-rig.ts';
import type { Logged } from '../../../test/fake/l7-rig.ts';
import { cases } from '../../../test/lab/smuggling/cases.ts';
import { read } from '../../../test/lab/smuggling/reader.ts';

/** Goes behind every case: who still knows where a request begins answers it and closes. */
const closing = 'GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n';

async function openSite() {
  const seen: string[] = [];
  let streams = 0;
  const server = http2.createServer();
  const sessions = new Set<ServerHttp2Session>();
  server.on('session', (session) => {
    sessions.add(session.on('error', () => {}));
  });
  server.on('stream', (stream: ServerHttp2Stream, head: IncomingHttpHeaders) => {
    let body = '';
    streams += 1;
    stream.on('error', () => {});
    stream.on('data', (piece: Buffer) => (body += piece.toString('latin1')));
    stream.on('end', () => {
      if (stream.aborted || stream.rstCode !== 0) return;
      seen.push(`${head[':method']} ${head[':path']} ${head[':authority']} ${JSON.stringify(body)}`);
      stream.respond({ ':status': 200, 'content-length': 2 });
      stream.end('ok');
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const s = await http2Rig((server.address() as AddressInfo).port);
  return {
    seen,
    log: s.r.log,
    streams: () => streams,
    /** Statuses of what these bytes are answered with, up to the end of their connection. */
    async put(bytes: string): Promise<readonly number[]> {
      seen.length = s.r.log.length = streams = 0;
      const c = await connect(s.port);
      c.send(Buffer.from(bytes + closing, 'latin1'));
      const text = await c.closed();
      c.socket.destroy();
      const statuses = [...text.matchAll(/HTTP\/1\.[01] (\d{3})/g)].map((found) => Number(found[1]));
      for (let i = 0; i < 500 && s.r.log.length < statuses.length; i += 1) await sleep(1);
      assert.equal(s.r.log.length, statuses.length, 'an answer for each that was counted');
      return statuses;
    },
    async [Symbol.asyncDispose]() {
      assert.deepEqual(s.r.faults, []);
      await s[Symbol.asyncDispose]();
      for (const session of sessions) session.destroy();
      server.close();
    },
  };
}

const passed = (log: readonly Logged[]): number => log.filter((line) => line.upstream !== '').length;

test(`${cases.length} cases of smuggling before a server of HTTP/2, and their siblings`, async () => {
  await using site = await openSite();
  const wrong: string[] = [];
  const judge = async (name: string, body: () => Promise<void>): Promise<void> => {
    await body().catch((error: Error) => wrong.push(`${name}: ${error.message}`));
  };
  for (const one of cases) {
    await judge(one.name, async () => {
      const statuses = await site.put(one.bytes);
      assert.ok(site.streams() <= passed(site.log), `the router passed on ${passed(site.log)}, not ${site.streams()}`);
      const whole = site.log.filter((line) => line.status === 200).length;
      assert.equal(site.seen.length, whole, `${whole} were served: ${JSON.stringify(site.seen)}`);
      if (one.forwards === undefined) {
        assert.equal(whole, 0, 'served, and the case says no reason');
        assert.match(statuses.join(), /^(4\d\d|501|505)$/);
      } else
        assert.deepEqual([...new Set(statuses)], one.name.startsWith('an upgrade to WebSocket') ? [501, 200] : [200]);
    });
    await judge(`the sibling of ${one.name}`, async () => {
      const wanted = read(one.sibling + closing).map(({ text }) => text);
      assert.deepEqual(
        await site.put(one.sibling),
        wanted.map(() => 200),
      );
      assert.deepEqual(site.seen, wanted);
    });
  }
  assert.equal(wrong.length, 0, `${wrong.length}\n${wrong.join('\n\n')}`);
});
