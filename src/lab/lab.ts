// The lab: a switch in a namespace of its own, hosts plugged into its ports, and the machine's loopback carried in.
//  1. what a crash left is removed
//  2. a copy of the configuration, with a password and a token made for this run
//  3. namespaces and hosts, the daemon (started again when it ends), carriers, Envoys
//  4. what to try is said; Ctrl-C takes everything away
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, existsSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { parse } from 'yaml';
import { setIn } from '../config/edit.ts';
import { KernelError } from '../kernel/errno.ts';
import type { Kernel } from '../kernel/kernel.ts';
import { tcpListen } from '../kernel/socket.ts';
import { hashPassword } from '../lib/secret/password.ts';
import { newToken } from '../lib/secret/token.ts';
import { type Hosts, hostsSchema, type Lab, openLab } from './hosts.ts';
import { ended, heirOf } from './heir.ts';
import { run, start } from './process.ts';
import { openRemains, type Remains } from './remains.ts';

export interface LabRun {
  readonly kernel: Kernel;
  /** Folder of the program and of the compiled objects. */
  readonly root: string;
  readonly objects: string;
  readonly config: string;
  readonly manifests: string;
  readonly hosts: string;
  readonly say: (line: string) => void;
  /** Ends the lab. */
  readonly signal: AbortSignal;
  readonly random: (bytes: number) => Uint8Array;
}

interface Setting extends LabRun {
  readonly work: string;
  readonly state: string;
  readonly password: string;
  readonly token: string;
  readonly remains: Remains;
}

const instance = 'lab';

/** Runs until the signal. Returns an exit code. */
export async function runLab(input: LabRun): Promise<number> {
  const work = '/var/lib/midplane/lab';
  const remains = openRemains('/run/midplane-lab.json');
  await remains.end();
  await removeRemains(input, join(work, 'state'));
  const secrets = { password: wordOf(input.random), token: newToken() };
  const setting: Setting = {
    ...input,
    work,
    state: join(work, 'state'),
    remains,
    password: secrets.password,
    token: secrets.token.token,
  };
  await copyConfiguration(setting, secrets.token.hash);
  const hosts = hostsSchema.parse(parse(readFileSync(input.hosts, 'utf8')));
  input.say('plugging the hosts in ...');
  using lab = openLab({ kernel: input.kernel, prefix: instance, hosts, objects: input.objects });
  await using stack = new AsyncDisposableStack();
  stack.defer(() => takeDown(setting, lab.switchNetns));
  try {
    await startAll(setting, lab, hosts, stack);
  } catch (error) {
    input.say(String(error));
    return 2;
  } finally {
    remains.clear();
  }
  return 0;
}

async function startAll(setting: Setting, lab: Lab, hosts: Hosts, stack: AsyncDisposableStack): Promise<void> {
  setting.say('starting the switch and its guests ...');
  const daemon = stack.use(await keepDaemon(setting, lab.switchNetns));
  const ports = carry(setting, lab.switchNetns, stack);
  for (const [name, host] of Object.entries(hosts)) {
    if (host.envoy !== undefined) await startEnvoy(setting, lab.netnsOf(name), name, host.envoy.xds, stack);
  }
  setting.say(whatToTry(setting, ports, Object.keys(hosts)));
  await Promise.race([new Promise((done) => setting.signal.addEventListener('abort', done)), daemon.lost]);
  setting.say('taking the lab down ...');
}

/** Letters and digits that are not mistaken for each other, 100 bits. */
function wordOf(random: (bytes: number) => Uint8Array): string {
  const letters = 'abcdefghjkmnpqrstuvwxyz23456789ABCD';
  return [...random(20)].map((byte) => letters[byte % 32]).join('');
}

/** The lab works on a copy; its document gets the password and the token of this run. */
async function copyConfiguration(setting: Setting, tokenHash: string): Promise<void> {
  rmSync(setting.work, { recursive: true, force: true });
  mkdirSync(setting.work, { recursive: true, mode: 0o700 });
  const functions = join(dirname(setting.config), 'lab/functions');
  if (existsSync(functions)) cpSync(functions, join(setting.work, 'lab/functions'), { recursive: true });
  cpSync(setting.manifests, join(setting.work, 'manifests'), { recursive: true });
  let text = readFileSync(setting.config, 'utf8');
  text = setIn(text, ['users', 'admin'], { role: 'admin', password: await hashPassword(setting.password) });
  text = setIn(text, ['api', 'tokens', 'lab'], { role: 'admin', hash: tokenHash });
  writeFileSync(join(setting.work, 'midplane.yaml'), text, { mode: 0o600 });
}

const command = (setting: LabRun, ...args: string[]): string[] => [
  process.execPath,
  join(setting.root, 'src/main.ts'),
  ...args,
];

/** Namespaces, pins and guests that a lab before this one left. */
async function removeRemains(setting: LabRun, state: string): Promise<void> {
  const left = setting.kernel.netns.list().filter((name) => name.startsWith(`${instance}-`));
  if (left.includes(`${instance}-switch`)) {
    setting.say('removing what an earlier lab left ...');
    await run(`${instance}-switch`, command(setting, 'down', '--instance', instance, '--state', state));
  }
  for (const name of left) setting.kernel.netns.remove(name);
}

async function takeDown(setting: Setting, netns: string): Promise<void> {
  const { code, stderr } = await run(netns, command(setting, 'down', '--instance', instance, '--state', setting.state));
  if (code !== 0) setting.say(stderr);
  rmSync(setting.work, { recursive: true, force: true });
}

/** The daemon, started again when it ends by itself; `lost` when it ends five times within its first seconds. */
async function keepDaemon(
  setting: Setting,
  netns: string,
): Promise<AsyncDisposable & { readonly lost: Promise<void> }> {
  let child: ChildProcess;
  let ending = false;
  let quick = 0;
  const { promise: lost, resolve: giveUp } = Promise.withResolvers<void>();
  const begin = (): ChildProcess => {
    const log = openSync(join(setting.work, 'daemon.log'), 'a', 0o600);
    const args = ['--config', join(setting.work, 'midplane.yaml'), '--manifests', join(setting.work, 'manifests')];
    const doors = ['--ssh', '127.0.0.1:2222', '--api', '127.0.0.1:9090'];
    const own = ['run', ...args, '--state', setting.state, '--instance', instance, ...doors];
    const started = start(netns, command(setting, ...own), { stdio: ['ignore', log, log] });
    const since = performance.now();
    if (started.pid !== undefined) setting.remains.note(started.pid);
    started.once('exit', (code) => {
      quick = performance.now() - since < 5000 ? quick + 1 : 0;
      void next(code === 0);
    });
    return started;
  };
  /** Where one hands over it ends well: the other is watched until no daemon is left. */
  const next = async (handedOver: boolean): Promise<void> => {
    for (let heir = handedOver ? heirOf(instance) : undefined; heir && !ending; heir = heirOf(instance)) {
      setting.say(`the switch is the daemon with pid ${heir.pid} now`);
      setting.remains.note(heir.pid);
      await ended(heir);
    }
    if (ending) return;
    if (quick >= 5) giveUp();
    else child = begin();
  };
  child = begin();
  await ready(setting, lost);
  return {
    lost,
    async [Symbol.asyncDispose]() {
      ending = true;
      const heir = heirOf(instance);
      if (heir !== undefined && heir.pid !== child.pid) {
        process.kill(heir.pid, 'SIGTERM');
        await ended(heir);
      }
      if (child.exitCode !== null || child.signalCode !== null) return;
      const gone = once(child, 'exit');
      child.kill('SIGTERM');
      await gone;
    },
  };
}

/** Waits for the line that says ready, showing what it waits for; throws what the daemon said where it cannot start. */
async function ready(setting: Setting, lost: Promise<void>): Promise<void> {
  const file = join(setting.work, 'daemon.log');
  let over = false;
  void lost.then(() => (over = true));
  for (let i = 0; i < 1200 && !over; i += 1) {
    await new Promise((done) => setTimeout(done, 100));
    const text = readFileSync(file, 'utf8');
    if (text.includes('"msg":"ready"')) return;
    if (i > 0 && i % 100 === 0) setting.say(`... ${i / 10} s`);
  }
  throw new Error(`the switch does not start:\n${readFileSync(file, 'utf8').split('\n').slice(-20).join('\n')}`);
}

const doors = [
  { name: 'ssh', port: 2222, to: '127.0.0.1:2222' },
  { name: 'http', port: 8080, to: '10.10.0.1:80' },
  { name: 'api', port: 9090, to: '127.0.0.1:9090' },
] as const;

export type CarriedPorts = Readonly<Record<(typeof doors)[number]['name'], number>>;

/** Opens the machine's loopback ports (the next free one where one is taken) and carries them into the namespace. */
function carry(setting: Setting, netns: string, stack: AsyncDisposableStack): CarriedPorts {
  const opened = doors.map((door) => ({ ...door, ...listenNear(door.port) }));
  const carrier = join(setting.root, 'src/lab/carrier.ts');
  const child = start(netns, [process.execPath, carrier, ...doors.map((door) => door.to)], {
    stdio: ['ignore', 'inherit', 'inherit', ...opened.map((one) => one.fd)],
  });
  if (child.pid !== undefined) setting.remains.note(child.pid);
  stack.defer(() => stop(child));
  for (const one of opened) {
    if (one.at !== one.port) setting.say(`port ${one.port} is taken: ${one.name} is at ${one.at}`);
  }
  return Object.fromEntries(opened.map((one) => [one.name, one.at])) as CarriedPorts;
}

function listenNear(port: number): { readonly fd: number; readonly at: number } {
  for (let at = port; at < port + 50; at += 1) {
    try {
      return { fd: tcpListen({ address: '127.0.0.1', port: at }), at };
    } catch (error) {
      if (!(error instanceof KernelError) || error.code !== 'EADDRINUSE') throw error;
    }
  }
  throw new Error(`no free port near ${port}`);
}

async function startEnvoy(
  setting: Setting,
  netns: string,
  host: string,
  xds: string,
  stack: AsyncDisposableStack,
): Promise<void> {
  const binary = join(setting.root, 'native/build/envoy/envoy/_bin/envoy');
  if (!existsSync(binary)) {
    setting.say(`no Envoy on ${host}: ${basename(binary)} is not installed (native/envoy.sh)`);
    return;
  }
  const args = ['proxy', 'bootstrap', '--role', 'gateway', '--id', host, '--xds', xds];
  const made = await run(netns, command(setting, ...args));
  const file = join(setting.work, `${host}-envoy.yaml`);
  writeFileSync(file, made.stdout);
  const log = openSync(join(setting.work, `${host}-envoy.log`), 'a', 0o600);
  const child = start(
    netns,
    [binary, '-c', file, '--disable-hot-restart', '--concurrency', '1', '--drain-time-s', '1'],
    {
      stdio: ['ignore', log, log],
    },
  );
  if (child.pid !== undefined) setting.remains.note(child.pid);
  stack.defer(() => stop(child));
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  child.kill('SIGKILL');
  await gone;
}

function whatToTry(setting: Setting, ports: CarriedPorts, hosts: readonly string[]): string {
  const inside = (host: string, rest: string): string => `nsenter --net=/run/netns/${instance}-${host} ${rest}`;
  return `
The switch is up. Hosts ${hosts.join(', ')} are plugged in. Try, in another terminal:

  ssh -p ${ports.ssh} -o NoHostAuthenticationForLocalhost=yes admin@127.0.0.1
                                                    password: ${setting.password}
                                                    then: show ports, show guests, show http routes, ?
  curl http://127.0.0.1:${ports.http}/                      the gateway: web, 80 % v1 and 20 % v2
  curl -H 'x-user: canary' http://127.0.0.1:${ports.http}/  always v2
  curl http://127.0.0.1:${ports.http}/hello                 a function
  ${inside('h1', 'ping 10.20.0.13')}
                                                    h1 in VLAN 10 to h3 in VLAN 20, routed
  ${inside('h1', 'curl -H "host: web" http://10.10.0.15/')}
                                                    the same route by the Envoy on h5
  curl http://127.0.0.1:${ports.api}/metrics                for Prometheus
  curl -H 'authorization: Bearer ${setting.token}' http://127.0.0.1:${ports.api}/v1/show/ports

A change and its way back, in the SSH session:

  configure
  set ports swp2 shut true
  compare
  commit confirmed 1          goes back by itself in a minute, unless: commit
  exit

Ctrl-C ends the lab and leaves nothing behind.
`;
}
