// The corpus of requests that must not get through where HTTP/2 becomes HTTP/1.1, or HTTP/2 again. The server behind
// counts: it has seen exactly the siblings.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import http2 from 'node:http2';
import type { IncomingHttpHeaders, ServerHttp2Session, ServerHttp2Stream } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { END_STREAM, frame, headers, http2Client } from '../../../test/fake/http2.ts';
import type { Http2Client } from '../../../test/fake/http2.ts';
import { sleep } from '../../../test/fake/l7.ts';
import { http2Rig, simpleRig } from '../../../test/fake/l7-rig.ts';
import type { Rig } from '../../../test/fake/l7-rig.ts';
import { downgradeCases } from './cases/downgrade.ts';
import type { DowngradeCase } from './cases/downgrade.ts';

function send(c: Http2Client, id: number, { fields, body = [], trailers }: DowngradeCase): void {
  c.send(headers(id, fields, body.length === 0 ? END_STREAM : 0));
  body.forEach((piece, i) => {
    const last = i === body.length - 1 && trailers === undefined;
    c.send(frame('DATA', last ? END_STREAM : 0, id, Buffer.from(piece, 'latin1')));
  });
  if (trailers !== undefined && body.length > 0) c.send(headers(id, trailers));
}

interface Site extends AsyncDisposable {
  readonly r: Rig;
  /** Request lines that the server behind has seen. */
  readonly requests: string[];
}

async function beforeHttp1(): Promise<Site> {
  const requests: string[] = [];
  const s = await simpleRig((socket, piece, all) => {
    const text = piece.toString('latin1');
    for (const [line] of text.matchAll(/^[A-Z]+ [^\r\n]* HTTP\/1\.1(?=\r\n)/gm)) requests.push(line);
    if (/\r\n\r\n/.test(all)) socket.end('HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok');
  });
  return { ...s, requests };
}

async function beforeHttp2(): Promise<Site> {
  const requests: string[] = [];
  const server = http2.createServer();
  const sessions = new Set<ServerHttp2Session>();
  server.on('session', (session) => void sessions.add(session.on('error', () => {})));
  server.on('stream', (stream: ServerHttp2Stream, head: IncomingHttpHeaders) => {
    requests.push(`${head[':method']} ${head[':path']} HTTP/1.1`);
    stream.on('error', () => {});
    stream.on('end', () => {
      if (stream.aborted) return;
      stream.respond({ ':status': 200 });
      stream.end('ok');
    });
    stream.resume();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const s = await http2Rig((server.address() as AddressInfo).port);
  return {
    r: s.r,
    requests,
    async [Symbol.asyncDispose]() {
      await s[Symbol.asyncDispose]();
      for (const session of sessions) session.destroy();
      server.close();
    },
  };
}

/** The case ends as it says, and the server behind has seen none of it, nor a request in it. */
async function judgeCase({ r, requests }: Site, c: Http2Client, one: DowngradeCase, outcome: string): Promise<void> {
  requests.length = 0;
  send(c, 1, one);
  assert.equal(await c.outcome(1), outcome, one.name);
  // A body that breaks its length may end its request before that has begun, and GOAWAY is of no one request.
  if (one.body === undefined && !outcome.startsWith('GOAWAY')) {
    for (let i = 0; i < 200 && r.log.length === 0; i += 1) await sleep(2);
    const { status, flags, upstream } = r.log[0]!;
    assert.ok(status >= 400 && (flags !== '' || upstream !== ''), `${one.name}: the log says why`);
  }
  r.log.length = 0;
  // Of one whose body or answer is at fault the head has gone, alone.
  const own = one.body === undefined && outcome !== '502' ? [] : ['POST / HTTP/1.1', 'GET / HTTP/1.1'];
  assert.ok(requests.length < 2 && requests.every((line) => own.includes(line)), `${one.name}: ${requests.join()}`);
}

for (const [protocol, open] of Object.entries({ 'HTTP/1.1': beforeHttp1, 'HTTP/2': beforeHttp2 })) {
  test(`requests that must not get through to ${protocol}, and their siblings that must`, async () => {
    assert.ok(downgradeCases.length >= 100);
    assert.equal(new Set(downgradeCases.map((c) => c.name)).size, downgradeCases.length, 'a name stands once');
    await using s = await open();
    for (const one of downgradeCases) {
      let c = await http2Client(s.r.port);
      const { outcome = 'RST 1' } = one;
      // Whose server takes no WebSockets is told so.
      await judgeCase(s, c, one, outcome === '502' && protocol === 'HTTP/2' ? '501' : outcome);
      if (outcome.startsWith('GOAWAY')) {
        c.destroy();
        c = await http2Client(s.r.port);
      }
      send(c, 3, { ...one, ...one.sibling });
      assert.equal(await c.outcome(3), '200', `the sibling of ${one.name}`);
      s.r.log.length = 0;
      c.destroy();
    }
    assert.deepEqual(s.r.faults, []);
  });
}
