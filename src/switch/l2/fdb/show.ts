// show fdb, clear fdb
import { setImmediate } from 'node:timers/promises';
import { z } from 'zod';
import { type AnyCommand, command, type Read } from '../../../engine/slice.ts';
import { decodeFdb, decodeFdbKey, fdbFlags, fdbKeySize, fdbSize } from '../../../kernel/abi.ts';
import { printMac } from '../../../lib/mac.ts';
import { table } from '../../../lib/table.ts';
import { portsSchema } from '../../l1/port/schema.ts';
import type { FdbLive } from './schema.ts';

const fdbData = z.object({
  vlan: z.number(),
  mac: z.string(),
  port: z.string(),
  type: z.enum(['learned', 'static', 'self']),
  ageSeconds: z.number(),
});

type FdbData = z.infer<typeof fdbData>;

/** Of `seen`, which is ktime >> 30. */
const unitSeconds = 2 ** 30 / 1e9;

function typeOf(flags: number): FdbData['type'] {
  if ((flags & fdbFlags.self) !== 0) return 'self';
  return (flags & fdbFlags.static) === 0 ? 'learned' : 'static';
}

/** Rows that are made before others have their turn. */
const chunk = 4096;

/** By VLAN and address. A full table has 65,536 rows: the daemon answers others between the pieces. */
async function fdbRows(read: Read, vlan: number | undefined): Promise<FdbData[]> {
  const map = read.kernel.datapath?.map('fdb');
  if (map === undefined) return [];
  const now = Number(process.hrtime.bigint() >> 30n);
  const { count, keys, values } = map.dump();
  const names = new Map<number, string>();
  const nameOf = (port: number): string => {
    const name = names.get(port) ?? read.ids.name('port', port) ?? `#${port}`;
    names.set(port, name);
    return name;
  };
  const rows: FdbData[] = [];
  for (let i = 0; i < count; i += 1) {
    if (i % chunk === chunk - 1) await setImmediate();
    const key = decodeFdbKey(keys, i * fdbKeySize);
    if (vlan !== undefined && key.bd !== vlan) continue;
    const row = decodeFdb(values, i * fdbSize);
    const type = typeOf(row.flags);
    const unseen = type === 'learned' && (row.flags & fdbFlags.hit) === 0;
    rows.push({
      vlan: key.bd,
      mac: printMac(key.mac),
      port: nameOf(row.port),
      type,
      ageSeconds: unseen ? Math.round((now - row.seen) * unitSeconds) : 0,
    });
  }
  await setImmediate();
  return rows.toSorted((a, b) => a.vlan - b.vlan || (a.mac < b.mac ? -1 : 1));
}

const showFdb = command({
  path: 'show fdb',
  help: 'addresses that the switch knows, and their ports',
  example: 'show fdb 10',
  role: 'viewer',
  args: z.object({ vlan: z.coerce.number().int().min(1).max(4094).optional().meta({ description: 'VLAN id' }) }),
  data: z.array(fdbData),
  run: (args, read) => fdbRows(read, args.vlan),
  render: (rows, columns) =>
    table(
      [
        { title: 'VLAN', align: 'right' },
        { title: 'MAC address' },
        { title: 'Port' },
        { title: 'Type' },
        { title: 'Age', align: 'right' },
      ],
      rows.map((row) => [
        String(row.vlan),
        row.mac,
        row.port,
        row.type,
        row.type === 'learned' ? `${row.ageSeconds}s` : '-',
      ]),
      columns,
    ),
});

const clearFdb = command({
  path: 'clear fdb',
  help: 'forget the addresses learned at a port, or all of them',
  example: 'clear fdb swp1',
  role: 'operator',
  args: z.object({ port: z.string().optional().meta({ description: 'name of a port' }) }),
  data: z.object({ removed: z.number() }),
  run(args, read) {
    const live = read.live<FdbLive>('fdb');
    const ports = Object.keys(read.running(portsSchema)).filter((p) => args.port === undefined || p === args.port);
    return Promise.resolve({ removed: live?.flush(ports) ?? 0 });
  },
  render: (data) => `${data.removed} addresses forgotten\n`,
  complete: (_arg, read) => Object.keys(read.running(portsSchema)),
});

export const fdbCommands: readonly AnyCommand[] = [showFdb, clearFdb];
