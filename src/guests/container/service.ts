// The podman service: a child in a session of its own, started when the first container is wanted, and left running
// when the daemon ends. Its files lie in the instance's folders, so that instances do not meet.
import { spawn } from 'node:child_process';
import {
  closeSync,
  constants,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { delimiter, join } from 'node:path';
import { FaultError } from '../../engine/faults.ts';
import { writeDurably } from '../../engine/revision/disk.ts';
import type { Folders } from '../../engine/slice.ts';
import { request } from '../../lib/http.ts';
import { isUnified } from '../cgroup.ts';
import { endProcess, isAlive, type ProcessId, processOf, sleep } from '../process.ts';
import { readRecord } from '../records.ts';

export interface PodmanService {
  readonly socket: string;
  /** Starts it unless it answers. Faults 'not-supported' (no podman), 'unreachable'. */
  ready(): Promise<void>;
  /** Whether its store has containers, without asking it. */
  hasContainers(): boolean;
  /** Ends it; what its store has mounted is unmounted. No container may be left. */
  stop(): Promise<void>;
}

const startMs = 15_000;
const pingMs = 5000;
const maxLogBytes = 2 ** 20;
/** Images that set-up has put on the machine: read only, shared by all instances. */
const sharedImages = '/var/lib/midplane/images';

/** Nothing is started before `ready`. */
export function podmanService(folders: Folders): PodmanService {
  const root = join(folders.state, 'podman');
  const run = join(folders.run, 'podman');
  const place = {
    root,
    run,
    socket: join(run, 'service.sock'),
    record: join(run, 'service.json'),
    log: join(run, 'service.log'),
  };
  let starting: Promise<void> | undefined;
  return {
    socket: place.socket,
    ready() {
      const running = readRecord<ProcessId>(place.record);
      if (running !== undefined && isAlive(running) && existsSync(place.socket) && starting === undefined) {
        return Promise.resolve();
      }
      starting ??= startService(place).finally(() => (starting = undefined));
      return starting;
    },
    hasContainers() {
      const list = readIf(join(root, 'overlay-containers', 'containers.json')).trim();
      return list !== '' && list !== '[]';
    },
    async stop() {
      await starting?.catch(() => undefined);
      const running = readRecord<ProcessId>(place.record);
      if (running !== undefined) await endProcess(running, 3000);
      rmSync(place.record, { force: true });
      await unmountBelow(root);
    },
  };
}

interface Place {
  readonly root: string;
  readonly run: string;
  readonly socket: string;
  readonly record: string;
  readonly log: string;
}

async function startService(place: Place): Promise<void> {
  const old = readRecord<ProcessId>(place.record);
  if (old !== undefined && isAlive(old)) {
    if (await answers(place.socket)) return;
    await endProcess(old, 1000);
  }
  if (findProgram('podman') === undefined) {
    throw new FaultError('not-supported', 'containers', 'podman is not installed');
  }
  writeConfig(place);
  rmSync(place.socket, { force: true });
  const pid = spawnService(place);
  const made = pid === undefined ? undefined : processOf(pid);
  if (made !== undefined) writeDurably(place.record, JSON.stringify(made));
  for (let waited = 0; waited < startMs && made !== undefined && isAlive(made); waited += 50) {
    if (existsSync(place.socket) && (await answers(place.socket))) return;
    await sleep(50);
  }
  const last = readIf(place.log).trimEnd().split('\n').at(-1) ?? '';
  throw new FaultError('unreachable', 'containers', `the podman service does not start: ${last.slice(0, 300)}`, true);
}

function spawnService(place: Place): number | undefined {
  if ((statSync(place.log, { throwIfNoEntry: false })?.size ?? 0) > maxLogBytes) truncateSync(place.log);
  const log = openSync(place.log, constants.O_WRONLY | constants.O_CREAT | constants.O_APPEND, 0o600);
  try {
    const child = spawn('podman', ['--log-level=warn', 'system', 'service', '--time=0', `unix://${place.socket}`], {
      cwd: '/',
      detached: true,
      stdio: ['ignore', log, log],
      env: {
        ...process.env,
        CONTAINERS_CONF: join(place.run, 'containers.conf'),
        CONTAINERS_STORAGE_CONF: join(place.run, 'storage.conf'),
      },
    });
    // That it ended is seen by its pid.
    child.once('error', () => undefined);
    child.unref();
    return child.pid;
  } finally {
    closeSync(log);
  }
}

function writeConfig(place: Place): void {
  mkdirSync(place.root, { recursive: true, mode: 0o700 });
  mkdirSync(place.run, { recursive: true, mode: 0o700 });
  const images = existsSync(sharedImages) ? [sharedImages] : [];
  writeFileSync(
    join(place.run, 'storage.conf'),
    `[storage]
driver = "overlay"
graphroot = ${JSON.stringify(place.root)}
runroot = ${JSON.stringify(join(place.run, 'run'))}
[storage.options]
additionalimagestores = ${JSON.stringify(images)}
`,
  );
  writeFileSync(join(place.run, 'containers.conf'), containersConf(place));
}

/** crun does not take the hybrid cgroup layout; ulimits above ours need CAP_SYS_RESOURCE, which may be missing. The
 * monitor of an exec stays for exit_command_delay seconds. Locks in shared memory would be all instances' own. */
function containersConf(place: Place): string {
  // No network is podman's to make, but it wants to know by what: version 5 knows netavark alone, 4 has it or CNI.
  const netavark = ['/usr/lib/podman/netavark', '/usr/libexec/podman/netavark'].some((path) => existsSync(path));
  const runtime = isUnified() && findProgram('crun') !== undefined ? 'crun' : 'runc';
  return `[containers]
default_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]
log_driver = "k8s-file"
[engine]
runtime = "${runtime}"
cgroup_manager = "cgroupfs"
events_logger = "file"
lock_type = "file"
tmp_dir = ${JSON.stringify(join(place.run, 'libpod'))}
exit_command_delay = 1
[network]
network_backend = "${netavark ? 'netavark' : 'cni'}"
`;
}

/** podman leaves its store's own folder mounted onto itself. */
async function unmountBelow(folder: string): Promise<void> {
  const points = readIf('/proc/self/mounts')
    .split('\n')
    .map((line) => line.split(' ')[1] ?? '')
    .filter((point) => point.startsWith(`${folder}/`));
  for (const point of points.toReversed()) {
    const child = spawn('umount', [point], { stdio: 'ignore' });
    await new Promise((done) => child.once('close', done).once('error', done));
  }
}

function findProgram(name: string): string | undefined {
  const folders = (process.env['PATH'] ?? '').split(delimiter);
  return folders.map((folder) => join(folder, name)).find((path) => existsSync(path));
}

function answers(socketPath: string): Promise<boolean> {
  return new Promise((resolve) => {
    const asked = request({ socketPath, path: '/v4.0.0/libpod/_ping', timeout: pingMs, agent: false }, (answer) => {
      answer.resume();
      resolve(answer.statusCode === 200);
    });
    asked.once('timeout', () => asked.destroy(new Error('no answer')));
    asked.once('error', () => resolve(false));
    asked.end();
  });
}

function readIf(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return '';
    throw error;
  }
}
