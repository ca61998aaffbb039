// What changes the world or lets people in, one line a part, ended in reverse; a start that fails ends what it had
// begun. All of it goes over to a new daemon at once; the L7 router, which has connections to answer, is no part of it.
import { join } from 'node:path';
import { reachCommands } from '../cli/system/reach.ts';
import { systemCommands } from '../cli/system/show.ts';
import { watchProcess } from '../cli/system/facts.ts';
import type { Engine } from '../engine/engine.ts';
import { openIds } from '../engine/ids.ts';
import { listenerDriver, listenerResource, type Opener } from '../engine/kinds/listener.ts';
import { type OpenEngine, openEngine } from '../engine/open.ts';
import type { AnySlice } from '../engine/slice.ts';
import type { PredecessorLive } from '../guests/live.ts';
import { openDatapath } from '../kernel/datapath.ts';
import type { Kernel } from '../kernel/kernel.ts';
import { openKernel } from '../kernel/open.ts';
import type { Router } from '../l7/router.ts';
import { systemClock } from '../lib/clock.ts';
import { type Endpoint, parseEndpoint } from '../lib/endpoint.ts';
import { slices } from '../slices.ts';
import { waitingForAddresses } from './addresses.ts';
import { openMesh } from './consumers.ts';
import { type Doors, openDoors, version } from './doors.ts';
import { kernelDrivers } from './drivers.ts';
import type { DaemonLog } from './log.ts';
import { healthyGuests } from './mesh.ts';
import { portMetrics } from './metrics.ts';
import { objects } from './places.ts';
import { needed } from './privileges.ts';

export interface ControlInput {
  readonly config: string;
  readonly manifests?: string;
  readonly state: string;
  readonly instance: string;
  /** Folder of the sockets. */
  readonly run: string;
  readonly log: DaemonLog;
  /** HOST:PORT, instead of what the document says. */
  readonly ssh?: string;
  readonly api?: string;
  /** Records what the program does with each frame (tests). */
  readonly trace?: boolean;
  readonly router: Router;
  /** Guests that had traffic from the daemon whose place this one takes. */
  readonly healthy: readonly string[];
}

export interface Control extends AsyncDisposable {
  readonly engine: OpenEngine;
  /** The guests that services send traffic to. */
  healthyGuests(): readonly string[];
}

/** Brings the switch up; who calls has the lock. Throws ProblemsError for a document that nothing can run with. */
export async function openControl(input: ControlInput): Promise<Control> {
  await using stack = new AsyncDisposableStack();
  const { state, instance, run, router } = input;
  const bare = openKernel();
  const trace = input.trace ?? false;
  const datapath = stack.use(openDatapath({ bpf: bare.bpf, objects, instance, trace }));
  const kernel: Kernel = { ...bare, datapath };
  const ids = openIds(join(state, 'ids.json'));
  const predecessor: PredecessorLive = { healthy: new Set(input.healthy) };
  const live = new Map<string, unknown>([['predecessor', predecessor]]);
  const facts = stack.use(watchProcess(needed));
  const late: { engine?: OpenEngine; doors?: Doors } = {};
  const engineFace = lateObject<Engine>(() => late.engine);
  const mesh = stack.use(openMesh({ run, log: input.log.log, router, before: predecessor.healthy }));
  const used = [...withFlags(input), mesh.slice];
  const opener = (service: string): Opener => openerOf(service, () => late.doors);
  const commands = [
    ...systemCommands({
      engine: () => engineFace,
      version,
      now: () => systemClock.now(),
      facts: () => facts.facts(),
      logLines: (count) => input.log.lines(count),
    }),
    ...reachCommands,
    ...mesh.commands,
  ];
  const face = lateFace(used, commands, engineFace);
  const collectors = [portMetrics(face.read), mesh.metrics];
  late.doors = stack.use(openDoors({ engine: face, log: input.log.log, state, run, collectors }));
  const engine = await openEngine({
    slices: used,
    kernel,
    ids,
    clock: systemClock,
    log: input.log.log,
    instance,
    file: input.config,
    ...(input.manifests === undefined ? {} : { manifests: input.manifests }),
    state,
    run,
    drivers: [
      ...kernelDrivers({ kernel, slices: used, ids, state, instance, clock: systemClock }),
      listenerDriver({ ssh: opener('ssh'), api: opener('api'), xds: mesh.listen }),
    ],
    commands,
    live,
  });
  late.engine = stack.use(engine);
  await startSlices(used, engine, live, stack);
  // First of all: what a commit begins, the slices carry on.
  stack.defer(() => engine.freeze());
  mesh.offerLive(live, engine.read);
  await engine.settled();
  input.log.log.info({ instance }, 'forwarding');
  await mesh.openManager();
  await late.doors.openSockets();
  return controlOf(engine, stack.move());
}

function controlOf(engine: OpenEngine, stack: AsyncDisposableStack): Control {
  return {
    engine,
    healthyGuests: () => healthyGuests(engine.read),
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

async function startSlices(
  list: readonly AnySlice[],
  engine: OpenEngine,
  live: Map<string, unknown>,
  stack: AsyncDisposableStack,
): Promise<void> {
  const ending = new AbortController();
  stack.defer(() => ending.abort());
  for (const slice of list) {
    // A slice may use what an earlier one offers.
    const started = await slice.start?.(engine.host, ending.signal);
    if (started === undefined) continue;
    live.set(slice.name, started.live);
    stack.use(started);
  }
}

const listening = new Set(['ssh', 'api', 'xds']);

function openerOf(service: string, doors: () => Doors | undefined): Opener {
  return async (at) => {
    const open = doors()?.openers[service];
    if (open === undefined) throw new Error(`${service} is asked to listen before it is there`);
    return open(at);
  };
}

/** Listeners named by flags stand in for those of the document. */
function withFlags(input: ControlInput): readonly AnySlice[] {
  const flags: Readonly<Record<string, Endpoint | undefined>> = {
    ssh: input.ssh === undefined ? undefined : parseEndpoint(input.ssh),
    api: input.api === undefined ? undefined : parseEndpoint(input.api),
  };
  return slices.map((slice) => {
    const at = flags[slice.name];
    if (at !== undefined) return { ...slice, compile: () => [listenerResource(slice.name, at)] };
    return listening.has(slice.name) ? waitingForAddresses(slice) : slice;
  });
}

/** The doors are made before the engine, since the engine opens their sockets while it boots. */
function lateObject<T extends object>(get: () => T | undefined): T {
  return new Proxy({} as T, {
    get(_, key) {
      const target = get();
      if (target === undefined) throw new Error('not up yet');
      return Reflect.get(target, key) as unknown;
    },
  });
}

function lateFace(used: readonly AnySlice[], own: Engine['commands'], engine: Engine): Engine {
  const commands = [...used.flatMap((slice) => slice.commands ?? []), ...own];
  const read = lateObject(() => engine.read);
  const onRevision: Engine['onRevision'] = (listener) => engine.onRevision(listener);
  return Object.assign(Object.create(engine) as Engine, { slices: used, commands, read, onRevision });
}
