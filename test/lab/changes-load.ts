// Load on a router, from a process of its own: tunnels that count, requests on held connections, new connections, in
// the clear and over TLS. Every number that is missing and every answer that is not the expected one is kept as a word
// of what happened. By its standard input it is asked for the words ("look") and told to end ("stop").
import net from 'node:net';
import type { Socket } from 'node:net';
import { createInterface } from 'node:readline';
import tls from 'node:tls';

const upgrade = 'GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n';
const ask = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n';
const tickMs = 20;

export interface LoadOptions {
  readonly port: number;
  /** Every fourth held or new connection comes by this one, over TLS. */
  readonly secure: { readonly port: number; readonly ca: string };
  /** Tunnels, each of which says a number a second. */
  readonly tunnels: number;
  /** Held connections, and requests a second on all of them. */
  readonly held: number;
  readonly requests: number;
  /** New connections a second, for one request each. */
  readonly fresh: number;
}

export interface Report {
  readonly failures: Readonly<Record<string, number>>;
  readonly done: { readonly numbers: number; readonly requests: number; readonly fresh: number };
}

interface Load {
  report(): Report;
  /** Every tunnel has its last number back within so long. */
  stop(ms: number): Promise<void>;
}

class Tunnel {
  readonly socket: Socket;
  said = 0;
  heard = 0;
  private open = false;
  private rest = '';

  constructor(port: number, ready: () => void, fail: (why: string) => void) {
    this.socket = net.connect({ port, host: '127.0.0.1', noDelay: true });
    this.socket.setEncoding('latin1').on('data', (text: string) => {
      this.rest += text;
      if (!this.open) {
        if (!this.rest.endsWith('\r\n\r\n')) return;
        if (!this.rest.startsWith('HTTP/1.1 101')) fail('tunnel refused');
        this.open = true;
        this.rest = '';
        return ready();
      }
      const numbers = this.rest.split(';');
      this.rest = numbers.pop()!;
      for (const number of numbers) {
        this.heard += 1;
        if (Number(number) !== this.heard) fail('gap in a tunnel');
      }
    });
    this.socket.on('error', () => fail('tunnel reset')).on('close', () => fail('tunnel closed'));
    this.socket.write(upgrade);
  }

  say(): void {
    this.said += 1;
    this.socket.write(`${this.said};`);
  }
}

/** A connection that asks one thing at a time. */
class Asker {
  private socket: Socket;
  private readonly connect: () => Socket;
  private readonly fail: (why: string) => void;
  private got = '';
  busy = false;
  answered = 0;

  constructor(connect: () => Socket, fail: (why: string) => void) {
    this.connect = connect;
    this.fail = fail;
    this.socket = this.dial();
  }

  private dial(): Socket {
    const socket = this.connect();
    socket.setEncoding('latin1').on('data', (text: string) => {
      this.got += text;
      if (!this.got.endsWith('\r\n\r\nok')) return;
      if (!this.got.startsWith('HTTP/1.1 200')) this.fail(`answer ${this.got.slice(9, 12)}`);
      this.busy = false;
      this.answered += 1;
    });
    socket
      .on('error', () => undefined)
      .on('close', () => {
        if (socket !== this.socket) return;
        this.fail(this.busy ? 'request under way lost' : 'idle connection closed');
        this.busy = false;
        this.socket = this.dial();
      });
    return socket;
  }

  ask(): void {
    if (this.busy) return;
    this.busy = true;
    this.got = '';
    this.socket.write(ask);
  }

  end(): void {
    const { socket } = this;
    this.socket = new net.Socket();
    socket.destroy();
  }
}

/** By the number of a connection: in the clear, or over TLS. */
function ways({ port, secure }: LoadOptions): (i: number) => () => Socket {
  const context = tls.createSecureContext({ ca: secure.ca });
  const over = { port: secure.port, host: '127.0.0.1', secureContext: context, servername: 'a.test', noDelay: true };
  return (i) => (i % 4 === 0 ? () => tls.connect(over) : () => net.connect({ port, host: '127.0.0.1', noDelay: true }));
}

/** Resolves when all tunnels stand. */
async function startLoad(o: LoadOptions): Promise<Load> {
  const failures = new Map<string, number>();
  let going = true;
  const fail = (why: string): void => void (going && failures.set(why, (failures.get(why) ?? 0) + 1));
  const tunnels: Tunnel[] = [];
  for (let i = 0; i < o.tunnels; i += 50) {
    const some = Array.from(
      { length: Math.min(50, o.tunnels - i) },
      () => new Promise<void>((resolve) => tunnels.push(new Tunnel(o.port, resolve, fail))),
    );
    await Promise.all(some);
  }
  const way = ways(o);
  const held = Array.from({ length: o.held }, (_, i) => new Asker(way(i), fail));
  const done = { numbers: 0, requests: 0, fresh: 0 };
  const begun = performance.now();
  let numbers = 0;
  let turn = 0;
  let born = 0;
  const timer = setInterval(() => {
    const seconds = (performance.now() - begun) / 1000;
    for (; numbers < seconds * o.tunnels; numbers += 1) tunnels[numbers % o.tunnels]!.say();
    for (; turn < seconds * o.requests; turn += 1) held[turn % o.held]!.ask();
    for (; born < seconds * o.fresh; born += 1) {
      const one = new Asker(way(born), fail);
      one.ask();
      setTimeout(() => {
        if (one.busy) fail('new connection without an answer');
        else done.fresh += 1;
        one.end();
      }, 3000);
    }
  }, tickMs);
  return {
    report: () => ({ failures: Object.fromEntries(failures), done }),
    async stop(ms) {
      clearInterval(timer);
      const until = performance.now() + ms;
      const behind = (): number => tunnels.filter((one) => one.heard < one.said).length;
      while (behind() > 0 && performance.now() < until) await new Promise((resolve) => setTimeout(resolve, tickMs));
      if (behind() > 0) failures.set('tunnel behind', behind());
      await new Promise((resolve) => setTimeout(resolve, 3100));
      going = false;
      done.numbers = tunnels.reduce((sum, one) => sum + one.heard, 0);
      done.requests = held.reduce((sum, one) => sum + one.answered, 0);
      for (const one of tunnels) one.socket.destroy();
      for (const one of held) one.end();
    },
  };
}

const load = await startLoad(JSON.parse(process.argv[2] ?? '') as LoadOptions);
const say = (what: object): void => void process.stdout.write(`${JSON.stringify(what)}\n`);
say(load.report());
for await (const line of createInterface({ input: process.stdin })) {
  if (line === 'stop') await load.stop(5000);
  say(load.report());
  if (line === 'stop') break;
}
process.exit(0);
