// The corpus of requests that must not get through where HTTP/2 becomes HTTP/1.1. The server behind counts: it has seen
// exactly the siblings.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { END_STREAM, frame, headers, http2Client } from '../../../test/fake/http2.ts';
import type { Http2Client } from '../../../test/fake/http2.ts';
import { sleep } from '../../../test/fake/l7.ts';
import { simpleRig } from '../../../test/fake/l7-rig.ts';
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

test(`${downgradeCases.length} requests that must not get through, and their siblings that must`, async () => {
  assert.ok(downgradeCases.length >= 100);
  assert.equal(new Set(downgradeCases.map((c) => c.name)).size, downgradeCases.length, 'a name stands once');
  const requests: string[] = [];
  await using s = await simpleRig((socket, piece, all) => {
    const text = piece.toString('latin1');
    for (const [line] of text.matchAll(/^[A-Z]+ [^\r\n]* HTTP\/1\.1(?=\r\n)/gm)) requests.push(line);
    if (/\r\n\r\n/.test(all)) socket.end('HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok');
  });
  for (const one of downgradeCases) {
    let c = await http2Client(s.port);
    requests.length = 0;
    send(c, 1, one);
    assert.equal(await c.outcome(1), one.outcome ?? 'RST 1', one.name);
    // A body that breaks its length may end its request before that has begun, and GOAWAY is of no one request.
    if (one.body === undefined && one.outcome?.startsWith('GOAWAY') !== true) {
      for (let i = 0; i < 200 && s.r.log.length === 0; i += 1) await sleep(2);
      assert.ok(s.r.log[0]!.status >= 400 && s.r.log[0]!.flags !== '', `${one.name}: the log says why`);
    }
    s.r.log.length = 0;
    assert.deepEqual(
      requests.filter((line) => line.includes('/x')),
      [],
      `${one.name}: a request in it got through`,
    );
    if (one.outcome?.startsWith('GOAWAY') === true) {
      c.destroy();
      c = await http2Client(s.port);
    }
    send(c, 3, { ...one, ...one.sibling });
    assert.equal(await c.outcome(3), '200', `the sibling of ${one.name}`);
    s.r.log.length = 0;
    c.destroy();
  }
  assert.deepEqual(s.r.faults, []);
});
