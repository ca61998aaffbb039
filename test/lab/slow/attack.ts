// Clients that wish a server ill: slowhttptest, a program of others, and floods of connections from eight addresses.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { connect } from 'node:net';

const program = '/usr/bin/slowhttptest';

/** Why there can't be slow clients here, or false. */
export const attackerMissing: string | false = existsSync(program)
  ? false
  : 'slowhttptest is not installed: native/setup.sh';

export interface Attack {
  /** The server answered the attacker's own probes to the end. */
  readonly available: boolean;
}

/** Runs slowhttptest to its end, or ends it with the signal. */
export async function attack(url: string, args: readonly string[], signal: AbortSignal): Promise<Attack> {
  const child = spawn(program, [...args, '-u', url], { stdio: ['ignore', 'pipe', 'pipe'], signal });
  let text = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (data: Buffer) => (text += data.toString()));
  await once(child, 'close');
  // eslint-disable-next-line no-control-regex -- it colours what it says
  const plain = text.replaceAll(/\x1b\[[\d;]*m/g, '');
  const answers = [...plain.matchAll(/service available:\s*(\w+)/g)];
  if (answers.length === 0) throw new Error(`slowhttptest ${args.join(' ')}: ${plain.slice(-500)}`);
  return { available: answers.every(([, word]) => word === 'YES') };
}

const get = 'GET / HTTP/1.1\r\nHost: a\r\n';
/** What a connection of a flood says, and how it goes: "server" waits for the other side to close. */
const manners: readonly (readonly [string, 'server' | 'end' | 'reset'])[] = [
  [`${get}Connection: close\r\n\r\n`, 'server'],
  [`${get}\r\n`, 'end'],
  [get, 'reset'],
  ['', 'end'],
  ['POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nbut', 'reset'],
  ['GET / HTTP/1.1\r\nHost : a\r\n\r\n', 'server'],
];

/** Connections that were opened and closed, and answers among them. */
export interface Flood {
  opened: number;
  answered: number;
}

function once1(port: number, i: number, flood: Flood): Promise<void> {
  const [text, manner] = manners[i % manners.length]!;
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1', localAddress: `127.0.0.${1 + (i % 8)}`, noDelay: true });
    const leave = (): void => void (manner === 'reset' ? socket.resetAndDestroy() : socket.end());
    socket.setTimeout(60_000, () => socket.destroy(new Error(`connection ${i} hangs: ${JSON.stringify(text)}`)));
    socket.on('connect', () => {
      flood.opened += 1;
      socket.write(text);
      if (manner === 'reset' || text === '') leave();
    });
    socket.on('data', (bytes: Buffer) => {
      if (bytes.includes('HTTP/1.1 ')) flood.answered += 1;
      if (manner !== 'server') leave();
    });
    socket.on('error', reject);
    socket.on('close', () => resolve());
  });
}

/** Opens and closes `total` connections, `width` at a time. */
export async function flood(port: number, total: number, width: number): Promise<Flood> {
  const counts: Flood = { opened: 0, answered: 0 };
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < total) {
      next += 1;
      await once1(port, next, counts);
    }
  };
  await Promise.all(Array.from({ length: width }, lane));
  return counts;
}

/** Of a flood of so many, the connections that get an answer. */
export function answersOf(total: number): number {
  const answered = manners.map(([text, manner]) => text !== '' && manner !== 'reset');
  return Array.from({ length: total }, (_, i) => i + 1).filter((i) => answered[i % manners.length]).length;
}
