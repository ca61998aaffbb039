// A daemon as it is in service: no trace, no tap in its namespace. (Those of the tests have both.)
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { run, start } from '../../src/lab/process.ts';
import { root } from '../lab/rig.ts';

export interface Daemon extends AsyncDisposable {
  readonly pid: number;
  /** From the start of its process to the line that says so: frames pass, and all doors are open. */
  readonly forwardingMs: number;
  readonly readyMs: number;
  readonly apiSocket: string;
  /** A request to the API over its unix socket. Throws for an answer that is no 2xx. */
  post<T>(path: string, body: unknown): Promise<T>;
}

export interface DaemonInput {
  readonly instance: string;
  /** Namespace that it works in. */
  readonly netns: string;
  readonly document: string;
  /** Files beside the document, by name. */
  readonly files?: Readonly<Record<string, string>>;
}

/** Starts a daemon and waits until it forwards. Closed, it leaves nothing. */
export async function openDaemon({ instance, netns, document, files = {} }: DaemonInput): Promise<Daemon> {
  const folder = mkdtempSync(join(tmpdir(), `${instance}-`));
  const state = join(folder, 'state');
  const file = join(folder, 'midplane.yaml');
  writeFileSync(file, document);
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
  const main = [process.execPath, join(root, 'src/main.ts')];
  const names = ['--state', state, '--instance', instance];
  const begun = performance.now();
  const child = start(netns, [...main, 'run', '--config', file, ...names], { stdio: ['ignore', 'pipe', 'pipe'] });
  const close = async (): Promise<void> => {
    await end(child);
    const { code, stderr } = await run(netns, [...main, 'down', ...names]);
    rmSync(folder, { recursive: true, force: true });
    if (code !== 0) throw new Error(`midplane down: ${stderr}`);
  };
  const since = (): number => performance.now() - begun;
  let forwardingMs = Number.NaN;
  try {
    await ready(child, () => (forwardingMs = since()));
  } catch (error) {
    await close();
    throw error;
  }
  const apiSocket = join('/run/midplane', instance, 'api.sock');
  return {
    pid: child.pid ?? 0,
    forwardingMs,
    readyMs: since(),
    apiSocket,
    post: (path, body) => post(apiSocket, path, body),
    [Symbol.asyncDispose]: close,
  };
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), 15_000);
  await gone;
  clearTimeout(timer);
}

async function ready(child: ChildProcess, forwarding: () => void): Promise<void> {
  let said = '';
  let forwards = false;
  child.stderr?.on('data', (data: Buffer) => (said = (said + data.toString()).slice(-20_000)));
  await new Promise<void>((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`the daemon is not ready in 60 s\n${said}`)), 60_000);
    child.stdout?.on('data', (data: Buffer) => {
      said = (said + data.toString()).slice(-20_000);
      if (!forwards && said.includes('"msg":"forwarding"')) {
        forwards = true;
        forwarding();
      }
      if (!said.includes('"msg":"ready"')) return;
      clearTimeout(timer);
      resolve();
    });
    child.once('exit', (code, signal) => {
      clearTimeout(timer);
      reject(new Error(`the daemon ended (${code ?? signal})\n${said}`));
    });
  });
}

function post<T>(socketPath: string, path: string, body: unknown): Promise<T> {
  const text = JSON.stringify(body);
  const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) };
  return new Promise((resolve, reject) => {
    const sent = request({ socketPath, method: 'POST', path, headers }, (response) => {
      let answer = '';
      response.setEncoding('utf8').on('data', (chunk: string) => (answer += chunk));
      response.once('end', () => {
        const status = response.statusCode ?? 0;
        if (status >= 200 && status < 300) resolve(JSON.parse(answer) as T);
        else reject(new Error(`${path}: ${status} ${answer.slice(0, 2000)}`));
      });
    });
    sent.once('error', reject).end(text);
  });
}
