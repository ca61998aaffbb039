// Functions as resources: a record on disk says which process is which function, so that a new daemon takes the old
// one's over. Functions that have ended keep their record until they are dropped or started again.
import { mkdirSync, readFileSync, rmSync, truncateSync, statSync } from 'node:fs';
import { FaultError } from '../../engine/faults.ts';
import { hashOf } from '../../engine/kinds/mark.ts';
import { type Driver, nameOf, type Ref } from '../../engine/resource.ts';
import type { DriverHost } from '../../engine/slice.ts';
import type { Kernel } from '../../kernel/kernel.ts';
import { printBytes } from '../../lib/units.ts';
import { cgroupName, makeCgroup, openCgroup, signal as send } from '../cgroup.ts';
import {
  endProcess,
  isAlive,
  isElsewhere,
  isInNetns,
  listensOn,
  type ProcessId,
  processOf,
  sleep,
} from '../process.ts';
import { readRecord, recordsIn, unborn, writeRecord } from '../records.ts';
import { diffGuest, type GuestActual, openStarts, type Starts } from '../starts.ts';
import type { Seen } from '../supervise.ts';
import type { FunctionSpec } from './compile.ts';
import { openHeartbeats } from './heartbeat.ts';
import { functionsFolder, launch, maxLogBytes, placesOf, writeSource } from './launch.ts';
import { uidOf } from './uid.ts';

interface FunctionRecord extends ProcessId {
  readonly hash: string;
  readonly netns: string;
  readonly startedAt: number;
  /** Bytes that it may have; absent in what an older version wrote. */
  readonly memory?: number;
}

export interface FunctionKeeper {
  readonly driver: Driver<FunctionSpec, GuestActual>;
  readonly starts: Starts;
  start(ref: Ref, spec: FunctionSpec): void;
  look(): ReadonlyMap<Ref, Seen>;
  /** The end of its log. */
  tail(name: string): string;
  /** Keeps logs within their bound. */
  trim(): void;
  /** Ends it if its event loop has not come round for longer than a request may take. */
  endStuck(ref: Ref, spec: FunctionSpec): void;
}

const stopMs = 3000;
const defaultStartMs = 20_000;
const listenPollMs = 5;
const tailBytes = 256 * 1024;

/** Makes the keeper of an instance's functions; there is one a daemon. A function has to listen `startMs` after its
 * start. */
export function openFunctions(kernel: Kernel, host: DriverHost, startMs = defaultStartMs): FunctionKeeper {
  const { run } = host.folders;
  const starts = openStarts(
    (error) => host.log.error({ error }, 'start of a function'),
    (ref, fault) => host.log.warn({ ref, fault }, 'guest did not start'),
  );
  const whys = new Map<string, string>();
  const heartbeats = openHeartbeats(host.clock);
  const begin = (ref: Ref, spec: FunctionSpec): void =>
    starts.begin(ref, hashOf(spec), (signal) => start({ kernel, host, whys, startMs }, ref, spec, signal));
  const readOne = (ref: Ref): [Ref, GuestActual][] => {
    const pending = starts.pending(ref);
    if (pending !== undefined) return [[ref, { hash: pending, attached: true }]];
    const record = recordOf(run, nameOf(ref));
    if (record === undefined) return [];
    const attached = !isAlive(record) || !isElsewhere(record.pid, record.netns);
    return [[ref, { hash: record.hash, attached }]];
  };
  const driver: Driver<FunctionSpec, GuestActual> = {
    kind: 'function',
    read: (refs) => {
      const list = refs === 'all' ? new Set([...recorded(run), ...starts.refs()]) : refs;
      return Promise.resolve(new Map([...list].flatMap(readOne)));
    },
    diff: diffGuest,
    put: (batch) => {
      for (const [ref, spec] of batch) if (!runs(run, ref, spec)) begin(ref, spec);
      return Promise.resolve();
    },
    drop: (refs) =>
      starts.leave(refs, async () => {
        await Promise.all(
          refs.map(async (ref) => {
            await stop(host, nameOf(ref));
            forget(run, nameOf(ref));
            heartbeats.forget(nameOf(ref));
          }),
        );
      }),
    settle: (_spec, ref, signal) => starts.settled(ref, signal),
    clear: () => {
      rmSync(functionsFolder(run), { recursive: true, force: true });
      return Promise.resolve();
    },
  };
  return {
    driver,
    starts,
    start: begin,
    look: () => new Map(recorded(run).map((ref) => [ref, see(host, nameOf(ref), whys)])),
    tail: (name) => tail(placesOf(run, name).log),
    trim: () => {
      for (const ref of recorded(run)) trimLog(placesOf(run, nameOf(ref)).log);
    },
    endStuck: (ref, spec) => {
      if (starts.pending(ref) === undefined) endStuck({ host, whys, heartbeats }, nameOf(ref), spec.timeoutMs);
    },
  };
}

interface Watching {
  readonly host: DriverHost;
  readonly whys: Map<string, string>;
  readonly heartbeats: ReturnType<typeof openHeartbeats>;
}

/** Ends a function whose loop has stood still for longer than a request may take. */
function endStuck({ host, whys, heartbeats }: Watching, name: string, timeoutMs: number): void {
  const { run } = host.folders;
  const record = recordOf(run, name);
  if (record === undefined || !isAlive(record)) return;
  const id = `${record.pid} ${record.startTime}`;
  if (!heartbeats.stuck(name, id, placesOf(run, name).heartbeat, timeoutMs)) return;
  whys.set(name, `stuck: it did nothing for longer than a request may take, ${timeoutMs} ms`);
  for (const pid of openCgroup(cgroupName(host.instance, name)).pids()) send(pid, 'SIGKILL');
}

interface Keeping {
  readonly kernel: Kernel;
  readonly host: DriverHost;
  readonly whys: Map<string, string>;
  readonly startMs: number;
}

/** Takes away what is left of an earlier one, starts it, and waits until it listens. */
async function start(keeping: Keeping, ref: Ref, spec: FunctionSpec, signal: AbortSignal): Promise<void> {
  const { kernel, host, whys } = keeping;
  const { folders, instance } = host;
  const name = nameOf(ref);
  const places = placesOf(folders.run, name);
  await stop(host, name);
  mkdirSync(functionsFolder(folders.run), { recursive: true, mode: 0o700 });
  // Its own uid may listen on port 80.
  kernel.sysctl.write('net/ipv4/ip_unprivileged_port_start', '0', spec.netns);
  const source = writeSource(places, spec);
  whys.delete(name);
  // Before its cgroup: a daemon that is killed here leaves nothing that the next one does not know.
  writeRecord(places.record, { ...unborn, netns: spec.netns, startedAt: host.clock.now(), memory: spec.memory });
  const group = makeCgroup(cgroupName(instance, name), spec);
  const input = { spec, places, source, join: group.join, uid: uidOf(host, name), folders };
  const pid = launch(input, (why) => {
    const oom = group.oomKills() > 0;
    const own = oom ? outOfMemory(spec.memory) : `${why}: ${lastLine(places.log)}`;
    if (!whys.has(name)) whys.set(name, own);
  });
  const made = pid === undefined ? undefined : processOf(pid);
  if (made === undefined) throw new FaultError('refused', ref, whys.get(name) ?? 'it ended at once', true);
  const record = { ...made, hash: hashOf(spec), netns: spec.netns, startedAt: host.clock.now(), memory: spec.memory };
  writeRecord(places.record, record);
  try {
    await listening(keeping, made, ref, spec, signal);
  } catch (error) {
    // One that never listens is not left to run.
    await group.kill();
    if (isAlive(made) || !(error instanceof FaultError) || error.fault.code !== 'refused') throw error;
    throw new FaultError('refused', ref, whys.get(name) ?? 'it ended', true);
  }
}

async function listening(
  { host, startMs }: Keeping,
  made: ProcessId,
  ref: Ref,
  spec: FunctionSpec,
  signal: AbortSignal,
): Promise<void> {
  const until = host.clock.monotonic() + startMs;
  // Before it is in its own namespace it would be the switch that listens.
  while (!isInNetns(made.pid, spec.netns) || !listensOn(made.pid, spec.port)) {
    if (!isAlive(made)) {
      await sleep(50);
      throw new FaultError('refused', ref, 'it ended', true);
    }
    if (signal.aborted) throw new FaultError('cancelled', ref, 'cancelled');
    if (host.clock.monotonic() > until) {
      throw new FaultError('timeout', ref, `does not listen on port ${spec.port} after ${startMs / 1000} s`, true);
    }
    await sleep(listenPollMs);
  }
}

/** Ends its processes and takes its cgroup away. */
async function stop(host: DriverHost, name: string): Promise<void> {
  const record = recordOf(host.folders.run, name);
  if (record !== undefined) await endProcess(record, stopMs);
  const group = openCgroup(cgroupName(host.instance, name));
  await group.kill();
  group.remove();
}

function forget(run: string, name: string): void {
  const { record, log, heartbeat, source } = placesOf(run, name);
  for (const path of [record, log, heartbeat, source]) rmSync(path, { recursive: true, force: true });
}

/** Whether it runs as its spec says, where it should. */
function runs(run: string, ref: Ref, spec: FunctionSpec): boolean {
  const record = recordOf(run, nameOf(ref));
  return record?.hash === hashOf(spec) && isAlive(record) && isInNetns(record.pid, spec.netns);
}

const recorded = (run: string): Ref[] => recordsIn(functionsFolder(run)).map((name): Ref => `function/${name}`);

const recordOf = (run: string, name: string): FunctionRecord | undefined => readRecord(placesOf(run, name).record);

function see({ folders, instance }: DriverHost, name: string, whys: ReadonlyMap<string, string>): Seen {
  const record = recordOf(folders.run, name);
  const running = record !== undefined && isAlive(record);
  const why = running ? '' : (whys.get(name) ?? whyEnded(instance, name, record?.memory));
  return { running, pid: record?.pid ?? 0, startedAt: record?.startedAt ?? 0, why };
}

/** Of one that an earlier daemon started, or whose end is not told yet. */
function whyEnded(instance: string, name: string, memory: number | undefined): string {
  return openCgroup(cgroupName(instance, name)).oomKills() > 0 ? outOfMemory(memory) : 'it has ended';
}

const outOfMemory = (memory: number | undefined): string =>
  memory === undefined ? 'out of memory' : `out of memory: it has ${printBytes(memory)}`;

function tail(file: string): string {
  try {
    return readFileSync(file).subarray(-tailBytes).toString('utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return '';
    throw error;
  }
}

/** The line that says most: the error's own, else the last. */
function lastLine(file: string): string {
  const lines = tail(file).trimEnd().split('\n').slice(-40);
  return (lines.findLast((line) => /^\w*Error\b.*:|^FATAL ERROR/.test(line)) ?? lines.at(-1) ?? '').slice(0, 300);
}

function trimLog(file: string): void {
  const size = statSync(file, { throwIfNoEntry: false })?.size ?? 0;
  if (size > maxLogBytes) truncateSync(file);
}
