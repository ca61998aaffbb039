// An engine with the slices of a switch, on whatever kernel: what the engine's tests stand on.
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { kernelDrivers } from '../../src/daemon/drivers.ts';
import { openIds } from '../../src/engine/ids.ts';
import { type OpenEngine, openEngine } from '../../src/engine/open.ts';
import type { AnyDriver } from '../../src/engine/resource.ts';
import type { AnySlice } from '../../src/engine/slice.ts';
import { openDatapath } from '../../src/kernel/datapath.ts';
import type { Kernel } from '../../src/kernel/kernel.ts';
import type { Op } from '../../src/kernel/netlink.ts';
import { createLog } from '../../src/lib/log.ts';
import { ports } from '../../src/switch/l1/port/slice.ts';
import { fdb } from '../../src/switch/l2/fdb/slice.ts';
import { vlans } from '../../src/switch/l2/vlan/slice.ts';
import { routes } from '../../src/switch/l3/route/slice.ts';
import { fakeClock } from './clock.ts';
import { type FaultyKernel, faultyKernel } from './faulty.ts';

export interface BenchInput {
  readonly kernel: Kernel;
  /** Folder of the forwarding core's objects, and where pins go. */
  readonly objects: string;
  readonly bpffs: string;
  readonly instance: string;
}

export type Line = Readonly<Record<string, unknown>>;

export interface Bench {
  readonly kernel: FaultyKernel;
  readonly clock: ReturnType<typeof fakeClock>;
  readonly folder: string;
  readonly file: string;
  readonly manifests: string;
  readonly state: string;
  readonly log: Line[];
  /** The engine that runs now. */
  engine(): OpenEngine;
  /** Starts one on what the folder holds. `crash`: as after kill -9, nothing of the one before is ended in order. */
  start(o?: { readonly document?: string; readonly slices?: readonly AnySlice[] }): Promise<OpenEngine>;
  /** As kill -9 does: what ran goes on no more, what it made stays. */
  stop(): Promise<void>;
  /** Ports as devices with a cable in them. */
  plug(...names: readonly string[]): void;
  /** Somebody else changes the world. */
  behind(...ops: readonly Op[]): void;
  /** What the switch has in the world, without numbers that the kernel hands out. */
  world(): Promise<Readonly<Record<string, unknown>>>;
  /** Lets events come in and time pass until it is so. */
  until(what: string, met: () => boolean | Promise<boolean>): Promise<void>;
  close(): Promise<void>;
}

export const switchSlices: readonly AnySlice[] = [ports, vlans, fdb, routes];

export function openBench(input: BenchInput): Bench {
  const folder = mkdtempSync(join(tmpdir(), 'mpt-engine-'));
  const state = join(folder, 'state');
  const kernel = faultyKernel(input.kernel);
  const clock = fakeClock(1_700_000_000_000);
  const log: Line[] = [];
  const parts: Parts = { input, kernel, clock, log, folder, state };
  let running: Running | undefined;
  const engine = (): OpenEngine => {
    if (running === undefined) throw new Error('no engine runs');
    return running.engine;
  };
  const stop = async (): Promise<void> => {
    await running?.stack.disposeAsync();
    running = undefined;
  };
  return {
    ...parts,
    file: join(folder, 'midplane.yaml'),
    manifests: join(folder, 'manifests'),
    engine,
    async start(o = {}) {
      await stop();
      if (o.document !== undefined) writeFileSync(join(folder, 'midplane.yaml'), o.document);
      running = await begin(parts, o.slices ?? switchSlices);
      return running.engine;
    },
    stop,
    plug: (...names) => names.forEach((name) => plug(kernel, name)),
    behind: (...ops) => apply(kernel, ops),
    world: () => worldOf(engine()),
    until: (what, met) => until(parts, engine(), what, met),
    async close() {
      await stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

interface Parts {
  readonly input: BenchInput;
  readonly kernel: FaultyKernel;
  readonly clock: Bench['clock'];
  readonly log: Line[];
  readonly folder: string;
  readonly state: string;
}

interface Running {
  readonly engine: OpenEngine;
  readonly stack: AsyncDisposableStack;
}

async function begin(parts: Parts, slices: readonly AnySlice[]): Promise<Running> {
  await using stack = new AsyncDisposableStack();
  const { input, folder, state, log } = parts;
  const { instance, objects, bpffs } = input;
  mkdirSync(state, { recursive: true });
  const datapath = stack.use(openDatapath({ bpf: parts.kernel.bpf, objects, instance, bpffs }));
  const kernel: Kernel = { ...parts.kernel, datapath };
  const ids = openIds(join(state, 'ids.json'));
  const live = new Map<string, unknown>();
  const engine = stack.use(
    await openEngine({
      slices,
      kernel,
      ids,
      clock: parts.clock,
      log: createLog('test', 'info', { write: (line: string) => void log.push(JSON.parse(line) as Line) }),
      instance,
      file: join(folder, 'midplane.yaml'),
      manifests: join(folder, 'manifests'),
      state,
      drivers: kernelDrivers({ kernel, slices, ids, state, instance, clock: parts.clock }) as AnyDriver[],
      commands: [],
      live,
    }),
  );
  const ending = new AbortController();
  stack.defer(() => ending.abort());
  for (const slice of slices) {
    const started = await slice.start?.(engine.host, ending.signal);
    if (started === undefined) continue;
    live.set(slice.name, started.live);
    stack.use(started);
  }
  await engine.settled();
  return { engine, stack: stack.move() };
}

function apply(kernel: Kernel, ops: readonly Op[]): void {
  const results = kernel.netlink().apply(ops);
  assert.deepEqual(
    results.filter((code) => code !== undefined),
    [],
    JSON.stringify(ops),
  );
}

function plug(kernel: Kernel, name: string): void {
  const far = `${name}-far`;
  apply(kernel, [
    { op: 'link-add-veth', name, peer: far },
    { op: 'link-set', name: far, up: true },
  ]);
}

const plain = new Set(['netdev', 'sysctl', 'address', 'admin', 'route']);

async function worldOf(engine: OpenEngine): Promise<Record<string, unknown>> {
  const kinds = ['netdev', 'sysctl', 'row', 'link', 'address', 'admin', 'route'];
  const parts = await Promise.all(
    kinds.map(async (kind) => {
      const actual = await engine.read.actual(kind);
      return [...actual].map(([ref, value]) => [ref, plain.has(kind) ? value : 'there'] as const);
    }),
  );
  return Object.fromEntries(parts.flat().toSorted(([a], [b]) => (a < b ? -1 : 1)));
}

async function until(
  parts: Parts,
  engine: OpenEngine,
  what: string,
  met: () => boolean | Promise<boolean>,
): Promise<void> {
  for (let i = 0; i < 200; i += 1) {
    if (await met()) return;
    await sleep(5);
    // What no event tells of waits for the audit.
    parts.clock.advance(i < 20 ? 50 : 2000);
    // What the loop had to do is done when it has answered.
    await engine.plan({ document: engine.running().document });
  }
  assert.fail(
    `never: ${what}\n${parts.log
      .slice(-10)
      .map((line) => JSON.stringify(line))
      .join('\n')}`,
  );
}

/** Names and messages of the log, without what differs from run to run. */
export function told(bench: Bench): string[] {
  return bench.log.map(({ msg, ref }) => `${msg as string}${ref === undefined ? '' : ` ${ref as string}`}`);
}

export const textOf = (path: string): string => readFileSync(path, 'utf8');
