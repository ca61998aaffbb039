import type { Slice } from '../../../engine/slice.ts';
import { checkFdb, compileFdb } from './compile.ts';
import { runFdb } from './run.ts';
import { fdbSchema } from './schema.ts';
import { fdbCommands } from './show.ts';
import { fdbTable } from './tables.ts';

export const fdb: Slice<typeof fdbSchema> = {
  name: 'fdb',
  schema: fdbSchema,
  check: checkFdb,
  compile: compileFdb,
  tables: [fdbTable],
  start: (host) => Promise.resolve(runFdb(host)),
  commands: fdbCommands,
};
