import type { DriverHost, Slice } from '../../engine/slice.ts';
import { checkVms, compileVms, deriveVms } from './compile.ts';
import { openVms, type VmKeeper } from './driver.ts';
import { runVms } from './run.ts';
import { vmsSchema } from './schema.ts';

// Driver and run.ts of one daemon share what is being started.
const keepers = new WeakMap<DriverHost, VmKeeper>();

/** `vms`: virtual machines, each a QEMU of its own whose tap is a port. */
export const vms: Slice<typeof vmsSchema> = {
  name: 'vms',
  schema: vmsSchema,
  check: checkVms,
  derive: deriveVms,
  compile: compileVms,
  drivers(kernel, host) {
    const keeper = openVms(kernel, host);
    keepers.set(host, keeper);
    return [keeper.driver];
  },
  start(host) {
    const keeper = keepers.get(host);
    if (keeper === undefined) throw new Error('vms: start before drivers');
    return Promise.resolve(runVms(host, keeper));
  },
};
