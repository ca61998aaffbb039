// Rows that ports fill: port, dev, port_vlan, flood, xdp_port.
import type { Table } from '../../../engine/kinds/row.ts';
import {
  devKind,
  encodeDev,
  encodeFlood,
  encodePort,
  encodePortVlan,
  portFlags,
  portMode,
  vlanBits,
} from '../../../kernel/abi.ts';
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

/** A u32 key in the machine's order. */
export function u32(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value, true);
  return bytes;
}

export function readU32(bytes: Uint8Array): number {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getUint32(0, true);
}

const modes = { bridged: portMode.PORT_BRIDGED, routed: portMode.PORT_ROUTED, svi: portMode.PORT_SVI } as const;

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
        (row.shut ? portFlags.PORT_SHUT : 0) |
        (row.access ? portFlags.PORT_ACCESS : 0) |
        (!row.bridged && row.mode !== 'svi' && world.peerElsewhere(row.device) ? portFlags.PORT_PEER : 0),
      native: row.native,
      bd: row.bd,
      macLimit: row.macLimit,
      mac: row.mode === 'routed' ? (parseMac(world.mac(ref, row.device)) ?? new Uint8Array(6)) : new Uint8Array(6),
      pad: 0,
    }),
};

export const devTable: Table<DevRow> = {
  map: 'dev',
  array: false,
  key: (row, ref, world) => u32(world.ifindex(ref, row)),
  name: (key, _value, world) => world.deviceName(readU32(key)) ?? `#${readU32(key)}`,
  value: (row, _ref, world) =>
    row.kind === 'port'
      ? encodeDev({ kind: devKind.DEV_PORT, id: world.portId(row.port) })
      : encodeDev({ kind: devKind.DEV_SVI, id: row.bd }),
};

export const portVlanTable: Table<PortVlanRow> = {
  map: 'port_vlan',
  array: true,
  key: (row, _ref, world) => u32(world.portId(row)),
  name: (key, _value, world) => world.portName(readU32(key)) ?? `#${readU32(key)}`,
  value(row) {
    const entry = Array.from({ length: 4096 }, () => 0);
    for (const id of row.vlans) {
      entry[id] = vlanBits.VLAN_MEMBER | id | (id === row.untagged ? vlanBits.VLAN_UNTAGGED : 0);
    }
    return encodePortVlan({ entry });
  },
};

export const floodTable: Table<FloodRow> = {
  map: 'flood',
  array: true,
  key: (row) => u32(Number(row)),
  name: (key) => String(readU32(key)),
  value(row, _ref, world) {
    const bits = (ports: readonly string[]): bigint[] => {
      const words = Array.from({ length: 16 }, () => 0n);
      for (const port of ports) {
        const id = world.portId(port);
        words[id >> 6] = (words[id >> 6] ?? 0n) | (1n << BigInt(id & 63));
      }
      return words;
    };
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
