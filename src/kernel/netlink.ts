// rtnetlink as plain data: operations in, objects out. Encoding lives in wire/netlink.

export interface Link {
  readonly index: number;
  readonly name: string;
  readonly mac: string;
  readonly mtu: number;
  /** IFF_UP. */
  readonly up: boolean;
  /** IFF_LOWER_UP: the carrier. */
  readonly carrier: boolean;
  readonly alias: string | undefined;
  /** IFLA_INFO_KIND: "veth", "tun", "bridge"; undefined for hardware. */
  readonly kind: string | undefined;
  /** Index of the peer (veth), in its own namespace. */
  readonly peer: number | undefined;
  readonly stats: { readonly rxPackets: number; readonly txPackets: number; readonly rxDropped: number; readonly txDropped: number };
}

export interface Address {
  readonly index: number;
  /** "10.0.0.1/24", "fd00::1/64". */
  readonly cidr: string;
  /** IFA_PROTO (Linux 5.18), 0 where none. */
  readonly protocol: number;
  readonly scope: number;
}

export interface NextHop {
  readonly via?: string;
  readonly dev?: number;
  readonly weight?: number;
}

export interface Route {
  /** "0.0.0.0/0", "10.0.0.0/8", "::/0". */
  readonly prefix: string;
  readonly table: number;
  readonly protocol: number;
  readonly metric: number;
  readonly type: 'unicast' | 'local' | 'blackhole' | 'unreachable' | 'prohibit' | 'other';
  readonly nextHops: readonly NextHop[];
}

export interface Rule {
  readonly family: 4 | 6;
  readonly priority: number;
  readonly table: number;
  readonly protocol: number;
  readonly fwmark?: number;
  readonly fwmask?: number;
  readonly iif?: string;
}

export interface Neighbor {
  readonly index: number;
  readonly address: string;
  readonly mac: string | undefined;
  /** NUD_* name: "reachable", "stale", "permanent", "failed", ... */
  readonly state: string;
}

/** One change. Links are named, not numbered, so that a batch may create and use one. */
export type Op =
  | { op: 'link-add-veth'; name: string; peer: string; peerNetns?: string; mac?: string; peerMac?: string; mtu?: number }
  | { op: 'link-set'; name: string; up?: boolean; mtu?: number; mac?: string; alias?: string; rename?: string }
  | { op: 'link-move'; name: string; netns: string; rename?: string }
  | { op: 'link-del'; name: string }
  | { op: 'address-add'; dev: string; cidr: string; protocol?: number; noDad?: boolean; noPrefixRoute?: boolean }
  | { op: 'address-del'; dev: string; cidr: string }
  | { op: 'route-put'; route: Route }
  | { op: 'route-del'; route: Pick<Route, 'prefix' | 'table' | 'metric' | 'protocol'> }
  | { op: 'rule-add'; rule: Rule }
  | { op: 'rule-del'; rule: Rule }
  | { op: 'neighbor-put'; dev: string; address: string; mac: string }
  | { op: 'neighbor-del'; dev: string; address: string };

export type NetlinkEvent =
  | { type: 'link'; gone: boolean; link: Link }
  | { type: 'address'; gone: boolean; address: Address }
  | { type: 'route'; gone: boolean; route: Route }
  | { type: 'neighbor'; gone: boolean; neighbor: Neighbor }
  /** The kernel dropped events (ENOBUFS): read everything again. */
  | { type: 'overrun' };

export interface Netlink {
  links(): readonly Link[];
  link(name: string): Link | undefined;
  addresses(): readonly Address[];
  /** `protocol` filters in the kernel. */
  routes(o?: { protocol?: number; table?: number }): readonly Route[];
  rules(): readonly Rule[];
  neighbors(): readonly Neighbor[];
  /** Sends many in few system calls. One result per op: undefined, or the errno's name. Stops at nothing. */
  apply(ops: readonly Op[]): readonly (string | undefined)[];
  watch(types: readonly ('link' | 'address' | 'route' | 'neighbor')[], on: (event: NetlinkEvent) => void): Disposable;
  close(): void;
}
