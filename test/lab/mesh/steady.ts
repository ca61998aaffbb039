// A client in the namespace that this is started in, which notices every connection that is not served:
//
//   node steady.ts ADDRESS PORT PATH RATE HELD IDLE TUNNELS
//
// It opens RATE connections a second for one request each, holds HELD that ask now and then (and are made anew where an
// answer says "connection: close"), IDLE that asked once and say nothing more, and TUNNELS that say a number now and
// then, which has to come back. "holding" is printed when all stand;
// at the end of its input it finishes what it has begun and prints what it saw (Seen) as one line.
import { connect, type Socket } from 'node:net';
import type { Seen } from './talk.ts';

const [address = '', port = '', path = '/', rate = '0', held = '0', idle = '0', tunnels = '0'] = process.argv.slice(2);
const answerMs = 15_000;
const pauseMs = 1500;
const seen: Seen = { opened: 0, held: 0, moved: 0, numbers: 0, failed: {}, idle: [] };
let going = true;
let last = 0;

const failed = (how: string): void => void (seen.failed[how] = (seen.failed[how] ?? 0) + 1);

interface Talk {
  readonly socket: Socket;
  /** Undefined: it went well, and the connection stays; 'close': it says that it ends; else what went wrong. */
  ask(how: string): Promise<string | undefined>;
}

function talk(): Talk {
  const socket = connect({ host: address, port: Number(port), noDelay: true });
  let text = '';
  let settle: ((how: string | undefined) => void) | undefined;
  const done = (how: string | undefined): void => {
    settle?.(how);
    settle = undefined;
  };
  socket.setEncoding('latin1').on('data', (piece: string) => {
    text += piece;
    const end = text.indexOf('\r\n\r\n');
    if (end < 0) return;
    const length = Number(/\r\ncontent-length: (\d+)/i.exec(text)?.[1] ?? NaN);
    if (text.length - end - 4 < length) return;
    const status = text.slice(9, 12);
    if (status !== '200' || Number.isNaN(length)) return done(`status ${status}`);
    done(/\r\nconnection: close\r\n/i.test(text.slice(0, end + 2)) ? 'close' : undefined);
  });
  socket.on('error', (error: NodeJS.ErrnoException) => done(error.code ?? error.message));
  socket.on('close', () => done('closed without an answer'));
  return {
    socket,
    ask(how) {
      text = '';
      last += 1;
      const timer = setTimeout(() => done('no answer in time'), answerMs);
      socket.write(`GET ${path}?${last} HTTP/1.1\r\nHost: steady\r\nConnection: ${how}\r\n\r\n`);
      return new Promise<string | undefined>((resolve) => (settle = resolve)).finally(() => clearTimeout(timer));
    },
  };
}

const open = new Set<Promise<void>>();

async function once(): Promise<void> {
  const one = talk();
  const how = await one.ask('close');
  seen.opened += 1;
  if (how !== 'close') failed(`new: ${how ?? 'kept open'}`);
  one.socket.destroy();
}

/** Asks at random times. */
async function hold(ready: () => void): Promise<void> {
  let one = talk();
  while (going) {
    const how = await one.ask('keep-alive');
    ready();
    seen.held += 1;
    if (how !== undefined) {
      if (how === 'close') seen.moved += 1;
      else failed(`held: ${how}`);
      one.socket.destroy();
      one = talk();
      continue;
    }
    const cut = await quiet(one.socket, pauseMs * (0.5 + Math.random()));
    if (cut === undefined) continue;
    failed(`held: ${cut} between two requests`);
    one = talk();
  }
  one.socket.destroy();
}

/** How it ended within this time; undefined: it stands. */
function quiet(socket: Socket, ms: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    const settle = (how: string | undefined): void => {
      clearTimeout(timer);
      socket.off('error', broken).off('end', ended);
      resolve(how);
    };
    const broken = (error: NodeJS.ErrnoException): void => settle(error.code ?? error.message);
    const ended = (): void => settle('closed');
    const timer = setTimeout(() => settle(undefined), ms);
    socket.on('error', broken).on('end', ended);
  });
}

async function idler(ready: () => void): Promise<void> {
  const one = talk();
  const how = await one.ask('keep-alive');
  if (how !== undefined) failed(`idle: ${how}`);
  ready();
  while (going) {
    const end = await quiet(one.socket, 1000);
    if (end !== undefined) return void seen.idle.push({ how: end, when: Date.now() });
  }
  one.socket.destroy();
}

/** Says numbers, each when the one before is back. */
async function tunnel(ready: () => void): Promise<void> {
  const socket = connect({ host: address, port: Number(port), noDelay: true });
  let text = '';
  let wake = (): void => undefined;
  socket
    .setEncoding('latin1')
    .on('data', (piece: string) => {
      text += piece;
      wake();
    })
    .on('error', () => undefined)
    .on('close', () => wake());
  const back = async (end: string): Promise<boolean> => {
    while (!text.endsWith(end) && !socket.destroyed) await new Promise<void>((resolve) => (wake = resolve));
    const whole = text.endsWith(end);
    text = '';
    return whole;
  };
  last += 1;
  socket.write(`GET ${path}?${last} HTTP/1.1\r\nHost: steady\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n`);
  if (!(await back('\r\n\r\n'))) failed('tunnel: refused');
  ready();
  for (let number = 1; going; number += 1) {
    // Also one that was cut between two numbers is noticed by the next.
    socket.write(`${number};`);
    if (!(await back(`${number};`))) {
      failed('tunnel: cut');
      break;
    }
    seen.numbers += 1;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  socket.destroy();
}

const standing = (make: (ready: () => void) => Promise<void>, count: string): Promise<void>[] =>
  Array.from({ length: Number(count) }, () => new Promise<void>((resolve) => track(make(resolve))));

function track(work: Promise<void>): void {
  open.add(work);
  void work.then(() => open.delete(work));
}

await Promise.all([...standing(hold, held), ...standing(idler, idle), ...standing(tunnel, tunnels)]);
process.stdout.write('holding\n');
const begun = performance.now();
let started = 0;
const timer = setInterval(() => {
  const due = Math.floor(((performance.now() - begun) / 1000) * Number(rate));
  for (; started < due; started += 1) track(once());
}, 5);
process.stdin.resume();
await new Promise((resolve) => process.stdin.once('end', resolve));
going = false;
clearInterval(timer);
await Promise.all(open);
process.stdout.write(`${JSON.stringify(seen)}\n`);
process.exit(0);
