import type { DriverHost, Slice } from '../../engine/slice.ts';
import { deriveGuests } from '../attach.ts';
import { checkFunctions, compileFunctions } from './compile.ts';
import type { FunctionKeeper } from './driver.ts';
import { openFunctions } from './driver.ts';
import { runFunctions } from './run.ts';
import { functionsSchema } from './schema.ts';

// Driver and run.ts of one daemon share what is being started.
const keepers = new WeakMap<DriverHost, FunctionKeeper>();

/** `functions`: modules with a fetch handler, each in a process, a namespace and a cgroup of its own. */
export const functions: Slice<typeof functionsSchema> = {
  name: 'functions',
  schema: functionsSchema,
  check: checkFunctions,
  derive: (section) => deriveGuests(section, false),
  compile: compileFunctions,
  drivers(kernel, host) {
    const keeper = openFunctions(kernel, host);
    keepers.set(host, keeper);
    return [keeper.driver];
  },
  start(host) {
    const keeper = keepers.get(host);
    if (keeper === undefined) throw new Error('functions: start before drivers');
    return Promise.resolve(runFunctions(host, keeper));
  },
};
