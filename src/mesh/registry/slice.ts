import type { Slice } from '../../engine/slice.ts';
import { checkServices } from './compile.ts';
import { servicesSchema } from './schema.ts';
import { showServices } from './show.ts';

/** `services`: the registry. It compiles to no resource of its own: routers, proxies and steering are told of it. */
export const servicesSlice: Slice<typeof servicesSchema> = {
  name: 'services',
  schema: servicesSchema,
  check: checkServices,
  commands: [showServices],
};
