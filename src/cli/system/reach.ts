// ping and traceroute: the system's own programs, with arguments that can be nothing but what they should be.
import { spawn, type ChildProcessByStdio } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { ipAddress } from '../../config/types.ts';
import { FaultError } from '../../engine/faults.ts';
import { command, type AnyCommand } from '../../engine/slice.ts';
import { printable } from '../../lib/table.ts';

/** An address or a host name; never an option: it begins with a letter, a digit or a colon. */
const host = z
  .string()
  .max(253)
  .regex(/^[A-Za-z0-9:][A-Za-z0-9.:_-]*(%[a-z][a-z0-9.-]{0,14})?$/, 'not an address or a host name')
  .meta({ description: 'address or name' });

const source = ipAddress.optional().meta({ description: "the switch's address to send from" });
const output = z.object({ line: z.string() });

const ping = command({
  path: 'ping',
  help: 'whether something answers',
  example: 'ping 10.0.0.1 count 3',
  role: 'viewer',
  args: z.object({
    host,
    count: z.int().min(1).max(1000).default(5).meta({ description: 'how many' }),
    size: z.int().min(0).max(65_468).default(56).meta({ description: 'bytes of payload' }),
    source,
    'no-fragment': z.boolean().default(false).meta({ description: 'true: find where the MTU ends' }),
  }),
  data: output,
  run: ({ host: to, count, size, source: from, 'no-fragment': whole }, _read, signal) => {
    const options = ['-n', '-c', `${count}`, '-s', `${size}`, '-w', `${count + 2}`];
    if (from !== undefined) options.push('-I', from);
    if (whole) options.push('-M', 'do');
    return runTool('ping', [...options, '--', to], to, signal);
  },
  render: ({ line }) => `${line}\n`,
});

const traceroute = command({
  path: 'traceroute',
  help: 'the way to something, hop by hop',
  example: 'traceroute 10.0.0.1',
  role: 'viewer',
  args: z.object({
    host,
    hops: z.int().min(1).max(64).default(16).meta({ description: 'how far at most' }),
    source,
  }),
  data: output,
  run: ({ host: to, hops, source: from }, _read, signal) => {
    const options = ['-n', '-q', '1', '-w', '2', '-m', `${hops}`];
    if (from !== undefined) options.push('-s', from);
    return runTool('traceroute', [...options, to], to, signal);
  },
  render: ({ line }) => `${line}\n`,
});

export const reachCommands: readonly AnyCommand[] = [ping, traceroute];

const lastWordsMs = 1_000;
const mostLines = 10_000;

/** The program's lines as they come. ^C is passed on, so that it can sum up. Faults: 'not-supported' where there is no
 * such program, 'unreachable' where nothing answered. */
export async function* runTool(
  program: string,
  args: readonly string[],
  what: string,
  signal: AbortSignal,
): AsyncGenerator<{ line: string }, void, undefined> {
  const child = spawn(program, args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { PATH: process.env['PATH'], LC_ALL: 'C' },
  });
  const ended = endOf(child);
  let complaint = '';
  child.stderr.on('data', (chunk: Buffer) => {
    complaint = (complaint + chunk.toString()).slice(0, 1000);
  });
  const interrupt = (): void => {
    child.kill('SIGINT');
    void sleep(lastWordsMs, undefined, { ref: false }).then(() => child.kill('SIGKILL'));
  };
  if (signal.aborted) interrupt();
  else signal.addEventListener('abort', interrupt, { once: true });
  let lines = 0;
  try {
    for await (const line of createInterface({ input: child.stdout })) {
      if ((lines += 1) > mostLines) break;
      yield { line: printable(line) };
    }
    const code = await ended;
    if (code === 'missing') throw new FaultError('not-supported', program, 'this program is not installed');
    if (code === 0 || signal.aborted) return;
    const why = printable(complaint.trim().split('\n')[0] ?? '') || 'no answer';
    throw new FaultError('unreachable', what, why, true);
  } finally {
    signal.removeEventListener('abort', interrupt);
    child.kill('SIGKILL');
  }
}

function endOf(child: ChildProcessByStdio<null, Readable, Readable>): Promise<number | 'missing'> {
  return new Promise((resolve, reject) => {
    child.once('close', (code) => resolve(code ?? 1));
    child.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') resolve('missing');
      else reject(error);
    });
  });
}
