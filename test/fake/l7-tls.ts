// An engine alone that terminates TLS and says who is there, or passes requests on over TLS: what tests of the bytes
// beneath the router stand on.
import { hello, helloBytes, parseHello } from '../../src/l7/head/hello.ts';
import { openEngine } from '../../src/l7/transport-native.ts';
import * as t from '../../src/l7/transport.ts';
import type { TlsSpec } from '../../src/l7/tls/spec.ts';
import { listenAt } from './l7-engines.ts';
import { freePort } from './port.ts';

export interface TlsFront extends Disposable {
  readonly port: number;
  readonly engine: t.Engine;
  /** The context of connections that name this server; "" of all others. */
  readonly contexts: Map<string, number>;
  /** Where requests for /up go. */
  endpoint: number;
  readonly reasons: number[];
}

export const serverSpec: Omit<TlsSpec, 'certificates'> = {
  side: 'server',
  verify: 'never',
  minimum: 'TLSv1.2',
  alpn: ['http/1.1'],
};

const bodies: Readonly<Record<string, number>> = { close: t.BODY_CLOSE };

/** GET / answers with the connection's TLS as JSON, GET /big with a megabyte; POST /up is passed on with its body. */
export async function tlsFront(times: Partial<t.EngineTimes> = {}): Promise<TlsFront> {
  const port = await freePort();
  const engine = openEngine({ times, onBatch: (n) => batch(n) });
  const { arena, rows } = engine;
  const template = new Map<string, number>();
  const front: TlsFront = {
    port,
    engine,
    contexts: new Map(),
    endpoint: 0,
    reasons: [],
    [Symbol.dispose]: () => engine.shut(),
  };
  function reply(base: number, status: string, body: string): void {
    const text = `HTTP/1.1 ${status}\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;
    const id = template.get(text) ?? template.size + 1;
    template.set(text, id);
    engine.template(id, Buffer.from(text));
    rows[base + t.W_ACTION] = t.REPLY;
    rows[base + t.W_OUT] = t.OUT_KEEP;
    rows[base + t.W_TAIL] = id << 8;
  }
  function greet(base: number): void {
    const off = rows[base + t.W_OFF]!;
    const got = parseHello(arena, off, off + rows[base + t.W_LEN]!);
    const name = helloBytes.toString('latin1', hello.sniOff, hello.sniOff + hello.sniLen);
    const context = front.contexts.get(name) ?? front.contexts.get('');
    rows[base + t.W_ACTION] = got === 0 ? t.WAIT : got < 0 || context === undefined ? t.CLOSE : t.TLS;
    rows[base + t.W_ENDPOINT] = context ?? 0;
  }
  /** The head as it came, and how its body is framed. */
  function pass(base: number, text: string, size: number): void {
    const length = /content-length: *(\d+)/i.exec(text)?.[1];
    rows[base + t.W_ACTION] = t.FORWARD;
    rows[base + t.W_HEAD] = size;
    rows[base + t.W_TAIL] = 1;
    rows[base + t.W_RUNS] = rows[base + t.W_OFF]!;
    rows[base + t.W_RUNS + 1] = size;
    rows[base + t.W_BODY] = length === undefined ? t.BODY_NONE : t.BODY_LENGTH;
    rows[base + t.W_BODY_LO] = Number(length ?? 0);
    rows[base + t.W_OUT] = t.OUT_KEEP | t.OUT_KEEP_UPSTREAM;
  }
  function head(base: number): void {
    const off = rows[base + t.W_OFF]!;
    const text = arena.toString('latin1', off, off + rows[base + t.W_LEN]!);
    const size = text.indexOf('\r\n\r\n') + 4;
    if (size < 4) return;
    rows[base + t.W_HEAD] = size;
    if (rows[base + t.W_KIND] === t.RESPONSE) {
      pass(base, text, size);
      const framing = /x-framing: *(\w+)/i.exec(text)?.[1] ?? '';
      if (bodies[framing] === undefined) return;
      rows[base + t.W_BODY] = bodies[framing];
      rows[base + t.W_OUT] = 0;
      return;
    }
    if (text.includes(' /up ')) {
      rows[base + t.W_ENDPOINT] = front.endpoint;
      return pass(base, text, size);
    }
    const body = text.startsWith('GET /big ') ? 'x'.repeat(60_000) : JSON.stringify(engine.peer(rows[base]!).tls);
    reply(base, '200 OK', body);
  }
  function batch(n: number): void {
    for (let i = 0; i < n; i += 1) {
      const base = i * t.ROW_WORDS;
      const kind = rows[base + t.W_KIND];
      if (kind === t.HELLO) greet(base);
      else if (kind === t.REQUEST || kind === t.RESPONSE) head(base);
      else if (kind === t.FAILED) {
        front.reasons.push(rows[base + t.W_REASON]!);
        reply(base, '503 Unavailable', `reason ${rows[base + t.W_REASON]}`);
      } else if (kind === t.TIMEOUT) rows[base + t.W_ACTION] = t.CLOSE;
    }
  }
  listenAt(engine, port, 'bytes');
  return front;
}
