// What a function's process runs: serves the module's fetch(request, env, ctx) over HTTP/1.1. It is copied beside the
// module and imports nothing of ours. Arguments: the module's file and the settings' file.
import { readFileSync, writeSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { ReadableStream } from 'node:stream/web';

interface Settings {
  readonly port: number;
  readonly timeoutMs: number;
  readonly beatMs: number;
  readonly environment: Readonly<Record<string, string>>;
}

interface Context {
  waitUntil(promise: Promise<unknown>): void;
}

interface Module {
  readonly default?: {
    fetch?(request: Request, env: Settings['environment'], ctx: Context): Response | Promise<Response>;
  };
}

/** Bytes of a request's body at most; more is answered 413. */
const maxBody = 16 * 2 ** 20;
/** Longer than any client of ours keeps a connection idle, so that it never writes into one that closes. */
const keepAliveMs = 75_000;
/** Time for what waitUntil was given, after SIGTERM. */
const graceMs = 2000;
/** Descriptor of the heartbeat file: who launched us watches it. */
const heartbeat = 3;

class TooLarge extends Error {}

const [, , moduleFile = '', settingsFile = ''] = process.argv;
const settings = JSON.parse(readFileSync(settingsFile, 'utf8')) as Settings;
const pending = new Set<Promise<unknown>>();

// A log that is full must not end the function.
process.stdout.on('error', () => undefined);
process.stderr.on('error', () => undefined);
process.on('SIGXFSZ', () => undefined);
process.on('unhandledRejection', (reason) => console.error('unhandled rejection', reason));

const loaded = (await import(`file://${moduleFile}`)) as Module;
if (typeof loaded.default?.fetch !== 'function') throw new TypeError('the module has no `export default { fetch }`');
const handler = loaded.default;

const context: Context = {
  waitUntil(promise) {
    const kept = Promise.resolve(promise)
      .catch((error: unknown) => console.error('waitUntil', error))
      .finally(() => pending.delete(kept));
    pending.add(kept);
  },
};

/** A body that fails once it is longer than `maxBody`. */
async function* limited(incoming: IncomingMessage): AsyncGenerator<Uint8Array> {
  let size = 0;
  for await (const chunk of incoming as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > maxBody) throw new TooLarge('the body is too large');
    yield chunk;
  }
}

function toRequest(incoming: IncomingMessage, signal: AbortSignal): Request {
  const { method = 'GET', url = '/', rawHeaders } = incoming;
  const headers = new Headers();
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) headers.append(rawHeaders[i] ?? '', rawHeaders[i + 1] ?? '');
  const base = `http://${headers.get('host') ?? 'localhost'}`;
  const init = { method, headers, signal, redirect: 'manual' } as const;
  if (method === 'GET' || method === 'HEAD') return new Request(new URL(url, base), init);
  const body = Readable.toWeb(Readable.from(limited(incoming), { objectMode: false })) as ReadableStream<Uint8Array>;
  return new Request(new URL(url, base), { ...init, body, duplex: 'half' } as RequestInit);
}

async function send(response: Response, outgoing: ServerResponse, signal: AbortSignal): Promise<void> {
  outgoing.statusCode = response.status;
  if (response.statusText !== '') outgoing.statusMessage = response.statusText;
  for (const [name, value] of response.headers) if (name !== 'set-cookie') outgoing.setHeader(name, value);
  const cookies = response.headers.getSetCookie();
  if (cookies.length > 0) outgoing.setHeader('set-cookie', cookies);
  if (response.body === null || outgoing.req.method === 'HEAD') {
    await response.body?.cancel();
    outgoing.end();
    return;
  }
  await pipeline(Readable.fromWeb(response.body as ReadableStream), outgoing, { signal });
}

function refuse(outgoing: ServerResponse, status: number): void {
  if (outgoing.headersSent) {
    outgoing.destroy();
    return;
  }
  for (const name of outgoing.getHeaderNames()) outgoing.removeHeader(name);
  outgoing.writeHead(status, { 'content-type': 'text/plain', connection: 'close' });
  outgoing.end(`${status}\n`);
}

/** Rejects when the signal comes. */
function until(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
  });
}

async function serve(incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
  if (Number(incoming.headers['content-length'] ?? 0) > maxBody) return refuse(outgoing, 413);
  const left = new AbortController();
  outgoing.once('close', () => left.abort());
  const deadline = AbortSignal.timeout(settings.timeoutMs);
  const signal = AbortSignal.any([deadline, left.signal]);
  let request: Request;
  try {
    request = toRequest(incoming, signal);
  } catch {
    return refuse(outgoing, 400);
  }
  try {
    const answer = Promise.resolve(handler.fetch?.(request, settings.environment, context));
    answer.catch(() => undefined);
    const response = await Promise.race([answer, until(signal)]);
    if (!(response instanceof Response)) throw new TypeError('fetch gave no Response');
    await send(response, outgoing, signal);
  } catch (error) {
    if (left.signal.aborted && !deadline.aborted) return;
    const tooLarge = error instanceof TooLarge || (error as Error).cause instanceof TooLarge;
    if (!deadline.aborted && !tooLarge) console.error(error);
    refuse(outgoing, deadline.aborted ? 504 : tooLarge ? 413 : 500);
  }
}

const server = createServer({ keepAliveTimeout: keepAliveMs }, (incoming, outgoing) => {
  serve(incoming, outgoing).catch((error: unknown) => {
    console.error(error);
    outgoing.destroy();
  });
});
server.maxConnections = 4096;
server.once('error', (error: NodeJS.ErrnoException) => {
  // A guest without IPv6.
  if (error.code !== 'EAFNOSUPPORT') throw error;
  server.listen({ port: settings.port, host: '0.0.0.0' });
});
server.listen({ port: settings.port, host: '::', backlog: 1024 });

const beat = (): void => void writeSync(heartbeat, '.', 0);
server.once('listening', () => {
  beat();
  setInterval(beat, settings.beatMs).unref();
});

process.once('SIGTERM', () => {
  server.close();
  server.closeIdleConnections();
  const drained = new Promise((done) => server.once('close', done)).then(() => Promise.allSettled(pending));
  setTimeout(() => process.exit(0), graceMs);
  void drained.then(() => process.exit(0));
});
