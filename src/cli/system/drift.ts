// show drift: where the world is not as the running revision wants it. The switch repairs it by itself; what stays here
// is what it cannot repair.
import { z } from 'zod';
import type { Engine } from '../../engine/engine.ts';
import { command, type AnyCommand } from '../../engine/slice.ts';
import { printActions, printFault } from '../answers.ts';
import { printable } from '../../lib/table.ts';

const drift = z.object({
  resources: z.record(z.string(), z.number()).meta({ description: 'how many there should be, by kind' }),
  actions: z
    .array(z.object({ phase: z.string(), verb: z.string(), ref: z.string(), line: z.string() }))
    .meta({ description: 'what would make the world as it should be' }),
  faults: z.array(z.object({ code: z.string(), what: z.string(), why: z.string(), retry: z.boolean() })),
});

/** Compares the world with what should be in it. */
export function showDrift(engine: () => Engine): AnyCommand {
  return command({
    path: 'show drift',
    help: 'where the system is not as the running configuration wants it',
    role: 'viewer',
    args: z.object({}),
    data: drift,
    run: async () => {
      const { resources, actions, faults } = await engine().drift();
      return { resources: Object.fromEntries(resources), actions: [...actions], faults: [...faults] };
    },
    render: ({ resources, actions, faults }) => {
      const unread = faults.map((fault) => `${printable(printFault(fault))}\n`).join('');
      if (actions.length > 0 || unread !== '') return printActions(actions) + unread;
      const many = Object.values(resources).reduce((sum, count) => sum + count, 0);
      return `none: ${many} resources are as they should be\n`;
    },
  });
}
