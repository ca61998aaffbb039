// The SSH server: a connection is let in or not, then each of its channels is one session of the CLI.
//
//   1. limits: how many strangers at once, from one network (crowd.ts), and for how long
//   2. transport by ssh2: modern algorithms, strict key exchange
//   3. authentication                                      auth.ts
//   4. channels: shell and exec, nothing else              channel.ts
import { createServer, type Server as NetServer, type Socket } from 'node:net';
import { setImmediate } from 'node:timers/promises';
import type { Logger } from 'pino';
import ssh2, { type AuthContext, type Connection, type ServerConfig } from 'ssh2';
import type { Role } from '../../engine/slice.ts';
import type { Clock } from '../../lib/clock.ts';
import { printable } from '../../lib/table.ts';
import type { Session } from '../session.ts';
import { checkKey, checkPassword, type Users } from './auth.ts';
import { serveChannels } from './channel.ts';
import { type Comer, type CrowdLimits, openCrowd } from './crowd.ts';

export interface SshLimits extends CrowdLimits {
  readonly channelsPerConnection: number;
  readonly passwordTries: number;
  readonly keyTries: number;
  readonly loginMs: number;
  /** Without a key pressed. */
  readonly idleMs: number;
  /** How long a refusal takes, whatever its reason. */
  readonly refusalMs: number;
}

export const sshLimits: SshLimits = {
  strangers: 64,
  strangersPerAddress: 10,
  connections: 128,
  ratePerAddress: 10,
  burstPerAddress: 10,
  channelsPerConnection: 8,
  passwordTries: 3,
  keyTries: 12,
  loginMs: 30_000,
  idleMs: 30 * 60_000,
  refusalMs: 1_000,
};

/** Someone who logged in. */
export interface Visitor {
  readonly user: string;
  readonly role: Role;
  /** "10.0.0.5", or "local" on a unix socket. */
  readonly from: string;
  /** The address of ours that they came to. */
  readonly to?: string;
}

export interface SshOptions {
  /** An OpenSSH private key (hostkey.ts). */
  readonly hostKey: string;
  /** The users as they are now. */
  users(): Users;
  openSession(visitor: Visitor): Session;
  readonly clock: Clock;
  readonly log: Pick<Logger, 'info' | 'warn' | 'debug'>;
  readonly limits?: Partial<SshLimits>;
  /** Shown above the first prompt. */
  greeting?(): string;
  /** What sessions are told when the server ends. */
  readonly goodbye?: string;
}

export interface Listening extends AsyncDisposable {
  /** The port, where 0 was asked for. */
  readonly port?: number;
}

/** Disposing ends the sessions, with a word. */
export interface SshServer extends AsyncDisposable {
  /** Throws what node:net throws (EADDRINUSE, EADDRNOTAVAIL, EACCES). Disposing stops listening and cuts nobody. */
  listen(at: { readonly address: string; readonly port: number } | { readonly path: string }): Promise<Listening>;
  /** Ends the connections of users who are gone or have another role by now. */
  recheck(): void;
  /** Who is logged in. */
  visitors(): readonly (Visitor & { readonly since: number })[];
}

// Order is preference. No post-quantum exchange: ssh2 has none.
const algorithms: NonNullable<ServerConfig['algorithms']> = {
  kex: ['curve25519-sha256', 'curve25519-sha256@libssh.org'],
  serverHostKey: ['ssh-ed25519'],
  cipher: ['chacha20-poly1305@openssh.com', 'aes256-gcm@openssh.com', 'aes128-gcm@openssh.com'],
  hmac: ['hmac-sha2-512-etm@openssh.com', 'hmac-sha2-256-etm@openssh.com'],
  compress: ['none'],
};

const lastWordMs = 500;

interface Peer extends Comer {
  readonly socket: Socket;
  readonly since: number;
  stranger: boolean;
  visitor: Visitor | undefined;
  passwordTries: number;
  keyTries: number;
}

interface Ssh {
  readonly options: SshOptions;
  readonly limits: SshLimits;
  readonly peers: Set<Peer>;
  readonly ending: AbortController;
  readonly mayCome: ReturnType<typeof openCrowd<Peer>>;
}

/** An SSH server that listens nowhere yet. */
export function openSshServer(options: SshOptions): SshServer {
  const limits = { ...sshLimits, ...options.limits };
  const ssh: Ssh = { options, limits, peers: new Set(), mayCome: openCrowd(limits), ending: new AbortController() };
  const listeners = new Set<NetServer>();
  return {
    async listen(at) {
      const server = createServer({ noDelay: true, keepAlive: true }, (socket) => welcome(ssh, socket));
      await listening(server, at);
      listeners.add(server);
      const address = server.address();
      const stop = async (): Promise<void> => {
        listeners.delete(server);
        server.close();
      };
      const port = typeof address === 'object' && address ? { port: address.port } : {};
      return { ...port, [Symbol.asyncDispose]: stop };
    },
    recheck() {
      const users = options.users();
      for (const { socket, visitor } of ssh.peers) {
        if (!visitor) continue;
        const user = Object.hasOwn(users, visitor.user) ? users[visitor.user] : undefined;
        if (user?.role !== visitor.role) socket.destroy();
      }
    },
    visitors: () => [...ssh.peers].flatMap(({ visitor, since }) => (visitor ? [{ ...visitor, since }] : [])),
    async [Symbol.asyncDispose]() {
      for (const server of listeners) server.close();
      ssh.ending.abort(options.goodbye ?? 'the server ends');
      // What was said goes out before the end does, to those who read.
      await setImmediate();
      for (const { socket } of ssh.peers) {
        socket.destroySoon();
        options.clock.after(lastWordMs, () => socket.destroy());
      }
    },
  };
}

/** Listens, or throws the error that says why not. */
export function listening(
  server: NetServer,
  at: { readonly address: string; readonly port: number } | { readonly path: string },
): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    const place = 'path' in at ? { path: at.path } : { host: at.address, port: at.port, ipv6Only: true };
    server.listen({ ...place, backlog: 128 }, () => {
      server.off('error', reject);
      // An accept that fails for want of descriptors is not the end of the daemon.
      server.on('error', () => undefined);
      resolve();
    });
  });
}

/** "::ffff:10.0.0.5" is 10.0.0.5. */
export function plainAddress(address: string | undefined): string {
  return address === undefined ? 'local' : address.replace(/^::ffff:(?=\d+\.)/, '');
}

function welcome(ssh: Ssh, socket: Socket): void {
  const { limits, options, peers } = ssh;
  const from = plainAddress(socket.remoteAddress);
  const answer = ssh.mayCome(from, peers, options.clock.monotonic());
  if (answer === 'no') {
    options.log.debug({ from }, 'too many connections: refused');
    socket.destroy();
    return;
  }
  if (answer !== 'yes') {
    options.log.debug({ from: answer.from }, 'too many connections: the oldest of them is closed');
    answer.socket.destroy();
    peers.delete(answer);
  }
  const peer: Peer = {
    socket,
    from,
    since: options.clock.now(),
    stranger: true,
    visitor: undefined,
    passwordTries: 0,
    keyTries: 0,
  };
  peers.add(peer);
  const login = options.clock.after(limits.loginMs, () => {
    if (!peer.visitor) socket.destroy();
  });
  const idle = idleTimer(ssh, peer);
  socket.on('close', () => {
    login[Symbol.dispose]();
    idle.stop();
    peers.delete(peer);
    if (peer.visitor) options.log.info({ user: peer.visitor.user, from }, 'logged out');
  });
  socket.on('error', () => socket.destroy());
  // A server of its own for each socket, so that the connection that it announces is surely this one.
  const server = new ssh2.Server({ hostKeys: [options.hostKey], ident: 'midplane', algorithms }, (connection) =>
    serve(ssh, peer, connection, idle.touch),
  );
  server.injectSocket(socket as Parameters<typeof server.injectSocket>[0]);
}

function idleTimer(ssh: Ssh, peer: Peer): { readonly touch: () => void; readonly stop: () => void } {
  const { clock } = ssh.options;
  let timer: Disposable | undefined;
  const touch = (): void => {
    timer?.[Symbol.dispose]();
    timer = clock.after(ssh.limits.idleMs, () => peer.socket.destroy());
  };
  touch();
  return { touch, stop: () => timer?.[Symbol.dispose]() };
}

function serve(ssh: Ssh, peer: Peer, connection: Connection, touch: () => void): void {
  const { options, limits } = ssh;
  connection.on('error', (error) => {
    options.log.debug({ from: peer.from, error: error.message }, 'connection failed');
    peer.socket.destroy();
  });
  connection.on('authentication', (context) => void authenticate(ssh, peer, connection, context));
  connection.on('ready', () => {
    const { visitor } = peer;
    if (!visitor) return void peer.socket.destroy();
    options.log.info({ user: visitor.user, role: visitor.role, from: visitor.from }, 'logged in');
    serveChannels(connection, peer.socket, {
      mostChannels: limits.channelsPerConnection,
      openSession: () => options.openSession(visitor),
      greeting: options.greeting?.() ?? '',
      touch,
      ending: ssh.ending.signal,
    });
  });
}

/** One try to log in. A refusal is as slow for a wrong password as for a user who does not exist. */
async function authenticate(ssh: Ssh, peer: Peer, connection: Connection, context: AuthContext): Promise<void> {
  const { options, limits } = ssh;
  const users = options.users();
  const started = options.clock.monotonic();
  if (context.method === 'publickey') {
    const answer = checkKey(users, context.username, context);
    if (answer === 'in') return letIn(peer, users, context);
    if (answer === 'probe') return context.accept();
    peer.keyTries += 1;
    if (context.signature || peer.keyTries >= limits.keyTries) await pause(ssh, started);
    if (peer.keyTries >= limits.keyTries) return void connection.end();
    return context.reject(['publickey', 'password']);
  }
  if (context.method !== 'password') return context.reject(['publickey', 'password']);
  const right = await checkPassword(users, context.username, context.password);
  if (peer.socket.destroyed) return;
  if (right) return letIn(peer, users, context);
  peer.passwordTries += 1;
  options.log.warn({ user: printable(context.username).slice(0, 64), from: peer.from }, 'login refused');
  await pause(ssh, started);
  if (peer.passwordTries >= limits.passwordTries) return void connection.end();
  context.reject(['publickey', 'password']);
}

function letIn(peer: Peer, users: Users, context: AuthContext): void {
  const role = users[context.username]?.role;
  if (role === undefined) return context.reject();
  const to = peer.socket.localAddress === undefined ? {} : { to: plainAddress(peer.socket.localAddress) };
  peer.stranger = false;
  peer.visitor = { user: context.username, role, from: peer.from, ...to };
  context.accept();
}

function pause(ssh: Ssh, started: number): Promise<void> {
  const { clock } = ssh.options;
  const left = ssh.limits.refusalMs - (clock.monotonic() - started);
  return new Promise((resolve) => void clock.after(Math.max(0, left), resolve));
}
