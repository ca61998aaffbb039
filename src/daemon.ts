// What `midplane run` starts, one line a part, ended in reverse; a start that fails ends what it had begun.
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Logger } from 'pino';
import { apply } from './engine/apply.ts';
import type { Fault } from './engine/faults.ts';
import { openIds } from './engine/ids.ts';
import { addressDriver } from './engine/kinds/address.ts';
import { adminDriver } from './engine/kinds/admin.ts';
import { linkDriver } from './engine/kinds/link.ts';
import { netdevDriver } from './engine/kinds/netdev.ts';
import { routeDriver } from './engine/kinds/route.ts';
import { rowDriver, rowWorld } from './engine/kinds/row.ts';
import { sysctlDriver } from './engine/kinds/sysctl.ts';
import { type OpenEngine, openEngine } from './engine/open.ts';
import { plan } from './engine/plan.ts';
import type { AnyDriver } from './engine/resource.ts';
import type { DriverHost } from './engine/slice.ts';
import { readAll } from './engine/verify.ts';
import { guestnetDriver } from './guests/guestnet.ts';
import { netnsDriver } from './guests/netns.ts';
import { openDatapath } from './kernel/datapath.ts';
import type { Kernel } from './kernel/kernel.ts';
import { openKernel } from './kernel/open.ts';
import { systemClock } from './lib/clock.ts';
import { createLog } from './lib/log.ts';
import { slices } from './slices.ts';

export interface DaemonInput {
  readonly config: string;
  readonly manifests?: string;
  readonly state: string;
  readonly instance: string;
  readonly log: Logger;
  /** Folder of the compiled forwarding core. */
  readonly objects: string;
  /** Records what the program does with each frame (tests). */
  readonly trace?: boolean;
}

const maxPorts = 1024;

const runFolder = (instance: string): string => join('/run/midplane', instance);

/** Brings the switch up. Throws ProblemsError for a document that nothing can run with. */
export async function openDaemon(input: DaemonInput): Promise<AsyncDisposableStack & { engine: OpenEngine }> {
  await using stack = new AsyncDisposableStack();
  mkdirSync(input.state, { recursive: true, mode: 0o700 });
  mkdirSync(runFolder(input.instance), { recursive: true, mode: 0o700 });
  const datapathOf = { objects: input.objects, instance: input.instance, trace: input.trace ?? false };
  const bare = openKernel();
  const datapath = stack.use(openDatapath({ bpf: bare.bpf, ...datapathOf }));
  const kernel: Kernel = { ...bare, datapath };
  const ids = openIds(join(input.state, 'ids.json'));
  const live = new Map<string, unknown>();
  const engine = stack.use(
    await openEngine({
      slices,
      kernel,
      ids,
      clock: systemClock,
      log: input.log,
      instance: input.instance,
      file: input.config,
      ...(input.manifests === undefined ? {} : { manifests: input.manifests }),
      state: input.state,
      run: runFolder(input.instance),
      drivers: kernelDrivers(kernel, input, ids),
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
  return Object.assign(stack.move(), { engine });
}

/** In the order in which they build on each other. */
function kernelDrivers(
  kernel: Kernel,
  input: Pick<DaemonInput, 'state' | 'instance'>,
  ids: ReturnType<typeof openIds>,
): AnyDriver[] {
  const { datapath } = kernel;
  if (datapath === undefined) throw new Error('the forwarding core is not loaded');
  return [
    netnsDriver(kernel, input.instance, runFolder(input.instance)),
    netdevDriver(kernel, input.instance),
    sysctlDriver(kernel, join(input.state, 'sysctl.json')),
    rowDriver(
      slices.flatMap((slice) => slice.tables ?? []),
      datapath.maps,
      rowWorld(kernel, ids, maxPorts),
    ),
    linkDriver(kernel, datapath, ids, maxPorts),
    addressDriver(kernel),
    guestnetDriver(kernel, input.instance, runFolder(input.instance)),
    adminDriver(kernel, input.instance),
    routeDriver(kernel),
  ];
}

/** Takes forwarding and guests of an instance away: everything that it made in the world, then its pins. The state folder
 * stays. The daemon must not run. Returns what could not be taken away. */
export async function takeDown(input: Pick<DaemonInput, 'state' | 'instance' | 'objects'>): Promise<readonly Fault[]> {
  mkdirSync(input.state, { recursive: true, mode: 0o700 });
  const bare = openKernel();
  using datapath = openDatapath({ bpf: bare.bpf, objects: input.objects, instance: input.instance });
  const kernel: Kernel = { ...bare, datapath };
  const { instance, state } = input;
  const ids = openIds(join(state, 'ids.json'));
  const folders = { state, run: runFolder(instance) };
  const host: DriverHost = { ids, clock: systemClock, log: createLog('midplane', 'silent'), instance, folders };
  const own = slices.flatMap((slice) => slice.drivers?.(kernel, host) ?? []);
  const drivers = new Map([...kernelDrivers(kernel, input, ids), ...own].map((driver) => [driver.kind, driver]));
  const { actions } = plan({ desired: new Map(), actual: await readAll(drivers), drivers });
  const failed = await apply({ actions, desired: new Map(), drivers, log: () => undefined, lenient: true });
  for (const driver of drivers.values()) await driver.clear?.();
  rmSync(datapath.pins, { recursive: true, force: true });
  rmSync(runFolder(input.instance), { recursive: true, force: true });
  return [...failed.values()];
}
