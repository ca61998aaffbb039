// The HTTP API: one server on the unix socket and on TCP.
//
//   1. who asks: SO_PEERCRED on the unix socket, a bearer token on TCP
//   2. which route, and may this role
//   3. the route reads its input, acts, answers           routes.ts, exchange.ts
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { Logger } from 'pino';
import type { Role } from '../engine/slice.ts';
import { createServer, STATUS_CODES } from '../lib/http.ts';
import { findToken } from '../lib/secret/token.ts';
import { HttpError, requestProblem, sendError, type Caller } from './exchange.ts';
import { routesOf, type Route, type RouteOptions } from './routes.ts';

export interface ApiToken {
  readonly role: Role;
  /** "sha256:..." (lib/secret/token.ts). */
  readonly hash: string;
}

/** A terminal that comes in by Upgrade. */
export interface TerminalGuest {
  readonly caller: Caller;
  readonly columns: number;
  readonly rows: number;
}

export interface ApiOptions extends RouteOptions {
  /** The tokens as they are now, by name. */
  tokens(): Readonly<Record<string, ApiToken>>;
  /** Uid of the process at the other end of a unix socket (SO_PEERCRED); undefined where there is none. */
  peerUid(socket: Socket): number | undefined;
  /** Runs an interactive session until it ends. */
  terminal(stream: Duplex, guest: TerminalGuest, signal: AbortSignal): Promise<void>;
  /** /metrics needs no token. */
  openMetrics(): boolean;
  /** How long a request's head and all of it may take to arrive. */
  readonly headersMs?: number;
  readonly requestMs?: number;
  readonly log: Pick<Logger, 'info' | 'warn'>;
  /** What terminals are told when the server ends. */
  readonly goodbye?: string;
}

export interface ApiListening extends AsyncDisposable {
  /** The port, where 0 was asked for. */
  readonly port?: number;
}

const lastWordMs = 500;

/** Disposing cuts who is connected; terminals with a word. */
export interface ApiServer extends AsyncDisposable {
  /** Throws what node:net throws (EADDRINUSE, EADDRNOTAVAIL, EACCES). Disposing stops listening and cuts nobody. */
  listen(at: { readonly address: string; readonly port: number } | { readonly path: string }): Promise<ApiListening>;
}

/** An API that listens nowhere yet. */
export function openApi(options: ApiOptions): ApiServer {
  const routes = routesOf(options);
  const servers = new Set<Server>();
  const terminals = new Set<Socket>();
  return {
    async listen(at) {
      const server = makeServer(options, routes, terminals);
      await listening(server, at);
      servers.add(server);
      const address = server.address();
      const port = typeof address === 'object' && address ? { port: address.port } : {};
      const stop = async (): Promise<void> => {
        servers.delete(server);
        server.close();
      };
      return { ...port, [Symbol.asyncDispose]: stop };
    },
    async [Symbol.asyncDispose]() {
      for (const server of servers) {
        server.close();
        server.closeAllConnections();
      }
      for (const socket of terminals) {
        socket.write(`\r\n${options.goodbye ?? 'the server ends'}\r\n`);
        socket.destroySoon();
        setTimeout(() => socket.destroy(), lastWordMs).unref();
      }
    },
  };
}

/** Requests that never got whole, by Node's code. */
const unread: Readonly<Record<string, readonly [number, string]>> = {
  ERR_HTTP_REQUEST_TIMEOUT: [408, 'the request took too long'],
  HPE_HEADER_OVERFLOW: [431, 'the head of a request has at most 16384 bytes'],
};

function makeServer(options: ApiOptions, routes: readonly Route[], terminals: Set<Socket>): Server {
  const { headersMs = 10_000, requestMs = 60_000 } = options;
  const server = createServer(
    {
      maxHeaderSize: 16 * 1024,
      headersTimeout: headersMs,
      requestTimeout: requestMs,
      connectionsCheckingInterval: Math.min(headersMs, 5_000),
      keepAliveTimeout: 30_000,
      noDelay: true,
      // Others ("h2c") are answered as if they had not asked.
      shouldUpgradeCallback: (request) => request.headers.upgrade?.toLowerCase() === terminalProtocol,
    },
    (request, response) => void answer(options, routes, request, response),
  );
  server.maxConnections = 256;
  server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    terminals.add(socket as Socket);
    socket.once('close', () => terminals.delete(socket as Socket));
    void upgrade(options, request, socket as Socket, head);
  });
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
    if (error.code === 'ECONNRESET' || !socket.writable) return void socket.destroy();
    const [status, message] = unread[error.code ?? ''] ?? [400, 'no HTTP request'];
    socket.end(plainResponse(new HttpError(status, [requestProblem(message)])));
  });
  return server;
}

function listening(server: Server, at: { address: string; port: number } | { path: string }): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen('path' in at ? { path: at.path } : { host: at.address, port: at.port, ipv6Only: true }, () => {
      server.off('error', reject);
      // An accept that fails for want of descriptors is not the end of the daemon.
      server.on('error', () => undefined);
      resolve();
    });
  });
}

async function answer(
  options: ApiOptions,
  routes: readonly Route[],
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const gone = new AbortController();
  response.once('close', () => {
    if (!response.writableFinished) gone.abort();
  });
  try {
    const url = urlOf(request);
    const { route, groups } = routeOf(routes, request.method ?? '', url.pathname);
    const caller = callerOf(options, request, route, url.pathname);
    await route.run({ request, response, url, caller, signal: gone.signal }, groups);
  } catch (error) {
    if (error instanceof HttpError) return sendError(response, error);
    // A client that went away in the middle of its body.
    if (gone.signal.aborted || request.destroyed) return void response.destroy();
    throw error;
  }
}

function urlOf(request: IncomingMessage): URL {
  const target = request.url ?? '/';
  if (!target.startsWith('/') || !URL.canParse(target, 'http://switch')) {
    throw new HttpError(400, [requestProblem('the request target is no path')]);
  }
  return new URL(target, 'http://switch');
}

function routeOf(routes: readonly Route[], method: string, path: string): { route: Route; groups: readonly string[] } {
  const there = routes.flatMap((route) => {
    const match = route.path.exec(path);
    return match ? [{ route, groups: match.slice(1) }] : [];
  });
  const [any] = there;
  if (!any) throw new HttpError(404, [requestProblem(`there is no ${path.slice(0, 200)}`)]);
  // HEAD is GET without a body: node leaves it away.
  const wanted = method === 'HEAD' ? 'GET' : method;
  const found = there.find(({ route }) => route.method === wanted);
  if (!found) throw new HttpError(405, [requestProblem(`${any.route.method} is the method here`)]);
  return found;
}

const roles: readonly Role[] = ['viewer', 'operator', 'admin'];
const nobody: Caller = { who: 'anyone', role: 'viewer' };

/** Who asks. Throws 401 for a stranger, 403 for a role that does not reach. */
function callerOf(options: ApiOptions, request: IncomingMessage, route: Route, path: string): Caller {
  if (route.role === undefined || (path === '/metrics' && options.openMetrics())) return nobody;
  const caller = identify(options, request);
  if (roles.indexOf(caller.role) < roles.indexOf(route.role)) {
    throw new HttpError(
      403,
      [],
      [{ code: 'not-permitted', what: path, why: `this needs the role ${route.role}`, retry: false }],
    );
  }
  return caller;
}

function identify(options: ApiOptions, request: IncomingMessage): Caller {
  const { socket } = request;
  const refuse = (message: string): HttpError => new HttpError(401, [requestProblem(message)]);
  if (socket.remoteAddress === undefined) {
    const uid = options.peerUid(socket);
    if (uid !== 0) throw refuse('only root may use this socket');
    return { who: 'root@local', role: 'admin' };
  }
  const from = socket.remoteAddress.replace(/^::ffff:(?=\d+\.)/, '');
  const token = /^Bearer ([A-Za-z0-9._~+/=-]{1,512})$/i.exec(request.headers.authorization ?? '')?.[1];
  if (token === undefined) throw refuse('a bearer token is needed');
  const tokens = options.tokens();
  const name = findToken(token, new Map(Object.entries(tokens).map(([key, { hash }]) => [key, hash])));
  if (name === undefined) {
    options.log.warn({ from }, 'unknown token');
    throw refuse('the token is not known');
  }
  return { who: `${name}@api:${from}`, role: tokens[name]?.role ?? 'viewer' };
}

export const terminalProtocol = 'midplane-terminal';

/** `POST /v1/terminal` with `Upgrade: midplane-terminal`; columns and rows in the query. */
async function upgrade(options: ApiOptions, request: IncomingMessage, socket: Socket, head: Buffer): Promise<void> {
  const gone = new AbortController();
  socket.once('close', () => gone.abort());
  socket.on('error', () => socket.destroy());
  try {
    const url = urlOf(request);
    const route: Route = { method: 'POST', path: /^\/v1\/terminal$/, role: 'viewer', run: () => undefined };
    routeOf([route], request.method ?? '', url.pathname);
    const caller = callerOf(options, request, route, url.pathname);
    if (request.headers.upgrade?.toLowerCase() !== terminalProtocol) {
      throw new HttpError(426, [requestProblem(`the protocol here is ${terminalProtocol}`)]);
    }
    const size = (name: string, otherwise: number, least: number): number => {
      const value = Number(url.searchParams.get(name) ?? otherwise);
      return Number.isInteger(value) ? Math.min(Math.max(value, least), 1000) : otherwise;
    };
    socket.setTimeout(0);
    socket.write(`HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: ${terminalProtocol}\r\n\r\n`);
    if (head.length > 0) socket.unshift(head);
    const guest = { caller, columns: size('columns', 80, 20), rows: size('rows', 24, 4) };
    await options.terminal(socket, guest, gone.signal);
    socket.end();
  } catch (error) {
    if (!(error instanceof HttpError)) throw error;
    socket.end(plainResponse(error));
  }
}

function plainResponse(error: HttpError): string {
  const body = `${JSON.stringify({ problems: error.problems, faults: error.faults })}\n`;
  const head = [
    `HTTP/1.1 ${error.status} ${STATUS_CODES[error.status]}`,
    'content-type: application/json; charset=utf-8',
    `content-length: ${Buffer.byteLength(body)}`,
    'connection: close',
  ];
  return `${head.join('\r\n')}\r\n\r\n${body}`;
}
