// Static rows of the fdb; learned ones are the fast path's and are neither read nor touched.
import type { Table } from '../../../engine/kinds/row.ts';
import { decodeFdb, decodeFdbKey, encodeFdb, encodeFdbKey, fdbFlags } from '../../../kernel/abi.ts';
import { parseMac, printMac } from '../../../lib/mac.ts';

export interface FdbRow {
  readonly port: string;
  /** The switch's own address: frames for it go up or are routed. */
  readonly self: boolean;
}

export const fdbTable: Table<FdbRow> = {
  map: 'fdb',
  array: false,
  key(row) {
    const [bd, mac = ''] = row.split('/');
    return encodeFdbKey({ bd: Number(bd), mac: parseMac(mac) ?? new Uint8Array(6) });
  },
  name(key, value) {
    if ((decodeFdb(value).flags & fdbFlags.static) === 0) return undefined;
    const { bd, mac } = decodeFdbKey(key);
    return `${bd}/${printMac(mac)}`;
  },
  value: (row, _ref, world) =>
    encodeFdb({
      port: world.portId(row.port),
      flags: fdbFlags.static | (row.self ? fdbFlags.self : 0),
      seen: 0,
    }),
};
