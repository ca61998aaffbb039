// Streams of requests, legal and not, cut anywhere: what the upstream reads must be exactly the legal requests before
// the first illegal one, each with its body, and the client must get each answer in its place. The upstream's reader
// below shares no code with the router.
import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { test } from 'node:test';
import fc from 'fast-check';
import { connect, forward, host, route, upstream } from '../../test/fake/l7.ts';
import { rig } from '../../test/fake/l7-rig.ts';

interface Message {
  readonly id: string;
  readonly body: string;
}

/** Reads whole requests off the front of a text; throws on anything that is not plain. */
function readAll(text: string): { messages: Message[]; rest: string } {
  const messages: Message[] = [];
  let rest = text;
  for (;;) {
    const end = rest.indexOf('\r\n\r\n');
    if (end < 0) return { messages, rest };
    const [line = '', ...lines] = rest.slice(0, end).split('\r\n');
    const id = /^[A-Z]+ \/(\d+) HTTP\/1\.1$/.exec(line)?.[1];
    assert.ok(id !== undefined, `request line ${JSON.stringify(line)}`);
    const fields = lines.map((l) => /^([a-z0-9-]+): ?(.*)$/.exec(l) ?? assert.fail(`field ${JSON.stringify(l)}`));
    const all = (name: string) => fields.filter((f) => f[1] === name).map((f) => f[2]!);
    const [length, coding] = [all('content-length'), all('transfer-encoding')];
    assert.ok(length.length + coding.length <= 1, rest.slice(0, end));
    const after = rest.slice(end + 4);
    if (coding.length === 1) {
      assert.equal(coding[0], 'chunked');
      const done = readChunks(after);
      if (done === undefined) return { messages, rest };
      messages.push({ id, body: done.body });
      rest = done.rest;
    } else {
      const size = Number(length[0] ?? 0);
      if (after.length < size) return { messages, rest };
      messages.push({ id, body: after.slice(0, size) });
      rest = after.slice(size);
    }
  }
}

function readChunks(text: string): { body: string; rest: string } | undefined {
  let body = '';
  let rest = text;
  for (;;) {
    const line = /^([0-9a-f]+)\r\n/.exec(rest);
    if (line === null) {
      assert.match(rest, /^[0-9a-f]*\r?$/);
      return undefined;
    }
    const size = Number.parseInt(line[1]!, 16);
    const after = rest.slice(line[0].length);
    if (after.length < size + 2) return undefined;
    assert.equal(after.slice(size, size + 2), '\r\n');
    if (size === 0) return { body, rest: after.slice(2) };
    body += after.slice(0, size);
    rest = after.slice(size + 2);
  }
}

const crlf = '\r\n';
const bodyText = fc.stringMatching(/^[ -~\r\n]{0,60}$/);

/** A legal request but for its number. */
const legal = fc.record({
  kind: fc.constantFrom('none', 'length', 'chunked'),
  body: bodyText,
  cuts: fc.array(fc.nat(20), { maxLength: 4 }),
});

function text(id: number, r: { kind: string; body: string; cuts: readonly number[] }): { wire: string; body: string } {
  const head = `POST /${id} HTTP/1.1\r\nHost: a\r\n`;
  if (r.kind === 'none') return { wire: `GET /${id} HTTP/1.1\r\nHost: a\r\n\r\n`, body: '' };
  if (r.kind === 'length') return { wire: `${head}Content-Length: ${r.body.length}\r\n\r\n${r.body}`, body: r.body };
  let wire = `${head}Transfer-Encoding: chunked\r\n\r\n`;
  let rest = r.body;
  for (const cut of [...r.cuts, 1000]) {
    const piece = rest.slice(0, cut);
    rest = rest.slice(cut);
    if (piece !== '') wire += `${piece.length.toString(16).toUpperCase()};ext="a b"${crlf}${piece}${crlf}`;
  }
  return { wire: `${wire}00${crlf}Trailer: x${crlf}${crlf}`, body: r.body };
}

/** Requests with which two readers could disagree; the number would be 666. */
const smuggled = 'GET /666 HTTP/1.1\r\nHost: a\r\n\r\n';
const illegal = [
  `POST /9 HTTP/1.1\r\nHost: a\r\nContent-Length: ${smuggled.length}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${smuggled}`,
  `POST /9 HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: ${smuggled.length}\r\n\r\n${smuggled}`,
  `POST /9 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\nContent-Length: ${smuggled.length}\r\n\r\n${smuggled}`,
  `POST /9 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n${smuggled}`,
  `POST /9 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n${smuggled}`,
  `POST /9 HTTP/1.1\r\nHost: a\r\nX: y\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${smuggled}`,
  `POST /9 HTTP/1.1\r\nHost: a\r\nX: y\rContent-Length: 5\r\n\r\n${smuggled}`,
  `GET /9 HTTP/1.1\r\nHost: a\r\n Content-Length: ${smuggled.length}\r\n\r\n${smuggled}`,
  `POST /9 HTTP/1.1\r\nHost: a\r\nContent-Length: +${smuggled.length}\r\n\r\n${smuggled}`,
  `POST /9 HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${smuggled}`,
  `GET /9 HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n${smuggled}`,
  `GET /9 HTTP/1.1\n\n${smuggled}`,
];
/** Chunk framing that breaks after the head has gone up. */
const broken = [
  `POST /9 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0x0\r\n\r\n${smuggled}`,
  `POST /9 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1 \r\nA\r\n0\r\n\r\n${smuggled}`,
  `POST /9 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;\nA\r\n0\r\n\r\n${smuggled}`,
  `POST /9 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nAB0\r\n\r\n${smuggled}`,
  `POST /9 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: y\n\r\n\r\n${smuggled}`,
];

/** Answers each request with its number and body, framed by turns in each way there is. */
function echo(seen: Message[]) {
  const waiting = new Map<Socket, string>();
  return (socket: Socket, piece: Buffer): void => {
    const { messages, rest } = readAll((waiting.get(socket) ?? '') + piece.toString('latin1'));
    waiting.set(socket, rest);
    for (const message of messages) {
      seen.push(message);
      const body = `<${message.id}:${message.body}>`;
      const way = Number(message.id) % 3;
      if (way === 0) socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
      else if (way === 1)
        socket.write(
          `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`,
        );
      else socket.end(`HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n${body}`);
    }
  };
}

test('the upstream sees the legal requests and nothing else, the client each answer in its place', async () => {
  const seen: Message[] = [];
  const faults: unknown[] = [];
  const answer = echo(seen);
  await using up = await upstream((socket, piece) => {
    try {
      answer(socket, piece);
    } catch (error) {
      faults.push(error);
    }
  });
  using r = await rig();
  r.serve([host(['*'], route('r', forward('a')))]);
  r.endpoints('a', [up.port]);
  const stream = fc.record({
    requests: fc.array(legal, { minLength: 1, maxLength: 6 }),
    end: fc.option(fc.oneof(fc.constantFrom(...illegal), fc.constantFrom(...broken)), { nil: undefined }),
    pieces: fc.array(fc.integer({ min: 1, max: 80 }), { minLength: 1, maxLength: 30 }),
  });
  await fc.assert(
    fc.asyncProperty(stream, async ({ requests, end, pieces }) => {
      seen.length = 0;
      const wires = requests.map((q, i) => text(i, q));
      const last = end ?? 'GET /7 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n';
      const c = await connect(r.port);
      let rest = wires.map((w) => w.wire).join('') + last;
      for (const size of [...pieces, rest.length]) {
        c.send(Buffer.from(rest.slice(0, size), 'latin1'));
        rest = rest.slice(size);
        await new Promise((resolve) => setImmediate(resolve));
      }
      const got = await c.closed();
      c.socket.destroy();
      assert.deepEqual(faults, []);
      const wanted = wires.map((w, i) => ({ id: String(i), body: w.body }));
      assert.deepEqual(seen, end === undefined ? [...wanted, { id: '7', body: '' }] : wanted);
      let at = 0;
      for (const { id, body } of wanted) {
        const next = got.indexOf(`<${id}:${body}>`, at);
        assert.ok(next >= at, `answer ${id} in ${JSON.stringify(got)}`);
        at = next + 1;
      }
      if (end !== undefined) assert.match(got, /HTTP\/1\.1 (400|501) [^]*$/);
      assert.doesNotMatch(got, /666/);
    }),
    { numRuns: 150 },
  );
  assert.deepEqual(r.faults, []);
});
