// Load on a port of loopback: as much as it takes, or at a constant rate.
import { spawn, spawnSync } from 'node:child_process';
import { join } from 'node:path';

/** Core that load and upstream share; a proxy has the other to itself. */
export const loadCore = '0';
/** Of the constant rate. */
const connections = 32;

/** Runs a command on the core of the load; gives all that it said. Throws where it fails or takes too long. */
async function onLoadCore(command: readonly string[], seconds: number): Promise<string> {
  const options = { timeout: (seconds + 20) * 1000, killSignal: 'SIGKILL' } as const;
  const child = spawn('taskset', ['-c', loadCore, ...command], options);
  let text = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (data: Buffer) => (text += data.toString()));
  const how = await new Promise<number | string>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => resolve(code ?? signal ?? ''));
  });
  if (how !== 0) throw new Error(`${command.join(' ')} ended by ${how}: ${text.slice(-500)}`);
  return text;
}

export interface LoadOptions {
  /** A script of wrk that makes the requests. */
  readonly script: string;
  readonly connections: number;
  readonly tls?: boolean;
}

/** Runs wrk. Throws when an answer was no 2xx or a connection broke. */
export async function load(
  port: number,
  seconds: number,
  o: LoadOptions,
): Promise<{ requests: number; seconds: number }> {
  const args = [
    '-t1',
    `-c${o.connections}`,
    `-d${seconds}s`,
    '-s',
    o.script,
    `${o.tls === true ? 'https' : 'http'}://127.0.0.1:${port}/`,
  ];
  const text = await onLoadCore(['wrk', ...args], seconds);
  const [, requests, took] = /(\d+) requests in ([\d.]+)s/.exec(text) ?? [];
  if (requests === undefined || took === undefined || /Non-2xx|Socket errors/.test(text))
    throw new Error(`wrk: ${text}`);
  return { requests: Number(requests), seconds: Number(took) };
}

/** Latencies in microseconds, each from when its request was due. */
export interface Latency {
  readonly p50: number;
  readonly p99: number;
}

export type ConstantRate = (port: number, rate: number, seconds: number) => Promise<Latency>;

/** Runs h2load with 32 streams on each of 8 connections. Throws when an answer was no 2xx or a stream failed. */
export async function load2(
  url: string,
  seconds: number,
  host: string,
  more: readonly string[] = [],
): Promise<{ requests: number; seconds: number }> {
  const text = await onLoadCore(
    ['h2load', '-t1', '-c8', '-m32', `-D${seconds}`, '-H', `:authority: ${host}`, ...more, url],
    seconds,
  );
  const [, took] = /finished in ([\d.]+)s/.exec(text) ?? [];
  const [, done, failed] = /(\d+) succeeded, (\d+) failed/.exec(text) ?? [];
  if (took === undefined || done === undefined || failed !== '0') throw new Error(`h2load: ${text}`);
  if (!/ 0 3xx, 0 4xx, 0 5xx/.test(text)) throw new Error(`h2load: ${text}`);
  return { requests: Number(done), seconds: Number(took) };
}

/** Compiles rate.c into the folder. */
export function constantRate(folder: string): ConstantRate {
  const program = join(folder, 'rate');
  const made = spawnSync('gcc', ['-O2', '-o', program, join(import.meta.dirname, 'rate.c')], { encoding: 'utf8' });
  if (made.status !== 0) throw new Error(`rate.c: ${made.stderr}`);
  return async (port, rate, seconds) => {
    const args = [String(port), String(rate), String(seconds), String(connections)];
    return JSON.parse(await onLoadCore([program, ...args], seconds)) as Latency;
  };
}
