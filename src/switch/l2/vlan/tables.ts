// Rows that VLANs fill: bd.
import type { Table } from '../../../engine/kinds/row.ts';
import { encodeBd } from '../../../kernel/abi.ts';
import { parseMac } from '../../../lib/mac.ts';
import { readU32, u32 } from '../../../lib/bytes.ts';

export interface BdRow {
  readonly svi: string;
  readonly port: string;
  readonly mac: string;
}

export const bdTable: Table<BdRow> = {
  map: 'bd',
  array: true,
  key: (row) => u32(Number(row)),
  name: (key) => String(readU32(key)),
  value: (row, ref, world) =>
    encodeBd({
      sviIfindex: world.ifindex(ref, row.svi),
      sviPort: world.portId(row.port),
      sviMac: parseMac(row.mac) ?? new Uint8Array(6),
    }),
};
