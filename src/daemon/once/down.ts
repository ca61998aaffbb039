// Takes forwarding and guests of an instance away: everything that it made in the world, then its pins.
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { apply } from '../../engine/apply.ts';
import type { Fault } from '../../engine/faults.ts';
import { openIds } from '../../engine/ids.ts';
import { plan } from '../../engine/plan.ts';
import { readAll } from '../../engine/verify.ts';
import type { DriverHost } from '../../engine/slice.ts';
import { systemClock } from '../../lib/clock.ts';
import { createLog } from '../../lib/log.ts';
import { openDatapath, removePins } from '../../kernel/datapath.ts';
import { openKernel } from '../../kernel/open.ts';
import { slices } from '../../slices.ts';
import { kernelDrivers } from '../drivers.ts';
import { runFolder } from '../places.ts';

export interface DownInput {
  readonly state: string;
  readonly instance: string;
  readonly objects: string;
}

/** The state folder stays; the daemon must not run. Returns what could not be taken away. */
export async function takeDown(input: DownInput): Promise<readonly Fault[]> {
  mkdirSync(input.state, { recursive: true, mode: 0o700 });
  const bare = openKernel();
  using datapath = openDatapath({ bpf: bare.bpf, objects: input.objects, instance: input.instance });
  const ids = openIds(join(input.state, 'ids.json'));
  const { instance, state } = input;
  const kernel = { ...bare, datapath };
  const folders = { state, run: runFolder(instance) };
  const host: DriverHost = { ids, clock: systemClock, log: createLog('midplane', 'silent'), instance, folders };
  const own = slices.flatMap((slice) => slice.drivers?.(kernel, host) ?? []);
  const list = [...kernelDrivers({ instance, state, kernel, slices, ids, clock: systemClock }), ...own];
  const drivers = new Map(list.map((driver) => [driver.kind, driver]));
  const { actions } = plan({ desired: new Map(), actual: await readAll(drivers), drivers });
  const failed = await apply({ actions, desired: new Map(), drivers, log: () => undefined, lenient: true });
  for (const driver of drivers.values()) await driver.clear?.();
  removePins(datapath.pins);
  rmSync(runFolder(input.instance), { recursive: true, force: true });
  return [...failed.values()];
}
