// An Envoy of our own for the tests: the real one, unmodified, started from bootstrap.ts on loopback.
import { type ChildProcess, spawn, type SpawnOptions } from 'node:child_process';
import { closeSync, existsSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { connect } from 'node:net';
import { join } from 'node:path';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { start } from '../../src/lab/process.ts';

export const envoyBinary = join(import.meta.dirname, '../../native/build/envoy/envoy/_bin/envoy');

/** Why tests with Envoy can't run here, or false. */
export const envoyMissing: string | false = existsSync(envoyBinary) ? false : 'Envoy is not installed: native/envoy.sh';

/** Starts Envoy with the bootstrap text, in a network namespace where one is named; its files go into the folder. */
export function startEnvoy(folder: string, bootstrap: string, netns?: string): AsyncDisposable & { log(): string } {
  const file = join(folder, 'envoy.yaml');
  const log = join(folder, 'envoy.log');
  writeFileSync(file, bootstrap);
  const out = openSync(log, 'w');
  // Hot restart is what needs shared memory, which would stay.
  const args = ['-c', file, '--concurrency', '1', '--disable-hot-restart', '--drain-time-s', '1', '-l', 'warning'];
  const options: SpawnOptions = { stdio: ['ignore', out, out] };
  const child: ChildProcess =
    netns === undefined ? spawn(envoyBinary, args, options) : start(netns, [envoyBinary, ...args], options);
  closeSync(out);
  const exited = once(child, 'exit');
  return {
    log: () => readFileSync(log, 'utf8'),
    async [Symbol.asyncDispose]() {
      child.kill('SIGTERM');
      const timer = setTimeout(() => child.kill('SIGKILL'), 3000);
      await exited;
      clearTimeout(timer);
    },
  };
}

/** Starts Envoy and waits until it accepts on the port of loopback. */
export async function startEnvoyOn(folder: string, bootstrap: string, port: number): Promise<AsyncDisposable> {
  const envoy = startEnvoy(folder, bootstrap);
  const accepts = (): Promise<boolean> =>
    new Promise((resolve) => {
      const socket = connect({ port, host: '127.0.0.1' });
      socket.once('connect', () => resolve(true));
      socket.once('error', () => resolve(false));
      socket.once('connect', () => socket.destroy());
    });
  try {
    await until('Envoy accepts', accepts);
  } catch (error) {
    await envoy[Symbol.asyncDispose]();
    throw new Error(`${(error as Error).message}: ${envoy.log()}`, { cause: error });
  }
  return envoy;
}

export interface Reply {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: string;
}

/** One request to 127.0.0.1:port, on a connection of its own. */
export function get(port: number, path: string, headers: Record<string, string>, method = 'GET'): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const call = request({ host: '127.0.0.1', port, path, method, headers, agent: false, timeout: 5000 }, (answer) => {
      const chunks: Buffer[] = [];
      answer.on('data', (chunk: Buffer) => chunks.push(chunk));
      answer.on('end', () =>
        resolve({
          status: answer.statusCode ?? 0,
          headers: answer.headers,
          body: Buffer.concat(chunks).toString(),
        }),
      );
      answer.on('error', reject);
    });
    call.on('timeout', () => call.destroy(new Error('no answer in 5 s')));
    call.on('error', reject);
    call.end();
  });
}

/** Tries until `probe` is true; throws with `what` when it takes too long. */
export async function until(what: string, probe: () => boolean | Promise<boolean>, ms = 15_000): Promise<void> {
  const end = Date.now() + ms;
  for (;;) {
    if (await Promise.resolve(probe()).catch(() => false)) return;
    if (Date.now() > end) throw new Error(`not in ${ms / 1000} s: ${what}`);
    await sleep(20);
  }
}
