// show neighbors: who answered ARP or ND
import { z } from 'zod';
import { command, type Read, type Slice } from '../../../engine/slice.ts';
import { table } from '../../../lib/table.ts';

const neighborData = z.object({ address: z.string(), mac: z.string(), device: z.string(), state: z.string() });

function neighborRows(read: Read): z.infer<typeof neighborData>[] {
  const nl = read.kernel.netlink();
  const names = new Map(nl.links().map((link) => [link.index, link.name]));
  return nl
    .neighbors()
    .filter((row) => row.state !== 'noarp')
    .map((row) => ({
      address: row.address,
      mac: row.mac ?? '',
      device: names.get(row.index) ?? `#${row.index}`,
      state: row.state,
    }))
    .toSorted((a, b) => (a.device < b.device ? -1 : a.device > b.device ? 1 : a.address < b.address ? -1 : 1));
}

export const neighbors: Slice = {
  name: 'neighbors',
  commands: [
    command({
      path: 'show neighbors',
      help: 'IP addresses of neighbours and their MAC addresses (ARP and ND)',
      role: 'viewer',
      args: z.object({}),
      data: z.array(neighborData),
      run: (_args, read) => Promise.resolve(neighborRows(read)),
      render: (rows, columns) =>
        table(
          [{ title: 'Address', flex: true }, { title: 'MAC address' }, { title: 'Device' }, { title: 'State' }],
          rows.map((row) => [row.address, row.mac, row.device, row.state]),
          columns,
        ),
    }),
  ],
};
