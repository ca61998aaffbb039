// Planned upgrade: a new daemon takes the place of one that runs. They talk over takeover.sock in the run folder, a
// JSON line a message:
//
//   new: ask       when all is ready that can be made ready beside the old one
//   old: released  its engine has stopped and its doors are closed: world and lock are the new one's. Or busy: not now
//   new: sockets   on a connection of its own: the old one's listening sockets, as descriptors (descriptors.ts). One
//                  that does not know how to closes; then the new one listens beside it
//   new: tunnels   on a connection of its own: those without TLS, as descriptors, as the old one retires (tunnels.ts)
//   new: serving   its L7 listeners accept, beside the old one's; and whether it has asked for tunnels, since that may
//                  be read later, from the other connection
//   old: retiring  it accepts no more, answers what it has, ends
//
// Where the new one is gone before it serves, the old one takes world and lock back: its L7 listeners were never shut.
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import { z } from 'zod';
import { FaultError } from '../../engine/faults.ts';
import { isAlive, type ProcessId, processOf } from '../../lib/process.ts';
import { type ListeningSockets, receiveSockets, sendSockets } from './descriptors.ts';
import type { Pass, PassedTunnel } from '../../l7/move/pass.ts';
import { mostDrainMs } from '../../mesh/manifest/slice.ts';
import { holderOf } from '../lock.ts';
import { passOver, passToNobody, receiveTunnels } from './tunnels.ts';

const message = z.union([
  z.object({ say: z.literal('ask'), pid: z.int(), version: z.string() }),
  z.object({ say: z.literal('sockets') }),
  z.object({ say: z.literal('tunnels') }),
  z.object({ say: z.literal('busy'), why: z.string() }),
  z.object({ say: z.literal('released'), healthy: z.array(z.string()) }),
  z.object({
    say: z.literal('serving'),
    drainMs: z.int().min(0).max(mostDrainMs),
    tunnels: z.boolean().default(false),
  }),
  z.object({ say: z.literal('retiring') }),
]);
type Message = z.infer<typeof message>;

/** What a daemon does to give its place away. */
export interface Giver {
  /** Lets go of the world; gives the guests that services may send traffic to. */
  release(): Promise<readonly string[]>;
  /** Where the L7 router listens. */
  sockets(): ListeningSockets;
  /** Takes world and lock back. False: another daemon has them. */
  resume(): Promise<boolean>;
  /** Stops accepting, answers what it has for at most `drainMs` (default: its own document's), ends. Tunnels go to who
   * takes them. */
  retire(drainMs?: number, pass?: Pass): void;
}

/** The daemon whose place is taken. */
export interface Predecessor {
  readonly process: ProcessId;
  /** Guests that services sent traffic to. */
  readonly healthy: readonly string[];
  /** Its listening sockets, which are the caller's now; none where it can't give them. */
  sockets(): Promise<ListeningSockets>;
  /** Takes its tunnels, as it retires, until it has none. */
  tunnels(take: (tunnels: readonly PassedTunnel[]) => void): Promise<void>;
  /** Says that the L7 listeners here accept; resolves when the old one's no longer do. */
  serving(drainMs: number): Promise<void>;
}

const pathIn = (folder: string): string => join(folder, 'takeover.sock');
const askMs = 5_000;
const releaseMs = 60_000;
const retireMs = 5_000;
const socketsMs = 5_000;
/** How long a connection for tunnels that was announced is waited for: less than retireMs. */
const heirMs = 2_000;
const late = `nobody has come for them in ${heirMs} ms`;
const goneMs = 2_000;
const mostLine = 1 << 20;

/** Answers who asks for this daemon's place: 'busy' until `ready` resolves. */
export async function offerTakeover(folder: string, log: Logger, ready: Promise<Giver>): Promise<AsyncDisposable> {
  let giver: Giver | undefined;
  let handing: Giver | undefined;
  let heir = expectHeir();
  let busy = 'it is starting';
  void ready.then(
    (one) => (giver = one),
    () => undefined,
  );
  const server = createServer((socket) => void answer(socket));
  const answer = async (socket: Socket): Promise<void> => {
    const talk = talkOver(socket);
    const asked = await talk.hear(askMs);
    if (asked?.say === 'sockets' && handing !== undefined) {
      await giveSockets(socket, handing.sockets(), log);
      return void socket.end();
    }
    if (asked?.say === 'tunnels' && handing !== undefined) return heir.come(socket);
    if (asked?.say !== 'ask') return void socket.destroy();
    if (giver === undefined) {
      talk.say({ say: 'busy', why: busy });
      return void socket.end();
    }
    const giving = giver;
    giver = undefined;
    handing = giving;
    busy = `it is handing over to pid ${asked.pid}`;
    log.info({ to: asked.pid, version: asked.version }, 'handing over');
    talk.say({ say: 'released', healthy: [...(await giving.release())] });
    const next = await talk.hear();
    // Its connection for tunnels may be there and not read yet, though it was made before this was said.
    const takes = await heir.within(next?.say === 'serving' && next.tunnels ? heirMs : 0);
    handing = undefined;
    if (next?.say === 'serving') {
      // The path is the new one's from here on.
      server.close();
      giving.retire(next.drainMs, takes ? passOver(takes, log) : next.tunnels ? passToNobody(log, late) : undefined);
      talk.say({ say: 'retiring' });
      return void socket.end();
    }
    socket.destroy();
    takes?.destroy();
    heir = expectHeir();
    log.error({ to: asked.pid }, 'the new daemon is gone before it served: going on');
    // Its sockets are closed before it counts as dead.
    await gone(processOf(asked.pid), goneMs);
    if (await giving.resume()) giver = giving;
  };
  rmSync(pathIn(folder), { force: true });
  server.listen(pathIn(folder));
  await once(server, 'listening');
  server.unref();
  return {
    async [Symbol.asyncDispose]() {
      server.close();
      (await heir.within(0))?.destroy();
    },
  };
}

async function giveSockets(socket: Socket, sockets: ListeningSockets, log: Logger): Promise<void> {
  const why = await sendSockets(socket, sockets, socketsMs);
  const count = [...sockets.values()].flat().length;
  if (why !== undefined) log.warn({ sockets: count, why }, 'the new daemon has not got all sockets');
}

/** Who takes the tunnels. */
interface Heir {
  come(socket: Socket): void;
  /** Undefined: nobody has come, nor does in `ms`; who comes later is none. */
  within(ms: number): Promise<Socket | undefined>;
}

function expectHeir(): Heir {
  const { promise, resolve } = Promise.withResolvers<Socket | undefined>();
  return {
    come: resolve,
    async within(ms) {
      const timer = setTimeout(() => resolve(undefined), ms);
      const socket = await promise;
      clearTimeout(timer);
      return socket;
    },
  };
}

/** Asks the daemon that has the lock for its place; undefined where none runs. One that does not know how to (an older
 * version) is told to end by SIGTERM and waited for. FaultError 'busy' where it does not want to, 'timeout' where it
 * takes too long: then it goes on. */
export async function askForPlace(folder: string, version: string, log: Logger): Promise<Predecessor | undefined> {
  const old = holderOf(folder);
  if (old === undefined) return undefined;
  const socket = await reach(pathIn(folder));
  if (socket === undefined) {
    await end(old, folder);
    return undefined;
  }
  const talk = talkOver(socket);
  talk.say({ say: 'ask', pid: process.pid, version });
  const answer = await talk.hear(releaseMs);
  if (answer?.say === 'busy') throw new FaultError('busy', folder, `pid ${old.pid} does not hand over: ${answer.why}`);
  if (answer?.say !== 'released') {
    socket.destroy();
    if (await gone(old, goneMs)) return undefined;
    throw new FaultError('timeout', folder, `the daemon with pid ${old.pid} does not hand over`);
  }
  let tunnels = false;
  return {
    process: old,
    healthy: answer.healthy,
    sockets: () => askForSockets(pathIn(folder), log),
    async tunnels(take) {
      const socket = await askFor(pathIn(folder), 'tunnels');
      tunnels = socket !== undefined;
      if (socket !== undefined) void receiveTunnels(socket, log, take).finally(() => socket.destroy());
      else log.warn('the old daemon is not asked for its tunnels: it does not listen');
    },
    async serving(drainMs) {
      talk.say({ say: 'serving', drainMs, tunnels });
      await talk.hear(retireMs);
      socket.destroy();
    },
  };
}

/** On a connection that node does not read from: it would let the descriptors go. */
async function askFor(path: string, say: 'sockets' | 'tunnels'): Promise<Socket | undefined> {
  const socket = await reach(path, true);
  socket?.write(`${JSON.stringify({ say })}\n`);
  return socket;
}

async function askForSockets(path: string, log: Logger): Promise<ListeningSockets> {
  const socket = await askFor(path, 'sockets');
  const sockets = socket && (await receiveSockets(socket, socketsMs));
  socket?.destroy();
  if (sockets === undefined) log.warn('the old daemon does not give its sockets: listening beside it');
  return sockets ?? new Map();
}
async function reach(path: string, paused = false): Promise<Socket | undefined> {
  const socket = connect(path);
  if (paused) socket.pause();
  try {
    await once(socket, 'connect');
    return socket;
  } catch {
    return undefined;
  }
}

async function end(old: ProcessId, folder: string): Promise<void> {
  try {
    process.kill(old.pid, 'SIGTERM');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
  if (await gone(old, releaseMs)) return;
  throw new FaultError('timeout', folder, `the daemon with pid ${old.pid} does not end`);
}

/** Waits for a process to end; false where it does not in time. */
async function gone(one: ProcessId | undefined, ms: number): Promise<boolean> {
  const until = performance.now() + ms;
  while (one !== undefined && isAlive(one)) {
    if (performance.now() > until) return false;
    await sleep(20);
  }
  return true;
}

interface Talk {
  say(what: Message): void;
  /** The next message; undefined where the other side is gone, says nothing in `ms`, or nothing that makes sense. */
  hear(ms?: number): Promise<Message | undefined>;
}

function talkOver(socket: Socket): Talk {
  const heard: string[] = [];
  let rest = '';
  let over = false;
  let wake = (): void => undefined;
  socket.setEncoding('utf8').on('data', (text: string) => {
    const lines = (rest + text).split('\n');
    rest = (lines.pop() ?? '').slice(0, mostLine);
    heard.push(...lines);
    wake();
  });
  socket
    .on('error', () => undefined)
    .on('close', () => {
      over = true;
      wake();
    });
  return {
    say(what) {
      if (socket.writable) socket.write(`${JSON.stringify(what)}\n`);
    },
    async hear(ms) {
      const timer = ms === undefined ? undefined : setTimeout(() => socket.destroy(), ms);
      while (heard.length === 0 && !over) await new Promise<void>((resolve) => (wake = resolve));
      clearTimeout(timer);
      const line = heard.shift();
      return line === undefined ? undefined : read(line);
    },
  };
}

function read(line: string): Message | undefined {
  try {
    return message.parse(JSON.parse(line));
  } catch {
    return undefined;
  }
}
