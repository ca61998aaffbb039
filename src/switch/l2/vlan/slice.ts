import type { Slice } from '../../../engine/slice.ts';
import { checkVlans } from './check.ts';
import { compileVlans } from './compile.ts';
import { runVlans } from './run.ts';
import { vlansSchema } from './schema.ts';
import { vlanCommands } from './show.ts';
import { bdTable } from './tables.ts';

export const vlans: Slice<typeof vlansSchema> = {
  name: 'vlans',
  schema: vlansSchema,
  check: checkVlans,
  compile: compileVlans,
  tables: [bdTable],
  start: (host) => Promise.resolve(runVlans(host)),
  commands: vlanCommands,
};
