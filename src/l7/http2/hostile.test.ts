// Servers of HTTP/2 that do what they must not: their client hears of it, in an answer or by its end, and the router
// serves the next.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { test } from 'node:test';
import { END_STREAM, frame, framesOf, get, headers, http2Client, preface, u32 } from '../../../test/fake/http2.ts';
import type { FrameType } from '../../../test/fake/http2.ts';
import { connect, sleep } from '../../../test/fake/l7.ts';
import { http2Rig } from '../../../test/fake/l7-rig.ts';
import { hostileCases } from './cases/hostile.ts';
import type { HostileCase, Words } from './cases/hostile.ts';

const words: Words = {
  frame: (type, flags, id, payload) => frame(type as FrameType | number, flags, id, payload),
  headers,
  u32,
};

/** Says its SETTINGS, and to each request what the case has. */
async function hostileServer() {
  let now: HostileCase | undefined;
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => sockets.delete(socket));
    let all = Buffer.alloc(0);
    let answered = false;
    socket.write(frame('SETTINGS', 0, 0));
    socket.on('data', (piece: Buffer) => {
      all = Buffer.concat([all, piece]);
      const asked = framesOf(all.subarray(preface.length)).some((f) => f.type === 'HEADERS');
      if (!asked || answered || now === undefined) return;
      answered = true;
      socket.write(Buffer.concat(now.answer(words)));
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    becomes(c: HostileCase) {
      now = c;
      for (const socket of sockets) socket.destroy();
    },
    [Symbol.dispose]() {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}

async function openSite() {
  const server = await hostileServer();
  const s = await http2Rig(server.port);
  return {
    ...s,
    async become(one: HostileCase): Promise<void> {
      server.becomes(one);
      await sleep(10);
    },
    async [Symbol.asyncDispose]() {
      assert.deepEqual(s.r.faults, []);
      assert.equal(s.r.engine.stats().refusedRows, 0);
      await s[Symbol.asyncDispose]();
      server[Symbol.dispose]();
    },
  };
}

test(`${hostileCases.length} answers of servers that must not break the router, nor get through`, async () => {
  assert.ok(hostileCases.filter((c) => !c.name.startsWith('legal')).length >= 40);
  assert.equal(new Set(hostileCases.map((c) => c.name)).size, hostileCases.length, 'a name stands once');
  await using s = await openSite();
  for (const one of hostileCases) {
    await s.become(one);
    const c = await connect(s.port);
    c.send(`${one.method ?? 'GET'} / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`);
    const text = await c.closed().catch((error: Error) => assert.fail(`${one.name}: ${error.message}`));
    const final = text.replace(/^(HTTP\/1\.1 1\d\d [^]*?\r\n\r\n)*/, '');
    const status = Number(/^HTTP\/1\.1 (\d+)/.exec(final)?.[1]);
    const whole = final.endsWith('\r\n0\r\n\r\n') || !/chunked/.test(final);
    if (one.outcome === 'broken') {
      const [, length = '', body = ''] = /content-length: (\d+)[^]*?\r\n\r\n([^]*)$/.exec(final) ?? [];
      const short = length === '' ? !whole : body.length < Number(length);
      // Where the fault came before its head was read, nothing had begun.
      assert.ok(short || status === 502 || status === 503, `${one.name}: looked whole: ${final}`);
    } else assert.equal(status, one.outcome, `${one.name}: ${final}`);
    assert.doesNotMatch(final.split('\r\n\r\n')[0]!, /set-cookie|\nz: 1/, `${one.name}: a field got through`);
    c.socket.destroy();
  }
});

test('the same answers, to clients of HTTP/2', async () => {
  await using s = await openSite();
  for (const one of hostileCases) {
    await s.become(one);
    const c = await http2Client(s.port);
    c.send(headers(1, [[':method', one.method ?? 'GET'], ...get.slice(1)]));
    const over = await c.until((f) => f.id === 1 && (f.type === 'RST_STREAM' || (f.flags & END_STREAM) !== 0));
    const mine = c.frames().filter((f) => f.id === 1 && f.type !== 'WINDOW_UPDATE');
    const heads = mine.filter((f) => f.type === 'HEADERS').map((f) => c.fields(f));
    const final = heads.find((fields) => Number(fields[':status']) >= 200);
    const status = Number(final?.[':status']);
    const said = `${one.name}: ${mine.map((f) => `${f.type}/${f.flags}`).join(' ')} ${JSON.stringify(heads)}`;
    if (one.outcome === 'broken') assert.ok(over.type === 'RST_STREAM' || status === 502 || status === 503, said);
    else assert.deepEqual([status, over.type === 'RST_STREAM'], [one.outcome, false], said);
    for (const fields of heads)
      assert.ok(!('set-cookie' in fields) && !('z' in fields), `${said}: a field got through`);
    c.destroy();
  }
});
