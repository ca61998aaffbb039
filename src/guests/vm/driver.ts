// VMs as resources: a record in the run folder says which process is which VM, so that a new daemon takes the old one's
// over. A VM that has ended keeps its record until it is dropped or started again.
import { rmSync } from 'node:fs';
import { FaultError } from '../../engine/faults.ts';
import { hashOf } from '../../engine/kinds/mark.ts';
import { type Driver, nameOf, type Ref } from '../../engine/resource.ts';
import type { DriverHost, Folders } from '../../engine/slice.ts';
import type { Kernel } from '../../kernel/kernel.ts';
import { printBytes } from '../../lib/units.ts';
import { cgroupName, makeCgroup, openCgroup } from '../cgroup.ts';
import { endProcess, isAlive, type ProcessId, processOf, sleep } from '../process.ts';
import { readRecord, recordsIn, unborn, writeRecord } from '../records.ts';
import { type GuestActual, openStarts, type Starts } from '../starts.ts';
import type { Seen } from '../supervise.ts';
import { type VmSpec, vmRef } from './compile.ts';
import {
  checkFiles,
  consoleTail,
  lastError,
  makeFiles,
  placesOf,
  recordsFolder,
  sweep,
  trimLog,
  vmsFolder,
} from './files.ts';
import { chooseAccel, findQemu, launch } from './launch.ts';
import { overheadBytes } from './machine.ts';
import { openQmp, type Qmp } from './qmp.ts';

interface VmRecord extends ProcessId {
  readonly hash: string;
  /** Index of the tap that it has open. */
  readonly ifindex: number;
  /** Milliseconds since 1970. */
  readonly startedAt: number;
}

export interface VmKeeper {
  readonly driver: Driver<VmSpec, GuestActual>;
  readonly starts: Starts;
  start(ref: Ref, spec: VmSpec): void;
  look(): Promise<ReadonlyMap<Ref, Seen>>;
  /** The end of what its console showed. */
  tail(name: string): string;
  /** Keeps logs within their bound. */
  trim(): void;
  /** Takes away files of what is not wanted any more. */
  sweep(wanted: ReadonlyMap<string, VmSpec>): void;
  consoleOf(name: string): string;
}

const startMs = 30_000;
const powerdownMs = 5000;
const quitMs = 1000;

/** A machine that stands still for one of these reasons does not go on by itself (qapi/run-state.json). */
const dead = new Set(['internal-error', 'io-error', 'guest-panicked', 'shutdown']);

/** Makes the keeper of an instance's VMs; there is one a daemon. */
export function openVms(kernel: Kernel, host: DriverHost): VmKeeper {
  const { folders } = host;
  const starts = openStarts((error) => host.log.error({ error }, 'start of a VM'));
  const whys = new Map<string, string>();
  const begin = (ref: Ref, spec: VmSpec): void =>
    starts.begin(ref, hashOf(spec.machine), (signal) => start({ kernel, host, whys }, ref, spec, signal));
  return {
    driver: driverOf({ kernel, host, whys }, starts, begin),
    starts,
    start: begin,
    look: async () => {
      const seen = recorded(folders).map(async (ref) => [ref, await see(folders, nameOf(ref), whys)] as const);
      return new Map(await Promise.all(seen));
    },
    tail: (name) => consoleTail(folders, name),
    trim: () => {
      for (const ref of recorded(folders)) trimLog(folders, nameOf(ref));
    },
    sweep: (wanted) => sweep(folders, wanted, host.clock.now()),
    consoleOf: (name) => placesOf(folders, name).console,
  };
}

interface Keeping {
  readonly kernel: Kernel;
  readonly host: DriverHost;
  readonly whys: Map<string, string>;
}

function driverOf(
  keeping: Keeping,
  starts: Starts,
  begin: (ref: Ref, spec: VmSpec) => void,
): Driver<VmSpec, GuestActual> {
  const { kernel, host } = keeping;
  const { folders } = host;
  const readOne = (ref: Ref): [Ref, GuestActual][] => {
    const pending = starts.pending(ref);
    if (pending !== undefined) return [[ref, { hash: pending, attached: true }]];
    const record = recordOf(folders, nameOf(ref));
    if (record === undefined) return [];
    const attached = !isAlive(record) || kernel.netlink().link(nameOf(ref))?.index === record.ifindex;
    return [[ref, { hash: record.hash, attached }]];
  };
  return {
    kind: 'vm',
    read: (refs) => {
      const list = refs === 'all' ? new Set([...recorded(folders), ...starts.refs()]) : refs;
      return Promise.resolve(new Map([...list].flatMap(readOne)));
    },
    diff: (spec, actual) => (actual.attached && actual.hash === hashOf(spec.machine) ? 'same' : 'replace'),
    claims: (spec) => spec.address.map((cidr) => `address ${cidr.split('/')[0]}`),
    prepare: async (spec, progress, signal) => {
      findQemu(vmRef(spec.name));
      await makeFiles(folders, spec, progress, signal);
      // Where emulation will do, a trial that hangs need not hold up the start of a switch.
      if (spec.machine.accel !== 'kvm') return;
      progress('trial of KVM');
      await chooseAccel(vmRef(spec.name), spec, vmsFolder(folders));
    },
    put: (batch) => {
      for (const [ref, spec] of batch) {
        if (runs(keeping, ref, spec)) continue;
        checkFiles(spec);
        begin(ref, spec);
      }
      return Promise.resolve();
    },
    drop: (refs) =>
      starts.leave(refs, async () => {
        await Promise.all(
          refs.map(async (ref) => {
            await stop(host, nameOf(ref));
            rmSync(placesOf(folders, nameOf(ref)).record, { force: true });
          }),
        );
      }),
    settle: (_spec, ref, signal) => starts.settled(ref, signal),
  };
}

/** Takes away what is left of an earlier one, starts it, and waits until its processors run. */
async function start(keeping: Keeping, ref: Ref, spec: VmSpec, signal: AbortSignal): Promise<void> {
  const { kernel, host, whys } = keeping;
  const { folders, instance } = host;
  const { name, machine } = spec;
  await stop(host, name);
  await makeFiles(folders, spec, () => undefined, signal);
  const accel = await chooseAccel(ref, spec, vmsFolder(folders));
  const ifindex = kernel.netlink().link(name)?.index;
  if (ifindex === undefined) throw new FaultError('no-device', ref, `its port has no device ${name}`, true);
  const limits = { memory: machine.memory + overheadBytes, cpus: machine.cpus, pids: 64 + 4 * machine.cpus };
  const places = placesOf(folders, name, spec);
  whys.delete(name);
  // Before its cgroup: a daemon that is killed here leaves nothing that the next one does not know.
  writeRecord(places.record, { ...unborn, ifindex, startedAt: host.clock.now() });
  const group = makeCgroup(cgroupName(instance, name), limits);
  const pid = launch({ ref, spec, places, accel, procs: group.procs }, (why) => {
    const oom = group.oomKills() > 0;
    const last = lastError(places);
    const said = last === '' ? why : `${why}: ${last}`;
    whys.set(name, oom ? `out of memory: it has ${printBytes(limits.memory)}, QEMU's own included` : said);
  });
  const made = pid === undefined ? undefined : processOf(pid);
  if (made === undefined) throw new FaultError('refused', ref, whys.get(name) ?? 'it ended at once', true);
  const record = { ...made, hash: hashOf(machine), ifindex, startedAt: host.clock.now() };
  writeRecord(places.record, record);
  const until = host.clock.monotonic() + startMs;
  for (;;) {
    const status = await statusOf(places.qmp);
    if (status === 'running') break;
    if (!isAlive(made)) {
      await sleep(50);
      throw new FaultError('refused', ref, whys.get(name) ?? 'it ended', true);
    }
    if (signal.aborted) throw new FaultError('cancelled', ref, 'cancelled');
    if (host.clock.monotonic() > until) throw new FaultError('timeout', ref, `QEMU says ${status ?? 'nothing'}`, true);
    await sleep(50);
  }
  host.log.info({ guest: name, accel, process: pid }, 'VM runs');
}

/** What QEMU says of the machine; undefined where it does not answer. */
async function statusOf(path: string): Promise<string | undefined> {
  try {
    using qmp = await openQmp(path, 1000);
    return (await qmp.execute('query-status')).status;
  } catch (error) {
    if (error instanceof FaultError) return undefined;
    throw error;
  }
}

/** Asks the guest to power off, then QEMU to quit, then ends it; takes cgroup and sockets away. */
async function stop(host: DriverHost, name: string): Promise<void> {
  const { folders, instance } = host;
  const places = placesOf(folders, name);
  const record = recordOf(folders, name);
  if (record !== undefined && isAlive(record)) {
    await asked(places.qmp, (qmp) => qmp.execute('system_powerdown'));
    await gone(record, powerdownMs);
    if (isAlive(record)) await asked(places.qmp, (qmp) => qmp.execute('quit'));
    await gone(record, quitMs);
    await endProcess(record, quitMs);
  }
  const group = openCgroup(cgroupName(instance, name));
  await group.kill();
  group.remove();
  for (const path of [places.qmp, places.console]) rmSync(path, { force: true });
}

/** A QEMU that does not listen, or ends instead of answering, is ended by other means. */
async function asked(path: string, ask: (qmp: Qmp) => Promise<unknown>): Promise<void> {
  try {
    using qmp = await openQmp(path, 1000);
    await ask(qmp);
  } catch (error) {
    if (!(error instanceof FaultError)) throw error;
  }
}

async function gone(id: ProcessId, ms: number): Promise<void> {
  for (let waited = 0; waited < ms && isAlive(id); waited += 20) await sleep(20);
}

/** Whether it runs as its spec says, where it should. */
function runs(keeping: Keeping, ref: Ref, spec: VmSpec): boolean {
  const record = recordOf(keeping.host.folders, nameOf(ref));
  if (record?.hash !== hashOf(spec.machine) || !isAlive(record)) return false;
  return keeping.kernel.netlink().link(nameOf(ref))?.index === record.ifindex;
}

const recorded = (folders: Folders): Ref[] => recordsIn(recordsFolder(folders)).map(vmRef);

const recordOf = (folders: Folders, name: string): VmRecord | undefined => readRecord(placesOf(folders, name).record);

async function see(folders: Folders, name: string, whys: ReadonlyMap<string, string>): Promise<Seen> {
  const record = recordOf(folders, name);
  const seen = { pid: record?.pid ?? 0, startedAt: record?.startedAt ?? 0 };
  if (record === undefined || !isAlive(record)) {
    return { ...seen, running: false, why: whys.get(name) ?? 'it has ended' };
  }
  const status = await statusOf(placesOf(folders, name).qmp);
  const stuck = status !== undefined && dead.has(status);
  return { ...seen, running: !stuck, why: stuck ? `QEMU says ${status}` : '' };
}
