// Made by native/abi.ts from the BTF of the forwarding core: run it again instead of editing.
import { list, sized, viewAt, whole, wide } from '../lib/bytes.ts';

/** enum age_mode. */
export const ageModes = {
  old: 0,
  ports: 1,
  row: 2,
  nothing: 3,
} as const;

export type AgeMode = keyof typeof ageModes;

/** enum dev_kind. */
export const devKinds = {
  port: 1,
  svi: 2,
} as const;

export type DevKind = keyof typeof devKinds;

/** enum drop_reason. */
export const dropReasons = {
  'no-port': 0,
  'port-shut': 1,
  'bad-frame': 2,
  'vlan-protocol': 3,
  'tagged-on-access': 4,
  'no-native': 5,
  'not-member': 6,
  'source-multicast': 7,
  'source-ours': 8,
  'source-static': 9,
  control: 10,
  'same-port': 11,
  'port-down': 12,
  'too-big': 13,
  'no-member-up': 14,
  'bad-ip': 15,
  'not-ip': 16,
  'not-ours': 17,
  redirect: 18,
  'mac-limit': 19,
  blackhole: 20,
  'double-tag': 21,
  'up-limit': 22,
} as const;

export type DropReason = keyof typeof dropReasons;

/** enum fdb_flags. */
export const fdbFlags = {
  static: 1,
  self: 2,
  hit: 4,
} as const;

export type FdbFlag = keyof typeof fdbFlags;

/** enum port_flags. */
export const portFlags = {
  shut: 1,
  access: 2,
  peer: 4,
} as const;

export type PortFlag = keyof typeof portFlags;

/** enum port_mode. */
export const portModes = {
  unused: 0,
  bridged: 1,
  routed: 2,
  svi: 3,
} as const;

export type PortMode = keyof typeof portModes;

/** enum port_state_flags. */
export const portStateFlags = {
  up: 1,
} as const;

export type PortStateFlag = keyof typeof portStateFlags;

/** enum trace_action. */
export const traceActions = {
  none: 0,
  drop: 1,
  port: 2,
  flood: 3,
  up: 4,
  pass: 5,
} as const;

export type TraceAction = keyof typeof traceActions;

/** enum vlan_bits. */
export const vlanBits = {
  bd: 4095,
  untagged: 16384,
  member: 32768,
} as const;

export type VlanBit = keyof typeof vlanBits;

export interface AgeArgs {
  readonly mode: number;
  readonly olderThan: number;
  /** 16 entries. */
  readonly ports: readonly bigint[];
  readonly removed: number;
  readonly bd: number;
  /** 6 bytes. */
  readonly mac: Uint8Array;
}

export const ageArgsSize = 152;

export function encodeAgeArgs(value: AgeArgs): Uint8Array {
  const bytes = new Uint8Array(ageArgsSize);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, whole(value.mode, 0, 0xffffffff, 'age_args.mode'), true);
  view.setUint32(4, whole(value.olderThan, 0, 0xffffffff, 'age_args.older_than'), true);
  for (const [i, item] of sized(value.ports, 16, 'age_args.ports').entries()) {
    view.setBigUint64(8 + i * 8, wide(item, 0n, 0xffffffffffffffffn, 'age_args.ports'), true);
  }
  view.setUint32(136, whole(value.removed, 0, 0xffffffff, 'age_args.removed'), true);
  view.setUint16(140, whole(value.bd, 0, 0xffff, 'age_args.bd'), true);
  bytes.set(sized(value.mac, 6, 'age_args.mac'), 142);
  return bytes;
}

export function decodeAgeArgs(bytes: Uint8Array, offset = 0): AgeArgs {
  const view = viewAt(bytes, offset, ageArgsSize);
  return {
    mode: view.getUint32(0, true),
    olderThan: view.getUint32(4, true),
    ports: list(16, (i) => view.getBigUint64(8 + i * 8, true)),
    removed: view.getUint32(136, true),
    bd: view.getUint16(140, true),
    mac: bytes.slice(offset + 142, offset + 148),
  };
}

export interface Bd {
  readonly sviIfindex: number;
  readonly sviPort: number;
  /** 6 bytes. */
  readonly sviMac: Uint8Array;
}

export const bdSize = 12;

export function encodeBd(value: Bd): Uint8Array {
  const bytes = new Uint8Array(bdSize);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, whole(value.sviIfindex, 0, 0xffffffff, 'bd.svi_ifindex'), true);
  view.setUint16(4, whole(value.sviPort, 0, 0xffff, 'bd.svi_port'), true);
  bytes.set(sized(value.sviMac, 6, 'bd.svi_mac'), 6);
  return bytes;
}

export function decodeBd(bytes: Uint8Array, offset = 0): Bd {
  const view = viewAt(bytes, offset, bdSize);
  return {
    sviIfindex: view.getUint32(0, true),
    sviPort: view.getUint16(4, true),
    sviMac: bytes.slice(offset + 6, offset + 12),
  };
}

export interface Dev {
  readonly kind: number;
  readonly id: number;
}

export const devSize = 4;

export function encodeDev(value: Dev): Uint8Array {
  const bytes = new Uint8Array(devSize);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, whole(value.kind, 0, 0xffff, 'dev.kind'), true);
  view.setUint16(2, whole(value.id, 0, 0xffff, 'dev.id'), true);
  return bytes;
}

export function decodeDev(bytes: Uint8Array, offset = 0): Dev {
  const view = viewAt(bytes, offset, devSize);
  return {
    kind: view.getUint16(0, true),
    id: view.getUint16(2, true),
  };
}

export interface Fdb {
  readonly port: number;
  readonly flags: number;
  readonly seen: number;
}

export const fdbSize = 8;

export function encodeFdb(value: Fdb): Uint8Array {
  const bytes = new Uint8Array(fdbSize);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, whole(value.port, 0, 0xffff, 'fdb.port'), true);
  view.setUint16(2, whole(value.flags, 0, 0xffff, 'fdb.flags'), true);
  view.setUint32(4, whole(value.seen, 0, 0xffffffff, 'fdb.seen'), true);
  return bytes;
}

export function decodeFdb(bytes: Uint8Array, offset = 0): Fdb {
  const view = viewAt(bytes, offset, fdbSize);
  return {
    port: view.getUint16(0, true),
    flags: view.getUint16(2, true),
    seen: view.getUint32(4, true),
  };
}

export interface FdbKey {
  readonly bd: number;
  /** 6 bytes. */
  readonly mac: Uint8Array;
}

export const fdbKeySize = 8;

export function encodeFdbKey(value: FdbKey): Uint8Array {
  const bytes = new Uint8Array(fdbKeySize);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, whole(value.bd, 0, 0xffff, 'fdb_key.bd'), true);
  bytes.set(sized(value.mac, 6, 'fdb_key.mac'), 2);
  return bytes;
}

export function decodeFdbKey(bytes: Uint8Array, offset = 0): FdbKey {
  const view = viewAt(bytes, offset, fdbKeySize);
  return {
    bd: view.getUint16(0, true),
    mac: bytes.slice(offset + 2, offset + 8),
  };
}

export interface FdbNear {
  readonly check: bigint;
  readonly value: bigint;
}

export const fdbNearSize = 16;

export function encodeFdbNear(value: FdbNear): Uint8Array {
  const bytes = new Uint8Array(fdbNearSize);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, wide(value.check, 0n, 0xffffffffffffffffn, 'fdb_near.check'), true);
  view.setBigUint64(8, wide(value.value, 0n, 0xffffffffffffffffn, 'fdb_near.value'), true);
  return bytes;
}

export function decodeFdbNear(bytes: Uint8Array, offset = 0): FdbNear {
  const view = viewAt(bytes, offset, fdbNearSize);
  return {
    check: view.getBigUint64(0, true),
    value: view.getBigUint64(8, true),
  };
}

export interface Flood {
  /** 16 entries. */
  readonly tagged: readonly bigint[];
  /** 16 entries. */
  readonly untagged: readonly bigint[];
}

export const floodSize = 256;

export function encodeFlood(value: Flood): Uint8Array {
  const bytes = new Uint8Array(floodSize);
  const view = new DataView(bytes.buffer);
  for (const [i, item] of sized(value.tagged, 16, 'flood.tagged').entries()) {
    view.setBigUint64(i * 8, wide(item, 0n, 0xffffffffffffffffn, 'flood.tagged'), true);
  }
  for (const [i, item] of sized(value.untagged, 16, 'flood.untagged').entries()) {
    view.setBigUint64(128 + i * 8, wide(item, 0n, 0xffffffffffffffffn, 'flood.untagged'), true);
  }
  return bytes;
}

export function decodeFlood(bytes: Uint8Array, offset = 0): Flood {
  const view = viewAt(bytes, offset, floodSize);
  return {
    tagged: list(16, (i) => view.getBigUint64(i * 8, true)),
    untagged: list(16, (i) => view.getBigUint64(128 + i * 8, true)),
  };
}

export interface Local {
  readonly count: number;
}

export const localSize = 4;

export function encodeLocal(value: Local): Uint8Array {
  const bytes = new Uint8Array(localSize);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, whole(value.count, 0, 0xffffffff, 'local.count'), true);
  return bytes;
}

export function decodeLocal(bytes: Uint8Array, offset = 0): Local {
  const view = viewAt(bytes, offset, localSize);
  return {
    count: view.getUint32(0, true),
  };
}

export interface LocalKey {
  /** 16 bytes. */
  readonly addr: Uint8Array;
}

export const localKeySize = 16;

export function encodeLocalKey(value: LocalKey): Uint8Array {
  const bytes = new Uint8Array(localKeySize);
  bytes.set(sized(value.addr, 16, 'local_key.addr_be'), 0);
  return bytes;
}

export function decodeLocalKey(bytes: Uint8Array, offset = 0): LocalKey {
  viewAt(bytes, offset, localKeySize);
  return {
    addr: bytes.slice(offset, offset + 16),
  };
}

export interface Port {
  readonly ifindex: number;
  readonly mode: number;
  readonly flags: number;
  readonly native: number;
  readonly bd: number;
  readonly macLimit: number;
  /** 6 bytes. */
  readonly mac: Uint8Array;
  readonly upLimit: number;
}

export const portSize = 24;

export function encodePort(value: Port): Uint8Array {
  const bytes = new Uint8Array(portSize);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, whole(value.ifindex, 0, 0xffffffff, 'port.ifindex'), true);
  view.setUint16(4, whole(value.mode, 0, 0xffff, 'port.mode'), true);
  view.setUint16(6, whole(value.flags, 0, 0xffff, 'port.flags'), true);
  view.setUint16(8, whole(value.native, 0, 0xffff, 'port.native'), true);
  view.setUint16(10, whole(value.bd, 0, 0xffff, 'port.bd'), true);
  view.setUint32(12, whole(value.macLimit, 0, 0xffffffff, 'port.mac_limit'), true);
  bytes.set(sized(value.mac, 6, 'port.mac'), 16);
  view.setUint16(22, whole(value.upLimit, 0, 0xffff, 'port.up_limit'), true);
  return bytes;
}

export function decodePort(bytes: Uint8Array, offset = 0): Port {
  const view = viewAt(bytes, offset, portSize);
  return {
    ifindex: view.getUint32(0, true),
    mode: view.getUint16(4, true),
    flags: view.getUint16(6, true),
    native: view.getUint16(8, true),
    bd: view.getUint16(10, true),
    macLimit: view.getUint32(12, true),
    mac: bytes.slice(offset + 16, offset + 22),
    upLimit: view.getUint16(22, true),
  };
}

export interface PortCounters {
  readonly rx: bigint;
  readonly rxBytes: bigint;
  readonly rxSkbs: bigint;
  readonly own: bigint;
  readonly handed: bigint;
  readonly up: bigint;
  readonly upSkbs: bigint;
  readonly punt: bigint;
  readonly copies: bigint;
  readonly copiesUpSkbs: bigint;
  readonly learned: bigint;
  readonly moved: bigint;
  readonly fdbFull: bigint;
  readonly upSkipped: bigint;
  readonly tx: bigint;
  readonly txBytes: bigint;
  readonly txSkbs: bigint;
  readonly floodSkipped: bigint;
  /** 32 entries. */
  readonly drop: readonly bigint[];
}

export const portCountersSize = 400;

export function encodePortCounters(value: PortCounters): Uint8Array {
  const bytes = new Uint8Array(portCountersSize);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, wide(value.rx, 0n, 0xffffffffffffffffn, 'port_counters.rx'), true);
  view.setBigUint64(8, wide(value.rxBytes, 0n, 0xffffffffffffffffn, 'port_counters.rx_bytes'), true);
  view.setBigUint64(16, wide(value.rxSkbs, 0n, 0xffffffffffffffffn, 'port_counters.rx_skbs'), true);
  view.setBigUint64(24, wide(value.own, 0n, 0xffffffffffffffffn, 'port_counters.own'), true);
  view.setBigUint64(32, wide(value.handed, 0n, 0xffffffffffffffffn, 'port_counters.handed'), true);
  view.setBigUint64(40, wide(value.up, 0n, 0xffffffffffffffffn, 'port_counters.up'), true);
  view.setBigUint64(48, wide(value.upSkbs, 0n, 0xffffffffffffffffn, 'port_counters.up_skbs'), true);
  view.setBigUint64(56, wide(value.punt, 0n, 0xffffffffffffffffn, 'port_counters.punt'), true);
  view.setBigUint64(64, wide(value.copies, 0n, 0xffffffffffffffffn, 'port_counters.copies'), true);
  view.setBigUint64(72, wide(value.copiesUpSkbs, 0n, 0xffffffffffffffffn, 'port_counters.copies_up_skbs'), true);
  view.setBigUint64(80, wide(value.learned, 0n, 0xffffffffffffffffn, 'port_counters.learned'), true);
  view.setBigUint64(88, wide(value.moved, 0n, 0xffffffffffffffffn, 'port_counters.moved'), true);
  view.setBigUint64(96, wide(value.fdbFull, 0n, 0xffffffffffffffffn, 'port_counters.fdb_full'), true);
  view.setBigUint64(104, wide(value.upSkipped, 0n, 0xffffffffffffffffn, 'port_counters.up_skipped'), true);
  view.setBigUint64(112, wide(value.tx, 0n, 0xffffffffffffffffn, 'port_counters.tx'), true);
  view.setBigUint64(120, wide(value.txBytes, 0n, 0xffffffffffffffffn, 'port_counters.tx_bytes'), true);
  view.setBigUint64(128, wide(value.txSkbs, 0n, 0xffffffffffffffffn, 'port_counters.tx_skbs'), true);
  view.setBigUint64(136, wide(value.floodSkipped, 0n, 0xffffffffffffffffn, 'port_counters.flood_skipped'), true);
  for (const [i, item] of sized(value.drop, 32, 'port_counters.drop').entries()) {
    view.setBigUint64(144 + i * 8, wide(item, 0n, 0xffffffffffffffffn, 'port_counters.drop'), true);
  }
  return bytes;
}

export function decodePortCounters(bytes: Uint8Array, offset = 0): PortCounters {
  const view = viewAt(bytes, offset, portCountersSize);
  return {
    rx: view.getBigUint64(0, true),
    rxBytes: view.getBigUint64(8, true),
    rxSkbs: view.getBigUint64(16, true),
    own: view.getBigUint64(24, true),
    handed: view.getBigUint64(32, true),
    up: view.getBigUint64(40, true),
    upSkbs: view.getBigUint64(48, true),
    punt: view.getBigUint64(56, true),
    copies: view.getBigUint64(64, true),
    copiesUpSkbs: view.getBigUint64(72, true),
    learned: view.getBigUint64(80, true),
    moved: view.getBigUint64(88, true),
    fdbFull: view.getBigUint64(96, true),
    upSkipped: view.getBigUint64(104, true),
    tx: view.getBigUint64(112, true),
    txBytes: view.getBigUint64(120, true),
    txSkbs: view.getBigUint64(128, true),
    floodSkipped: view.getBigUint64(136, true),
    drop: list(32, (i) => view.getBigUint64(144 + i * 8, true)),
  };
}

export interface PortState {
  readonly flags: number;
  readonly mtu: number;
}

export const portStateSize = 8;

export function encodePortState(value: PortState): Uint8Array {
  const bytes = new Uint8Array(portStateSize);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, whole(value.flags, 0, 0xffffffff, 'port_state.flags'), true);
  view.setUint32(4, whole(value.mtu, 0, 0xffffffff, 'port_state.mtu'), true);
  return bytes;
}

export function decodePortState(bytes: Uint8Array, offset = 0): PortState {
  const view = viewAt(bytes, offset, portStateSize);
  return {
    flags: view.getUint32(0, true),
    mtu: view.getUint32(4, true),
  };
}

export interface PortVlan {
  /** 4096 entries. */
  readonly entry: readonly number[];
}

export const portVlanSize = 8192;

export function encodePortVlan(value: PortVlan): Uint8Array {
  const bytes = new Uint8Array(portVlanSize);
  const view = new DataView(bytes.buffer);
  for (const [i, item] of sized(value.entry, 4096, 'port_vlan.entry').entries()) {
    view.setUint16(i * 2, whole(item, 0, 0xffff, 'port_vlan.entry'), true);
  }
  return bytes;
}

export function decodePortVlan(bytes: Uint8Array, offset = 0): PortVlan {
  const view = viewAt(bytes, offset, portVlanSize);
  return {
    entry: list(4096, (i) => view.getUint16(i * 2, true)),
  };
}

export interface Trace {
  readonly action: number;
  readonly reason: number;
  readonly inPort: number;
  readonly copies: number;
  /** 32 entries. */
  readonly port: readonly number[];
  /** 32 entries. */
  readonly vid: readonly number[];
}

export const traceSize = 136;

export function encodeTrace(value: Trace): Uint8Array {
  const bytes = new Uint8Array(traceSize);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, whole(value.action, 0, 0xffff, 'trace.action'), true);
  view.setUint16(2, whole(value.reason, 0, 0xffff, 'trace.reason'), true);
  view.setUint16(4, whole(value.inPort, 0, 0xffff, 'trace.in_port'), true);
  view.setUint16(6, whole(value.copies, 0, 0xffff, 'trace.copies'), true);
  for (const [i, item] of sized(value.port, 32, 'trace.port').entries()) {
    view.setUint16(8 + i * 2, whole(item, 0, 0xffff, 'trace.port'), true);
  }
  for (const [i, item] of sized(value.vid, 32, 'trace.vid').entries()) {
    view.setUint16(72 + i * 2, whole(item, 0, 0xffff, 'trace.vid'), true);
  }
  return bytes;
}

export function decodeTrace(bytes: Uint8Array, offset = 0): Trace {
  const view = viewAt(bytes, offset, traceSize);
  return {
    action: view.getUint16(0, true),
    reason: view.getUint16(2, true),
    inPort: view.getUint16(4, true),
    copies: view.getUint16(6, true),
    port: list(32, (i) => view.getUint16(8 + i * 2, true)),
    vid: list(32, (i) => view.getUint16(72 + i * 2, true)),
  };
}
