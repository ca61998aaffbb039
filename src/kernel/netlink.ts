// rtnetlink as plain data: operations in, objects out. Encoding lives in wire/netlink.

import type { Address } from '../wire/netlink/address.ts';
import type { Link } from '../wire/netlink/link.ts';
import type { Neighbor } from '../wire/netlink/neighbor.ts';
import type { Route } from '../wire/netlink/route.ts';
import type { Rule } from '../wire/netlink/rule.ts';

export type { Address, Link, Neighbor, Route, Rule };
export type { NextHop } from '../wire/netlink/route.ts';

/** One change. Links are named, not numbered, so that a batch may create and use one. A tap is persistent, without
 * packet information and with virtio-net headers; `owner` is the uid that may open it. A `mac`, address or prefix that
 * is none gives EINVAL. */
export type Op =
  | { op: 'tap-add'; name: string; owner?: number }
  | {
      op: 'link-add-veth';
      name: string;
      peer: string;
      peerNetns?: string;
      mac?: string;
      peerMac?: string;
      mtu?: number;
    }
  | { op: 'link-set'; name: string; up?: boolean; mtu?: number; mac?: string; alias?: string; rename?: string }
  | { op: 'link-move'; name: string; netns: string; rename?: string }
  /** Neighbouring ones go in one step, so that naming both ends of a veth may count as two. */
  | { op: 'link-del'; name: string }
  | { op: 'address-add'; dev: string; cidr: string; protocol?: number; noDad?: boolean; noPrefixRoute?: boolean }
  | { op: 'address-del'; dev: string; cidr: string }
  /** Replaces the route of the same prefix, table and metric, whoever made it: look first. */
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
  /** Sends many in few system calls. One result per op: undefined, or the errno's name. Stops at nothing. `why` is told
   * the kernel's own words about a refusal, where it has some. */
  apply(ops: readonly Op[], why?: (index: number, text: string) => void): readonly (string | undefined)[];
  /** Calls `on` from the event loop, without keeping the process alive. Subscribe first, then read. Linux says nothing
   * of IPv4 routes that go because their device goes down or away: at a link event read the routes too. */
  watch(types: readonly ('link' | 'address' | 'route' | 'neighbor')[], on: (event: NetlinkEvent) => void): Disposable;
  close(): void;
}
