// From nothing to the first answer: a guest that a commit adds, against what runs it alone. The foil makes the same
// kind of namespace and veth, then runs `podman run` with the same image, or node with the same module.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Op } from '../../src/kernel/netlink.ts';
import { hostsSchema, openLab } from '../../src/lab/hosts.ts';
import { run, start } from '../../src/lab/process.ts';
import { kernel, objects } from '../lab/rig.ts';
import { type Daemon, openDaemon } from './daemon.ts';
import { type Bench, compared, type Group, interleave, type Row, short, median } from './row.ts';

const image = 'localhost/midplane/web:1';
const images = '/var/lib/midplane/images';
const address = '10.0.10.11';
const hosts = { h1: { port: 'swp1', address: ['10.0.10.1/24'] } };
const hello = 'export default { fetch: () => new Response("hello") };\n';
/** The least that serves the module: node, its HTTP server, the module. */
const bareServer = `import { createServer } from 'node:http';
import handler from './hello.mjs';
createServer(async (incoming, outgoing) => {
  const response = await handler.fetch(new Request(new URL(incoming.url, 'http://localhost')));
  outgoing.end(await response.text());
}).listen(80);
`;

const kinds = {
  function: `functions: { it: { source: hello.mjs, port: { vlan: 10 }, address: [${address}/24] } }\n`,
  container: `containers: { it: { image: "${image}", port: { vlan: 10 }, address: [${address}/24] } }\n`,
} as const;
type Kind = keyof typeof kinds;
const documentOf = (kind?: Kind): string =>
  `ports: { swp1: { vlan: { access: 10 } } }\n${kind === undefined ? '' : kinds[kind]}`;

export const guests: Group = { name: 'guests', what: 'a guest from nothing to its first answer', run: runGuests };

async function runGuests(bench: Bench): Promise<readonly Row[]> {
  await using stack = new AsyncDisposableStack();
  const prefix = `${bench.prefix}-g`;
  const lab = stack.use(openLab({ kernel, prefix, hosts: hostsSchema.parse(hosts), objects }));
  const files = { 'hello.mjs': hello };
  const instance = prefix;
  const daemon = stack.use(await openDaemon({ instance, netns: lab.switchNetns, document: documentOf(), files }));
  const bare = stack.use(openBare(`${prefix}-bare`));
  const fast = (netns: string): void => kernel.sysctl.write('net/ipv4/neigh/eth0/retrans_time_ms', '10', netns);
  fast(lab.netnsOf('h1'));
  const rows: Row[] = [];
  for (const kind of ['function', 'container'] as const) {
    const foil = kind === 'function' ? 'node' : 'podman run';
    // The first start of a daemon's container starts the podman service too.
    await ourStart(daemon, lab.netnsOf('h1'), kind);
    const samples = await interleave(bench, `${kind}, ms`, {
      ours: () => ourStart(daemon, lab.netnsOf('h1'), kind),
      [foil]: () => bare.start(kind, fast),
    });
    const { ours = [], [foil]: theirs = [] } = samples as Record<string, number[]>;
    const more = ours.map((value, i) => value - (theirs[i] ?? Number.NaN));
    const row = compared(`${kind}: commit to first answer, against ${foil}`, 'ms', ours, theirs);
    const note = `+${short(median(more))} ms (${short(Math.min(...more))} to ${short(Math.max(...more))})`;
    rows.push({ ...row, note: note.replace('+-', '-') });
  }
  return rows;
}

/** Milliseconds until it answers in the namespace, from when `begin` is called. */
async function untilAnswer(netns: string, begin: () => Promise<void>): Promise<number> {
  const script = join(import.meta.dirname, 'answer.ts');
  const child = start(netns, [process.execPath, script, address, '80'], { stdio: ['ignore', 'pipe', 'inherit'] });
  const timer = setTimeout(() => child.kill('SIGKILL'), 30_000);
  try {
    if (child.stdout === null) throw new Error('no output');
    const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
    await lines.next();
    const begun = process.hrtime.bigint();
    const [{ value }] = await Promise.all([lines.next(), begin()]);
    if (value === undefined) throw new Error('no answer in 30 s');
    return Number(BigInt(value as string) - begun) / 1e6;
  } finally {
    clearTimeout(timer);
    await end(child);
  }
}

async function ourStart(daemon: Daemon, netns: string, kind: Kind): Promise<number> {
  const commit = async (document: string): Promise<void> => void (await daemon.post('/v1/commit', { document }));
  const took = await untilAnswer(netns, () => commit(documentOf(kind)));
  await commit(documentOf());
  return took;
}

interface Bare extends AsyncDisposable {
  start(kind: Kind, fast: (netns: string) => void): Promise<number>;
}

function openBare(prefix: string): Bare {
  const folder = mkdtempSync(join(tmpdir(), `${prefix}-`));
  const [near, far] = [`${prefix}-h`, `${prefix}-g`];
  kernel.netns.add(near);
  writeFileSync(join(folder, 'hello.mjs'), hello);
  writeFileSync(join(folder, 'server.mjs'), bareServer);
  const podman = podmanIn(folder);
  return {
    async start(kind, fast) {
      let child: ChildProcess | undefined;
      try {
        return await untilAnswer(near, async () => {
          plug(near, far);
          fast(near);
          if (kind === 'container') await podman('run', '--detach', '--network', `ns:/run/netns/${far}`, image);
          else child = start(far, [process.execPath, join(folder, 'server.mjs')], { stdio: 'ignore' });
        });
      } finally {
        if (kind === 'container') await podman('rm', '--all', '--force', '--time', '0');
        if (child !== undefined) await end(child);
        // The kernel takes a namespace's devices away some time after it; the next one needs the name at once.
        await run(near, ['ip', 'link', 'delete', 'eth0']);
        kernel.netns.remove(far);
      }
    },
    async [Symbol.asyncDispose]() {
      await podman('rm', '--all', '--force', '--time', '0').catch(() => undefined);
      kernel.netns.remove(near);
      // Podman leaves its store mounted onto itself.
      execFileSync('sh', ['-c', `umount -l ${folder}/*/overlay 2>/dev/null; exit 0`]);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** By netlink, in this process: it costs the foil next to nothing. */
function plug(near: string, far: string): void {
  kernel.netns.add(far);
  const apply = (netns: string, ops: readonly Op[]): void => {
    const nl = kernel.netlink(netns);
    const failed = nl.apply(ops).find((code) => code !== undefined);
    nl.close();
    if (failed !== undefined) throw new Error(`plug: ${failed}`);
  };
  const up = (name: string): Op => ({ op: 'link-set', name, up: true });
  const own = (cidr: string): Op => ({ op: 'address-add', dev: 'eth0', cidr });
  const veth: Op = { op: 'link-add-veth', name: 'eth0', peer: 'eth0', peerNetns: far };
  apply(near, [veth, up('eth0'), own('10.0.10.1/24')]);
  apply(far, [up('lo'), up('eth0'), own(`${address}/24`)]);
}

/** With the settings that the switch gives it, and the same images. */
function podmanIn(folder: string): (...args: readonly string[]) => Promise<void> {
  const conf = join(folder, 'containers.conf');
  mkdirSync(join(folder, 'root'));
  writeFileSync(
    conf,
    `[containers]
default_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]
log_driver = "k8s-file"
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
lock_type = "file"
tmp_dir = "${folder}/tmp"
`,
  );
  const own = ['--root', join(folder, 'root'), '--runroot', join(folder, 'run'), '--storage-driver', 'overlay'];
  return async (...args) => {
    const shared = ['--storage-opt', `additionalimagestore=${images}`];
    const env = { ...process.env, CONTAINERS_CONF: conf };
    const child = spawn('podman', [...own, ...shared, ...args], { env, stdio: ['ignore', 'ignore', 'pipe'] });
    let errors = '';
    child.stderr.on('data', (data: Buffer) => (errors += data.toString()));
    const [code] = (await once(child, 'close')) as [number | null];
    if (code !== 0) throw new Error(`podman ${args.join(' ')}: ${errors}`);
  };
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  child.kill('SIGKILL');
  await gone;
}
