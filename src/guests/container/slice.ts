import type { DriverHost, Slice } from '../../engine/slice.ts';
import { deriveGuests } from '../attach.ts';
import { guestCommands } from '../show.ts';
import { checkContainers, compileContainers } from './compile.ts';
import { type ContainerKeeper, openContainers } from './driver.ts';
import { runContainers } from './run.ts';
import { containersSchema } from './schema.ts';

// Driver and run.ts of one daemon share the service and what is being started.
const keepers = new WeakMap<DriverHost, ContainerKeeper>();

/** `containers`: OCI images run by podman, each on a port of its own. Lists the commands for guests of every kind. */
export const containers: Slice<typeof containersSchema> = {
  name: 'containers',
  schema: containersSchema,
  check: checkContainers,
  derive: (section) => deriveGuests(section, false),
  compile: compileContainers,
  drivers(_kernel, host) {
    const keeper = openContainers(host);
    keepers.set(host, keeper);
    return [keeper.driver];
  },
  start(host) {
    const keeper = keepers.get(host);
    if (keeper === undefined) throw new Error('containers: start before drivers');
    return Promise.resolve(runContainers(host, keeper));
  },
  commands: guestCommands,
};
