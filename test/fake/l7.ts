// What the router's tests stand on: snapshots in a few words, a raw client that shows bytes, an upstream that says what
// it is told to say.
import net from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { noEdits } from '../../src/mesh/snapshot.ts';
import type {
  Cluster,
  Endpoint,
  Listener,
  Route,
  RouteAction,
  RouteMatch,
  Snapshot,
  StreamRoute,
  VirtualHost,
} from '../../src/mesh/snapshot.ts';

/** Whether somebody accepts connections on a port of loopback. */
export function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = net.connect({ port, host: '127.0.0.1' });
    const done = (yes: boolean): void => {
      socket.destroy();
      resolve(yes);
    };
    socket.once('connect', () => done(true));
    socket.once('error', () => done(false));
  });
}

export function route(
  name: string,
  action: RouteAction,
  match: Partial<RouteMatch> = {},
  more: Partial<Route> = {},
): Route {
  return { name, match: { headers: [], query: [], ...match }, request: noEdits, response: noEdits, action, ...more };
}

/** Forwards to clusters by weight: forward('a'), forward('a 80', 'b 20'). */
export function forward(...clusters: string[]): Extract<RouteAction, { kind: 'forward' }> {
  return {
    kind: 'forward',
    timeoutMs: 0,
    clusters: clusters.map((text) => {
      const [cluster = '', weight = '1'] = text.split(' ');
      return { cluster, weight: Number(weight), request: noEdits, response: noEdits };
    }),
  };
}

export function host(domains: readonly string[], ...routes: Route[]): VirtualHost {
  return { name: domains[0] ?? '', domains, routes };
}

let versions = 0;

/** A snapshot of one listener with one table of these hosts. */
export function snapshot(
  port: number,
  hosts: readonly VirtualHost[],
  clusters: readonly Partial<Cluster>[] = [],
): Snapshot {
  versions += 1;
  return {
    scope: 'router',
    version: String(versions),
    listeners: [{ name: `127.0.0.1:${port}`, address: '127.0.0.1', port, protocol: 'HTTP', routes: 'main' }],
    routes: [{ name: 'main', hosts }],
    clusters: clusters.map((c) => ({
      key: '',
      protocol: 'HTTP/1.1',
      connectTimeoutMs: 1000,
      policy: 'round-robin',
      ...c,
    })),
    secrets: [],
  };
}

/** A stream to clusters by weight: stream('db', 'a 80', 'b 20'). */
export function stream(name: string, ...clusters: string[]): StreamRoute {
  const all = clusters.map((text) => {
    const [cluster = '', weight = '1'] = text.split(' ');
    return { cluster, weight: Number(weight) };
  });
  return { name, clusters: all };
}

/** The snapshot with a listener that does not speak HTTP, and these streams behind it. */
export function streams(
  port: number,
  protocol: Listener['protocol'],
  routes: readonly StreamRoute[],
  clusters: readonly Partial<Cluster>[] = [{ key: 'a' }],
): Snapshot {
  const made = snapshot(port, [], clusters);
  return {
    ...made,
    listeners: made.listeners.map((l) => ({ ...l, protocol })),
    routes: [{ name: 'main', hosts: [], streams: routes }],
  };
}

export function endpoint(port: number, more: Partial<Endpoint> = {}): Endpoint {
  return { address: '127.0.0.1', port, weight: 1, healthy: true, name: `e${port}`, ...more };
}

/** A server that collects what comes and lets a script answer. */
export interface Upstream extends AsyncDisposable {
  readonly port: number;
  /** Everything that came, one text a connection. */
  readonly seen: string[];
  readonly sockets: Socket[];
  readonly server: Server;
}

/** `on` is called with each piece that comes; by default each request head gets "200" and the body "ok". */
export async function upstream(on?: (socket: Socket, piece: Buffer, all: string) => void, port = 0): Promise<Upstream> {
  const seen: string[] = [];
  const sockets: Socket[] = [];
  const server = net.createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    const at = seen.push('') - 1;
    sockets.push(socket);
    socket.on('error', () => {});
    socket.on('end', () => socket.end());
    socket.on('data', (piece: Buffer) => {
      const before = seen[at] ?? '';
      seen[at] = before.length > 100_000 ? before : before + piece.toString('latin1');
      if (on !== undefined) return on(socket, piece, seen[at]!);
      const heads = piece.toString('latin1').split('\r\n\r\n').length - 1;
      socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'.repeat(heads));
    });
  });
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  return {
    port: (server.address() as AddressInfo).port,
    seen,
    sockets,
    server,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** For what comes at once, but on a machine that has much else to do. */
export const patienceMs = 10_000;

/** A connection that shows bytes. */
export interface Client {
  readonly socket: Socket;
  send(bytes: string | Uint8Array): void;
  /** All that has come so far. */
  text(): string;
  /** Resolves when what has come matches, rejects after `ms` or when the connection ends without it. */
  until(pattern: RegExp, ms?: number): Promise<string>;
  /** Resolves with everything when the other side has closed. */
  closed(ms?: number): Promise<string>;
  clear(): void;
}

export async function connect(port: number, o: { allowHalfOpen?: boolean } = {}): Promise<Client> {
  const socket = net.connect({ port, host: '127.0.0.1', noDelay: true, allowHalfOpen: o.allowHalfOpen ?? false });
  let all = '';
  let over = false;
  let look = (): void => {};
  socket.on('data', (piece: Buffer) => {
    all += piece.toString('latin1');
    look();
  });
  socket.on('error', () => {});
  socket.on('close', () => {
    over = true;
    look();
  });
  socket.on('end', () => {
    over = true;
    look();
  });
  await new Promise<void>((resolve, reject) => {
    socket.once('connect', resolve);
    socket.once('error', reject);
  });
  function wait(ready: () => boolean, what: string, ms: number): Promise<string> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`no ${what} in ${ms} ms, got ${JSON.stringify(all)}`)), ms);
      look = () => {
        if (!ready()) {
          if (!over) return;
          clearTimeout(timer);
          return reject(new Error(`closed without ${what}, got ${JSON.stringify(all)}`));
        }
        clearTimeout(timer);
        resolve(all);
      };
      look();
    });
  }
  return {
    socket,
    send: (bytes) => void socket.write(bytes),
    text: () => all,
    until: (pattern, ms = patienceMs) => wait(() => pattern.test(all), String(pattern), ms),
    closed: (ms = patienceMs) => wait(() => over, 'end', ms),
    clear() {
      all = '';
    },
  };
}

/** One request on a new connection, the whole answer. */
export async function once(port: number, head: string): Promise<string> {
  const client = await connect(port);
  client.send(head);
  const text = await client.closed();
  client.socket.destroy();
  return text;
}

/** GET on a new connection that closes. */
export function get(port: number, path = '/', more = ''): Promise<string> {
  return once(port, `GET ${path} HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n${more}\r\n`);
}

export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
