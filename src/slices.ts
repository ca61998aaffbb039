// The slices, in the order in which they derive, compile and start: one line each.
import { api } from './api/slice.ts';
import { ssh } from './cli/ssh/slice.ts';
import { system } from './cli/system/slice.ts';
import { users } from './cli/users/slice.ts';
import type { AnySlice } from './engine/slice.ts';
import { containers } from './guests/container/slice.ts';
import { functions } from './guests/function/slice.ts';
import { vms } from './guests/vm/slice.ts';
import { gatewaySlice } from './mesh/manifest/slice.ts';
import { servicesSlice } from './mesh/registry/slice.ts';
import { xdsSlice } from './mesh/xds/slice.ts';
import { ports } from './switch/l1/port/slice.ts';
import { fdb } from './switch/l2/fdb/slice.ts';
import { vlans } from './switch/l2/vlan/slice.ts';
import { neighbors } from './switch/l3/neighbor/slice.ts';
import { routes } from './switch/l3/route/slice.ts';
import { drops } from './switch/watch/drop/slice.ts';

export const slices: readonly AnySlice[] = [
  system,
  users,
  ssh,
  api,
  containers,
  vms,
  functions,
  servicesSlice,
  gatewaySlice,
  xdsSlice,
  ports,
  vlans,
  fdb,
  routes,
  neighbors,
  drops,
];
