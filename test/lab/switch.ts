// A whole switch for a test: hosts in namespaces, the daemon in a namespace of its own, driven from outside. When it is
// closed the counter invariant is checked: a test that breaks it fails, whatever its own assertions said.
import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { hostsSchema, type Lab, openLab } from '../../src/lab/hosts.ts';
import { run, start } from '../../src/lab/process.ts';
import { checkInvariant } from './invariant.ts';
import { type CliAnswer, kernel, objects, root, type SwitchInput, type TestSwitch } from './rig.ts';

export { kernel, objects, type TestSwitch } from './rig.ts';

let count = 0;

/** Opens it and waits until it forwards. */
export async function openSwitch(input: SwitchInput): Promise<TestSwitch> {
  const instance = `mpt-${process.pid}-${(count += 1)}`;
  const folder = mkdtempSync(join(tmpdir(), `${instance}-`));
  const state = join(folder, 'state');
  writeFileSync(join(folder, 'midplane.yaml'), input.document);
  for (const [name, text] of Object.entries(input.files ?? {})) writeIn(folder, name, text);
  for (const [name, text] of Object.entries(input.manifests ?? {})) writeIn(join(folder, 'manifests'), name, text);
  const hosts = hostsSchema.parse(input.hosts);
  const lab = openLab({ kernel, prefix: instance, hosts, objects });
  if (input.disk !== undefined) mountDisk(state, input.disk);
  const made = { instance, folder, state, lab, hosts, args: input.args ?? [] };
  const daemon = daemonOf(made);
  const arp = countArp(lab.switchNetns);
  const self: TestSwitch = {
    ...made,
    ...daemon,
    hosts: Object.keys(hosts),
    on: (host, ...command) => run(lab.netnsOf(host), command),
    ping: (host, to, o) => ping(lab.netnsOf(host), to, o),
    arpSeen: () => arp.seen(),
    api: (method, path, body) => api(join('/run/midplane', instance, 'api.sock'), method, path, body),
    cli: async (line) => (await self.api<CliAnswer>('POST', '/v1/command', { line })).body,
    portOf: (host) => hosts[host]?.port ?? '',
    portIds: () => readIds(state),
    async [Symbol.asyncDispose]() {
      try {
        if (input.tampered !== true) await checkInvariant(self);
      } finally {
        await arp.end();
        await close(made, daemon);
      }
    },
  };
  try {
    await arp.ready;
    await daemon.boot();
  } catch (error) {
    await arp.end();
    await close(made, daemon);
    throw error;
  }
  return self;
}

function writeIn(folder: string, name: string, text: string): void {
  mkdirSync(dirname(join(folder, name)), { recursive: true });
  writeFileSync(join(folder, name), text);
}

function mountDisk(folder: string, bytes: number): void {
  mkdirSync(folder, { mode: 0o700 });
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${bytes},mode=0700`, 'mpt-disk', folder]);
}

function unmountDisk(folder: string): void {
  const mounted = readFileSync('/proc/self/mounts', 'utf8').includes(`mpt-disk ${folder} `);
  if (mounted) execFileSync('umount', [folder]);
}

interface Made {
  readonly instance: string;
  readonly folder: string;
  readonly state: string;
  readonly lab: Lab;
  readonly args: readonly string[];
}

type Daemon = Pick<TestSwitch, 'boot' | 'takeover' | 'kill' | 'crash' | 'ended' | 'pid' | 'log'>;

function daemonOf(made: Made): Daemon {
  const log: Record<string, unknown>[] = [];
  let child: ChildProcess | undefined;
  /** Those whose place another took: they end by themselves. */
  const former: ChildProcess[] = [];
  const boot = async (args: readonly string[] = [], from = root): Promise<void> => {
    child = startDaemon(made, args, from);
    await ready(child, log);
  };
  return {
    log,
    pid: () => child?.pid ?? 0,
    boot,
    async ended() {
      if (child !== undefined && child.exitCode === null && child.signalCode === null) await once(child, 'exit');
    },
    async takeover(args = []) {
      const old = child;
      assert.ok(old !== undefined);
      former.push(old);
      const gone = once(old, 'exit');
      await boot(['--takeover', ...args]);
      return { gone: gone.then(([code]) => code as number | null) };
    },
    async crash() {
      if (child !== undefined) await ended(child, 'SIGKILL');
    },
    async kill(signal) {
      await Promise.all([...former.splice(0).map((one) => ended(one, 'SIGKILL')), child && ended(child, signal)]);
    },
  };
}

async function ended(child: ChildProcess, signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  child.kill(signal);
  await gone;
}

/** A daemon of the switch; nobody waits for it. */
export function startDaemon(
  made: Pick<Made, 'instance' | 'folder' | 'state' | 'lab' | 'args'>,
  args: readonly string[],
  from = root,
): ChildProcess {
  const file = join(made.folder, 'midplane.yaml');
  const own = ['--config', file, '--state', made.state, '--instance', made.instance, '--trace'];
  const manifests = ['--manifests', join(made.folder, 'manifests')];
  const command = [process.execPath, join(from, 'src/main.ts'), 'run', ...own, ...manifests, ...made.args, ...args];
  return start(made.lab.switchNetns, command, { stdio: ['ignore', 'pipe', 'pipe'] });
}

/** Resolves at the line that says ready; rejects, with what was said, when the daemon ends first or takes too long. */
async function ready(child: ChildProcess, log: Record<string, unknown>[]): Promise<void> {
  let errors = '';
  let rest = '';
  child.stderr?.on('data', (data: Buffer) => (errors += data.toString()));
  const failed = (why: string): Error => new Error(`${why}\n${errors}${log.map((l) => JSON.stringify(l)).join('\n')}`);
  await new Promise<void>((resolve, reject) => {
    const timer = setTimeout(() => reject(failed('not ready in 60 s')), 60_000);
    child.stdout?.on('data', (data: Buffer) => {
      const lines = (rest + data.toString()).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) log.push(JSON.parse(line) as Record<string, unknown>);
      if (!log.some((line) => line['msg'] === 'ready' && line['pid'] === child.pid)) return;
      clearTimeout(timer);
      resolve();
    });
    child.once('exit', (code, signal) => {
      clearTimeout(timer);
      reject(failed(`the daemon ended (${code ?? signal})`));
    });
  });
}

async function close(made: Made, daemon: Daemon): Promise<void> {
  await daemon.kill('SIGTERM');
  const down = ['down', '--instance', made.instance, '--state', made.state];
  const ran = await run(made.lab.switchNetns, [process.execPath, join(root, 'src/main.ts'), ...down]);
  made.lab[Symbol.dispose]();
  unmountDisk(made.state);
  rmSync(made.folder, { recursive: true, force: true });
  assert.equal(ran.code, 0, `midplane down: ${ran.stderr}`);
}

/** Counts ARP frames that come in to vlanN devices: their own rx counters do not see redirected frames. */
function countArp(netns: string): {
  ready: Promise<void>;
  seen(): Promise<number | undefined>;
  end(): Promise<void>;
} {
  // Short frames and a large ring: with the defaults it holds eight frames, and a burst is lost.
  const child = start(
    netns,
    ['tcpdump', '-i', 'any', '-n', '-e', '-l', '--immediate-mode', '-s', '96', '-B', '4096', 'arp'],
    {
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  );
  let text = '';
  let errors = '';
  child.stdout?.on('data', (data: Buffer) => (text += data.toString()));
  child.stderr?.on('data', (data: Buffer) => (errors += data.toString()));
  const ready = new Promise<void>((resolve) => {
    child.stderr?.on('data', (data: Buffer) => {
      if (data.toString().includes('listening')) resolve();
    });
    child.once('exit', () => resolve());
  });
  return {
    ready,
    async seen() {
      // tcpdump says what it missed when it is asked to.
      const asked = errors.length;
      child.kill('SIGUSR1');
      for (let i = 0; i < 100 && !/dropped by kernel/.test(errors.slice(asked)); i += 1) {
        await new Promise((done) => setTimeout(done, 10));
      }
      const missed = Number(/(\d+) packets? dropped by kernel/.exec(errors.slice(asked))?.[1] ?? 0);
      if (missed > 0) return undefined;
      return text.split('\n').filter((line) => /\bvlan\d+\s+(In|B|M)\b/.test(line)).length;
    },
    async end() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const gone = once(child, 'exit');
      child.kill('SIGKILL');
      await gone;
    },
  };
}

function api<T>(
  socketPath: string,
  method: string,
  path: string,
  body?: unknown,
): Promise<{ status: number; body: T }> {
  const text = body === undefined ? '' : JSON.stringify(body);
  const headers =
    body === undefined ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) };
  return new Promise((resolve, reject) => {
    const sent = request({ socketPath, method, path, headers }, (response) => {
      let answer = '';
      response.setEncoding('utf8').on('data', (chunk: string) => (answer += chunk));
      response.once('end', () => {
        const type = response.headers['content-type'] ?? '';
        resolve({ status: response.statusCode ?? 0, body: (type.includes('json') ? JSON.parse(answer) : answer) as T });
      });
    });
    sent.once('error', reject).end(text);
  });
}

async function ping(
  netns: string,
  to: string,
  o: { count?: number; size?: number; args?: readonly string[] } = {},
): Promise<number> {
  const { count: n = 3, size = 56, args = [] } = o;
  const command = ['ping', '-n', '-q', '-c', String(n), '-i', '0.05', '-W', '1', '-s', String(size), ...args, to];
  const { stdout } = await run(netns, command);
  return Number(/(\d+) received/.exec(stdout)?.[1] ?? 0);
}

function readIds(state: string): Record<string, number> {
  const table = JSON.parse(readFileSync(join(state, 'ids.json'), 'utf8')) as Record<string, Record<string, number>>;
  return table['port'] ?? {};
}
