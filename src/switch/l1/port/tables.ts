// Rows that ports fill: port, dev, port_vlan, flood, xdp_port.
import type { Table } from '../../../engine/kinds/row.ts';
import {
  devKinds,
  encodeDev,
  encodeFlood,
  encodePort,
  encodePortVlan,
  portFlags,
  portModes,
  vlanBits,
} from '../../../kernel/abi.ts';
import { bits64, list, readU32, u32 } from '../../../lib/bytes.ts';
import { parseMac } from '../../../lib/mac.ts';

export interface PortRow {
  readonly device: string;
  readonly mode: 'bridged' | 'routed' | 'svi';
  readonly shut: boolean;
  readonly access: boolean;
  readonly bridged: boolean;
  readonly native: number;
  readonly bd: number;
  readonly macLimit: number;
  readonly upLimit: number;
}

export type DevRow = { readonly kind: 'port'; readonly port: string } | { readonly kind: 'svi'; readonly bd: number };

export interface PortVlanRow {
  readonly vlans: readonly number[];
  /** The VLAN that leaves without a tag, 0: none. */
  readonly untagged: number;
}

export interface FloodRow {
  readonly tagged: readonly string[];
  readonly untagged: readonly string[];
}

const modes = { bridged: portModes.bridged, routed: portModes.routed, svi: portModes.svi } as const;

export const portTable: Table<PortRow> = {
  map: 'port',
  array: true,
  key: (row, _ref, world) => u32(world.portId(row)),
  name: (key, _value, world) => world.portName(readU32(key)) ?? `#${readU32(key)}`,
  value: (row, ref, world) =>
    encodePort({
      ifindex: world.ifindex(ref, row.device),
      mode: modes[row.mode],
      flags:
        (row.shut ? portFlags.shut : 0) |
        (row.access ? portFlags.access : 0) |
        (!row.bridged && row.mode !== 'svi' && world.peerElsewhere(row.device) ? portFlags.peer : 0),
      native: row.native,
      bd: row.bd,
      macLimit: row.macLimit,
      upLimit: row.upLimit,
      mac: row.mode === 'routed' ? (parseMac(world.mac(ref, row.device)) ?? new Uint8Array(6)) : new Uint8Array(6),
    }),
};

export const devTable: Table<DevRow> = {
  map: 'dev',
  array: false,
  key: (row, ref, world) => u32(world.ifindex(ref, row)),
  name: (key, _value, world) => world.deviceName(readU32(key)) ?? `#${readU32(key)}`,
  value: (row, _ref, world) =>
    row.kind === 'port'
      ? encodeDev({ kind: devKinds.port, id: world.portId(row.port) })
      : encodeDev({ kind: devKinds.svi, id: row.bd }),
};

// The codec looks at all 4,096 entries for the few that are set: it is asked once, for a row of none, and where they
// begin.
const noVlans = encodePortVlan({ entry: list(4096, () => 0) });
const firstEntry = encodePortVlan({ entry: list(4096, (i) => (i === 0 ? 0xffff : 0)) }).indexOf(0xff);

export const portVlanTable: Table<PortVlanRow> = {
  map: 'port_vlan',
  array: true,
  key: (row, _ref, world) => u32(world.portId(row)),
  name: (key, _value, world) => world.portName(readU32(key)) ?? `#${readU32(key)}`,
  value(row) {
    const bytes = noVlans.slice();
    const entry = new DataView(bytes.buffer, firstEntry);
    for (const id of row.vlans) {
      entry.setUint16(id * 2, vlanBits.member | id | (id === row.untagged ? vlanBits.untagged : 0), true);
    }
    return bytes;
  },
};

export const floodTable: Table<FloodRow> = {
  map: 'flood',
  array: true,
  key: (row) => u32(Number(row)),
  name: (key) => String(readU32(key)),
  value(row, _ref, world) {
    const bits = (ports: readonly string[]): bigint[] =>
      bits64(
        ports.map((port) => world.portId(port)),
        16,
      );
    return encodeFlood({ tagged: bits(row.tagged), untagged: bits(row.untagged) });
  },
};

export const xdpPortTable: Table<{ readonly device: string }> = {
  map: 'xdp_port',
  array: true,
  key: (row, _ref, world) => u32(world.portId(row)),
  name: (key, _value, world) => world.portName(readU32(key)) ?? `#${readU32(key)}`,
  value: (row, ref, world) => u32(world.ifindex(ref, row.device)),
};

export const portTables = [portTable, devTable, portVlanTable, floodTable, xdpPortTable];
