// Containers as resources. Labels say whose a container is, which guest, and by which spec it was made.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { FaultError } from '../../engine/faults.ts';
import { hashOf } from '../../engine/kinds/mark.ts';
import { type Driver, nameOf, type Ref } from '../../engine/resource.ts';
import type { DriverHost } from '../../engine/slice.ts';
import { cgroupName, removeTree } from '../cgroup.ts';
import { isElsewhere, isInNetns, processOf, sleep } from '../process.ts';
import { diffGuest, type GuestActual, openStarts, type Starts } from '../starts.ts';
import type { Seen } from '../supervise.ts';
import type { ContainerSpec } from './compile.ts';
import { type OomWatch, watchOom } from './oom.ts';
import { type Container, openPodman, type Podman } from './podman.ts';
import { podmanService, type PodmanService } from './service.ts';
import { specFor } from './spec.ts';

const labels = { instance: 'midplane.instance', guest: 'midplane.guest', hash: 'midplane.hash' } as const;

export interface ContainerKeeper {
  readonly driver: Driver<ContainerSpec, GuestActual>;
  readonly starts: Starts;
  readonly podman: Podman;
  /** `anew`: in place of what runs. */
  start(ref: Ref, spec: ContainerSpec, anew?: boolean): void;
  look(): Promise<ReadonlyMap<Ref, Seen>>;
  /** Id of the container that a guest is. */
  idOf(name: string): Promise<string>;
}

interface Keeping {
  readonly host: DriverHost;
  readonly service: PodmanService;
  readonly podman: Podman;
  readonly starts: Starts;
  readonly oom: OomWatch;
  /** The last list, where nothing has changed since. */
  cached?: { readonly list: readonly Container[]; readonly when: number };
}

const stopS = 3;
/** A container that ends with an error so soon has not started. */
const wellMs = 300;
const startMs = 30_000;
const cacheMs = 10_000;

/** Makes the keeper of an instance's containers; there is one a daemon. */
export function openContainers(host: DriverHost): ContainerKeeper {
  const service = podmanService(host.folders);
  const podman = openPodman(service.socket, () => service.ready());
  const starts = openStarts(
    (error) => host.log.error({ error }, 'start of a container'),
    (ref, fault) => host.log.warn({ ref, fault }, 'guest did not start'),
  );
  const keeping: Keeping = { host, service, podman, starts, oom: watchOom(host.instance) };
  return {
    driver: driverOf(keeping),
    starts,
    podman,
    start: (ref, spec, anew) => begin(keeping, ref, spec, anew),
    look: () => look(keeping),
    async idOf(name) {
      const found = (await list(keeping)).find((c) => c.labels[labels.guest] === name);
      if (found === undefined) throw new FaultError('not-found', name, 'the container is not there');
      return found.id;
    },
  };
}

function driverOf(keeping: Keeping): Driver<ContainerSpec, GuestActual> {
  const { podman, starts, host } = keeping;
  return {
    kind: 'container',
    read: (refs) => readGuests(keeping, refs),
    diff: diffGuest,
    async prepare(spec, progress, signal) {
      if (await podman.imageExists(spec.image)) return;
      progress(`pulls ${spec.image}`);
      await podman.pull(spec.image, progress, signal);
    },
    async put(batch) {
      const there = await list(keeping);
      for (const [ref, spec] of batch) {
        if (there.some((c) => c.state === 'running' && refOf(c) === ref && isSame(c, spec))) continue;
        if (!(await podman.imageExists(spec.image))) {
          throw new FaultError('no-image', ref, `image ${spec.image} is not there`, true);
        }
        begin(keeping, ref, spec);
      }
    },
    drop: (refs) =>
      starts.leave(refs, async () => {
        const there = await list(keeping);
        await Promise.all(
          refs.map(async (ref) => {
            await removeAll(keeping, there, ref);
            await removeTree(cgroupName(host.instance, nameOf(ref)));
          }),
        );
      }),
    settle: (_spec, ref, signal) => starts.settled(ref, AbortSignal.any([signal, AbortSignal.timeout(startMs)])),
    async clear() {
      await keeping.service.stop();
    },
  };
}

const refOf = (c: Container): Ref => `container/${c.labels[labels.guest] ?? ''}`;

function isSame(c: Container, spec: ContainerSpec): boolean {
  return c.labels[labels.hash] === hashOf(spec) && (c.pid === 0 || isInNetns(c.pid, spec.netns));
}

/** All of this instance. None, without asking, where its store has none and nobody has asked for one. */
async function list(keeping: Keeping): Promise<readonly Container[]> {
  const { service, podman, host } = keeping;
  const found = service.hasContainers() ? await podman.list(`${labels.instance}=${host.instance}`) : [];
  keeping.cached = { list: found, when: host.clock.monotonic() };
  return found;
}

async function readGuests(keeping: Keeping, refs: 'all' | readonly Ref[]): Promise<ReadonlyMap<Ref, GuestActual>> {
  const all = new Map<Ref, GuestActual>();
  for (const c of await list(keeping)) {
    const known = all.get(refOf(c));
    // Of two, the one that runs counts: the other is left over.
    if (known !== undefined && c.state !== 'running') continue;
    const netns = `mp-${keeping.host.instance}-${c.labels[labels.guest] ?? ''}`;
    all.set(refOf(c), { hash: c.labels[labels.hash] ?? '', attached: c.pid === 0 || !isElsewhere(c.pid, netns) });
  }
  for (const ref of keeping.starts.refs()) {
    all.set(ref, { hash: keeping.starts.pending(ref) ?? '', attached: true });
  }
  return refs === 'all' ? all : new Map([...all].filter(([ref]) => refs.includes(ref)));
}

async function removeAll(keeping: Keeping, there: readonly Container[], ref: Ref, except?: string): Promise<void> {
  const own = there.filter((c) => refOf(c) === ref && c.id !== except);
  await Promise.all(own.map((c) => keeping.podman.remove(c.id, stopS)));
}

function begin(keeping: Keeping, ref: Ref, spec: ContainerSpec, anew = false): void {
  keeping.starts.begin(ref, hashOf(spec), (signal) => start(keeping, ref, spec, anew, signal));
}

/** Starts the one that is there, where it was made by this very spec and `anew` is not asked for; else makes one, in
 * place of others. */
async function start(
  keeping: Keeping,
  ref: Ref,
  spec: ContainerSpec,
  anew: boolean,
  signal: AbortSignal,
): Promise<void> {
  const { podman, host, oom } = keeping;
  const name = nameOf(ref);
  const there = await list(keeping);
  const same = anew ? undefined : there.find((c) => refOf(c) === ref && isSame(c, spec));
  await removeAll(keeping, there, ref, same?.id);
  if (signal.aborted) throw new FaultError('cancelled', ref, 'cancelled');
  const marks = { [labels.instance]: host.instance, [labels.guest]: name, [labels.hash]: hashOf(spec) };
  const resolvConf = writeResolvConf(host.folders.run, name, spec.dns);
  const id = same?.id ?? (await podman.create(specFor(host.instance, name, spec, marks, resolvConf)));
  oom.begun(name, id);
  await podman.start(id).catch((error: unknown) => {
    if (!(error instanceof FaultError)) throw error;
    throw new FaultError(error.fault.code, ref, error.fault.why, true);
  });
  await sleep(wellMs);
  const now = (await list(keeping)).find((c) => c.id === id);
  if (now === undefined) throw new FaultError('refused', ref, 'it is gone', true);
  if (now.state !== 'running' && now.exitCode !== 0) {
    throw new FaultError('refused', ref, await whyEnded(keeping, now), true);
  }
}

/** Made, or left by a machine that went down. */
const isFresh = (c: Container): boolean => c.state === 'created' || c.state === 'configured';

async function whyEnded({ oom }: Keeping, c: Container): Promise<string> {
  if (isFresh(c)) return 'not started';
  const killed = c.exitCode !== 0 && (await oom.killed(c.labels[labels.guest] ?? '', c.id));
  return killed ? 'out of memory' : `exit code ${c.exitCode}`;
}

/** Asks podman only where one that ran has ended, or the last answer is old: asking costs it some 20 ms of a CPU. */
async function look(keeping: Keeping): Promise<ReadonlyMap<Ref, Seen>> {
  const { cached, host } = keeping;
  const fresh =
    cached !== undefined &&
    host.clock.monotonic() - cached.when < cacheMs &&
    cached.list.every((c) => c.pid === 0 || processOf(c.pid) !== undefined);
  const all = fresh ? cached.list : await list(keeping);
  return new Map(await Promise.all(all.map((c) => see(keeping, c))));
}

async function see(keeping: Keeping, c: Container): Promise<[Ref, Seen]> {
  const running = c.state === 'running';
  const why = running ? '' : await whyEnded(keeping, c);
  return [refOf(c), { running, pid: c.pid, startedAt: c.startedAt, why, fresh: isFresh(c) }];
}

/** Where the guest's resolv.conf stands (resolv.conf(5)). */
function writeResolvConf(run: string, name: string, dns: readonly string[]): string {
  const folder = join(run, 'containers');
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const file = join(folder, `${name}.resolv.conf`);
  writeFileSync(file, dns.map((server) => `nameserver ${server}\n`).join(''), { mode: 0o644 });
  return file;
}
