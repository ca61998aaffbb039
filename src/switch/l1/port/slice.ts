import type { Slice } from '../../../engine/slice.ts';
import { checkPorts } from './check.ts';
import { compilePorts } from './compile.ts';
import { runPorts } from './run.ts';
import { portsSchema } from './schema.ts';
import { portCommands } from './show.ts';
import { portTables } from './tables.ts';

export const ports: Slice<typeof portsSchema> = {
  name: 'ports',
  schema: portsSchema,
  check: checkPorts,
  compile: compilePorts,
  tables: portTables,
  start: (host) => Promise.resolve(runPorts(host)),
  commands: portCommands,
};
