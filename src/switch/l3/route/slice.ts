import type { Slice } from '../../../engine/slice.ts';
import { checkRoutes, compileRoutes } from './compile.ts';
import { routesSchema } from './schema.ts';
import { routeCommands } from './show.ts';

export const routes: Slice<typeof routesSchema> = {
  name: 'routes',
  schema: routesSchema,
  check: checkRoutes,
  compile: compileRoutes,
  commands: routeCommands,
};
