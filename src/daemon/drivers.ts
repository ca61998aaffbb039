// Drivers of the kernel's kinds, in the order in which they build on each other.
import { join } from 'node:path';
import { addressDriver } from '../engine/kinds/address.ts';
import { adminDriver } from '../engine/kinds/admin.ts';
import { linkDriver } from '../engine/kinds/link.ts';
import { netdevDriver } from '../engine/kinds/netdev.ts';
import { routeDriver } from '../engine/kinds/route.ts';
import { rowDriver, rowWorld } from '../engine/kinds/row.ts';
import { sysctlDriver } from '../engine/kinds/sysctl.ts';
import type { Ids } from '../engine/ids.ts';
import type { AnyDriver } from '../engine/resource.ts';
import type { AnySlice } from '../engine/slice.ts';
import { guestnetDriver } from '../guests/guestnet.ts';
import { netnsDriver } from '../guests/netns.ts';
import type { Kernel } from '../kernel/kernel.ts';
import type { Clock } from '../lib/clock.ts';
import { runFolder } from './places.ts';

const maxPorts = 1024;

export interface DriverInput {
  readonly kernel: Kernel;
  readonly slices: readonly AnySlice[];
  readonly ids: Ids;
  readonly state: string;
  readonly instance: string;
  readonly clock: Clock;
}

export function kernelDrivers(input: DriverInput): AnyDriver[] {
  const { kernel, ids, instance, clock } = input;
  const { datapath } = kernel;
  if (datapath === undefined) throw new Error('the forwarding core is not loaded');
  const tables = input.slices.flatMap((slice) => slice.tables ?? []);
  const run = runFolder(instance);
  return [
    netnsDriver(kernel, instance, run, clock),
    netdevDriver(kernel, instance),
    sysctlDriver(kernel, join(input.state, 'sysctl.json')),
    rowDriver(tables, datapath.maps, rowWorld(kernel, ids, maxPorts)),
    linkDriver({ kernel, datapath, ids, maxPorts, clock }),
    addressDriver(kernel),
    guestnetDriver(kernel, instance, run),
    adminDriver(kernel, instance),
    routeDriver(kernel),
  ];
}
