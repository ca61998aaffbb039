// show vlans
import { z } from 'zod';
import { type AnyCommand, command, type Read } from '../../../engine/slice.ts';
import { table } from '../../../lib/table.ts';
import { membershipOf, portsSchema } from '../../l1/port/schema.ts';
import { idOfEntry, vlansSchema } from './schema.ts';

const vlanData = z.object({
  id: z.number(),
  name: z.string(),
  untagged: z.array(z.string()),
  tagged: z.array(z.string()),
  address: z.array(z.string()),
});

function vlanRows(read: Read): z.infer<typeof vlanData>[] {
  const vlans = read.running(vlansSchema);
  const rows = new Map<number, z.infer<typeof vlanData>>();
  const row = (id: number): z.infer<typeof vlanData> => {
    const found = rows.get(id) ?? { id, name: '', untagged: [], tagged: [], address: [] };
    rows.set(id, found);
    return found;
  };
  for (const [name, vlan] of Object.entries(vlans)) {
    const id = idOfEntry(name, vlan);
    if (id !== undefined) Object.assign(row(id), { name: name === String(id) ? '' : name, address: vlan.address });
  }
  for (const [name, port] of Object.entries(read.running(portsSchema))) {
    const member = membershipOf(vlans, port);
    for (const id of member.vlans) (id === member.untagged ? row(id).untagged : row(id).tagged).push(name);
  }
  return [...rows.values()].toSorted((a, b) => a.id - b.id);
}

const showVlans = command({
  path: 'show vlans',
  help: 'VLANs, their ports and the addresses of the switch in them',
  role: 'viewer',
  args: z.object({}),
  data: z.array(vlanData),
  run: (_args, read) => Promise.resolve(vlanRows(read)),
  render: (rows, columns) =>
    table(
      [
        { title: 'VLAN', align: 'right' },
        { title: 'Name' },
        { title: 'Untagged', flex: true },
        { title: 'Tagged', flex: true },
        { title: 'Address', flex: true },
      ],
      rows.map((row) => [
        String(row.id),
        row.name,
        row.untagged.join(' '),
        row.tagged.join(' '),
        row.address.join(' '),
      ]),
      columns,
    ),
});

export const vlanCommands: readonly AnyCommand[] = [showVlans];
