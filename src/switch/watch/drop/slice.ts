// show drops: every frame that ended here, by port and reason
import { z } from 'zod';
import { command, type Read, type Slice } from '../../../engine/slice.ts';
import { dropReasons } from '../../../kernel/abi.ts';
import { table } from '../../../lib/table.ts';
import { type PortsLive, portsSchema } from '../../l1/port/schema.ts';

const dropData = z.object({ port: z.string(), reason: z.string(), packets: z.number() });

function dropRows(read: Read): z.infer<typeof dropData>[] {
  const live = read.live<PortsLive>('ports');
  return Object.keys(read.running(portsSchema)).flatMap((port) => {
    const drop = live?.counters(port)?.drop ?? [];
    return Object.entries(dropReasons)
      .map(([reason, i]) => ({ port, reason, packets: Number(drop[i] ?? 0n) }))
      .filter((row) => row.packets > 0);
  });
}

export const drops: Slice = {
  name: 'drops',
  commands: [
    command({
      path: 'show drops',
      help: 'dropped packets by port and reason',
      role: 'viewer',
      args: z.object({}),
      data: z.array(dropData),
      run: (_args, read) => Promise.resolve(dropRows(read)),
      render: (rows, columns) =>
        rows.length === 0
          ? 'Nothing was dropped.\n'
          : table(
              [{ title: 'Port' }, { title: 'Reason' }, { title: 'Packets', align: 'right' }],
              rows.map((row) => [row.port, row.reason, String(row.packets)]),
              columns,
            ),
    }),
  ],
};
