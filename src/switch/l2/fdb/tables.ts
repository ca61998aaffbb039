// Static rows of the fdb; learned ones are the fast path's and are neither read nor touched.
import type { Table } from '../../../engine/kinds/row.ts';
import { decodeFdb, decodeFdbKey, encodeFdb, encodeFdbKey, fdbFlags, fdbSize } from '../../../kernel/abi.ts';
import { KernelError } from '../../../kernel/errno.ts';
import { parseMac, printMac } from '../../../lib/mac.ts';

export interface FdbRow {
  readonly port: string;
  /** The switch's own address: frames for it go up or are routed. */
  readonly self: boolean;
}

/** BPF_NOEXIST. */
const noExist = 1;
const most = 100;

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
  write(map, key, value, world) {
    const { bd, mac } = decodeFdbKey(key);
    const flagged = (): boolean =>
      (decodeFdb(map.lookup(key) ?? new Uint8Array(fdbSize)).flags & fdbFlags.static) !== 0;
    // A learned row goes by the way that counts it; its host may speak, and be learned again, before we have written.
    for (let tries = 0; tries < most; tries += 1) {
      if (flagged()) return map.update(key, value);
      world.unlearn(bd, mac);
      try {
        return map.update(key, value, noExist);
      } catch (error) {
        if (!(error instanceof KernelError) || error.code !== 'EEXIST') throw error;
      }
    }
    map.update(key, value);
  },
  value: (row, _ref, world) =>
    encodeFdb({
      port: world.portId(row.port),
      flags: fdbFlags.static | (row.self ? fdbFlags.self : 0),
      seen: 0,
    }),
};
