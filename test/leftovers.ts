// What tests may leave behind on a machine, listed before and after them. Nothing is cleaned up here: what is left is a
// fault of the test or of the product, and hiding it would hide that.
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** Things by kind, each as the line that a person would look for it by. */
export type Inventory = ReadonlyMap<string, ReadonlySet<string>>;

/** Environment variable that every process started by the tests inherits, and is known by. */
export const mark = 'MIDPLANE_TEST_RUN';

// A fresh bpffs holds two files of the kernel's own that nothing can remove.
const ownPins = new Set(['/sys/fs/bpf/maps.debug', '/sys/fs/bpf/progs.debug']);

/** Lists this machine's. `run` is the value of the mark in our processes. */
export function takeInventory(run: string): Inventory {
  return new Map([
    ['network namespace', new Set(entries('/run/netns'))],
    ['network device', new Set(lines('ip', ['-o', 'link']).map((line) => line.split(': ')[1] ?? line))],
    ['mount', mounts()],
    ['bpf pin', new Set(files('/sys/fs/bpf', 6).filter((path) => !ownPins.has(path)))],
    ['bpf program', programs()],
    ['bpf link', bpfLinks()],
    ['process', processes(run)],
    ['container', new Set(lines('podman', ['ps', '--all', '--format', '{{.ID}} {{.Names}}']))],
    ['cgroup', new Set(folders('/sys/fs/cgroup', 5).filter((path) => /midplane|libpod/.test(path)))],
    ['folder', new Set(['/run/midplane', '/var/lib/midplane', '/tmp'].flatMap(instanceFolders))],
  ]);
}

/** What `after` has and `before` had not, as lines "kind: thing". */
export function added(before: Inventory, after: Inventory): string[] {
  return [...after].flatMap(([kind, things]) =>
    [...things].filter((thing) => !before.get(kind)?.has(thing)).map((thing) => `${kind}: ${thing}`),
  );
}

/** What is left over `before`. The kernel frees programs and namespaces a moment after their last user has gone, so
 * what goes by itself within five seconds is not left. */
export async function leftSince(before: Inventory, run: string): Promise<string[]> {
  let left: string[] = [];
  for (let attempt = 0; attempt < 10; attempt++) {
    left = added(before, takeInventory(run));
    if (left.length === 0) break;
    await sleep(500);
  }
  return left;
}

function mounts(): Set<string> {
  const table = readFileSync('/proc/self/mountinfo', 'utf8').trim().split('\n');
  return new Set(
    table.map((line) => {
      const fields = line.split(' ');
      return `${fields[4] ?? ''} (${fields[fields.indexOf('-') + 1] ?? ''})`;
    }),
  );
}

interface BpfThing {
  readonly id: number;
  readonly type?: string;
  readonly name?: string;
}

// systemd loads programs for its units at any time; those of forwarding are of these types.
const ours = new Set(['sched_cls', 'xdp', 'syscall', 'tcx']);

function programs(): Set<string> {
  const all = bpftool('prog').filter(({ type = '' }) => ours.has(type));
  return new Set(all.map(({ id, type, name }) => `${id} ${type} ${name ?? ''}`));
}

function bpfLinks(): Set<string> {
  return new Set(bpftool('link').flatMap(({ id, type = '' }) => (type === 'cgroup' ? [] : [`${id} ${type}`])));
}

function bpftool(object: string): readonly BpfThing[] {
  const [json = '[]'] = lines('bpftool', ['--json', object, 'show']);
  const list: unknown = JSON.parse(json);
  return Array.isArray(list) ? list : [];
}

/** Living processes that carry the mark, ourselves and those above us apart. */
function processes(run: string): Set<string> {
  const found = new Set<string>();
  for (const pid of entries('/proc').filter((name) => /^\d+$/.test(name))) {
    const environment = read(`/proc/${pid}/environ`).split('\0');
    if (Number(pid) === process.pid || !environment.includes(`${mark}=${run}`)) continue;
    if (/^\d+ \(.*\) [ZX] /s.test(read(`/proc/${pid}/stat`))) continue;
    found.add(`${pid} ${read(`/proc/${pid}/cmdline`).replaceAll('\0', ' ').trim()}`);
  }
  return found;
}

function instanceFolders(parent: string): string[] {
  return entries(parent)
    .filter((name) => parent !== '/tmp' || /^(midplane|mpt)-/.test(name))
    .map((name) => join(parent, name));
}

function files(folder: string, depth: number): string[] {
  if (depth === 0) return [];
  return entries(folder).flatMap((name) => [join(folder, name), ...files(join(folder, name), depth - 1)]);
}

function folders(folder: string, depth: number): string[] {
  if (depth === 0) return [];
  const inside = attempt(() => readdirSync(folder, { withFileTypes: true }), []).filter((each) => each.isDirectory());
  return inside.flatMap(({ name }) => [join(folder, name), ...folders(join(folder, name), depth - 1)]);
}

function entries(folder: string): string[] {
  return attempt(() => readdirSync(folder), []);
}

function read(file: string): string {
  return attempt(() => readFileSync(file, 'utf8'), '');
}

/** Lines that a program prints; none where it is not installed or refuses. */
function lines(program: string, args: readonly string[]): string[] {
  return attempt(
    () => execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'], timeout: 20_000 }),
    '',
  )
    .split('\n')
    .filter((line) => line !== '');
}

/** Things vanish while they are listed. */
function attempt<T>(call: () => T, otherwise: T): T {
  try {
    return call();
  } catch {
    return otherwise;
  }
}
