import { addon } from '../addon.ts';
import { KernelError } from '../errno.ts';
import type { NetlinkEvent } from '../netlink.ts';
import { decodeAddress, RTM_DELADDR, RTM_NEWADDR } from '../../wire/netlink/address.ts';
import { decodeLink, RTM_DELLINK, RTM_NEWLINK } from '../../wire/netlink/link.ts';
import { decodeMessages } from '../../wire/netlink/message.ts';
import type { Message } from '../../wire/netlink/message.ts';
import { decodeNeighbor, RTM_DELNEIGH, RTM_NEWNEIGH } from '../../wire/netlink/neighbor.ts';
import { decodeRoute, RTM_DELROUTE, RTM_NEWROUTE } from '../../wire/netlink/route.ts';
import { Channel } from './channel.ts';

const SOL_NETLINK = 270;
const NETLINK_ADD_MEMBERSHIP = 1;
const datagramsPerTurn = 64;

export type WatchType = 'link' | 'address' | 'route' | 'neighbor';

/** RTNLGRP_* numbers. */
const groups: Readonly<Record<WatchType, readonly number[]>> = {
  link: [1],
  neighbor: [3],
  address: [5, 9],
  route: [7, 11],
};

/** Subscribes in a namespace. Disposing it, also from inside `on`, ends the calls at once. */
export function watchNetlink(
  netns: string | undefined,
  types: readonly WatchType[],
  on: (event: NetlinkEvent) => void,
): Disposable {
  const channel = new Channel(netns);
  let open = true;
  const readable = (): void => {
    for (let i = 0; open && i < datagramsPerTurn; i++) {
      const events = nextEvents(channel);
      if (events === undefined) return;
      for (const event of events) if (open) on(event);
    }
  };
  try {
    for (const group of types.flatMap((type) => groups[type])) {
      const value = new Uint8Array(Uint32Array.of(group).buffer);
      addon().sockoptSet(channel.fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, value);
    }
    const poll = addon().pollOpen(channel.fd, readable);
    return {
      [Symbol.dispose]() {
        if (!open) return;
        open = false;
        addon().pollClose(poll);
        channel.close();
      },
    };
  } catch (error) {
    channel.close();
    throw error;
  }
}

/** Events of one datagram; undefined where none waits. */
function nextEvents(channel: Channel): readonly NetlinkEvent[] | undefined {
  try {
    const bytes = addon().netlinkReceive(channel.fd);
    if (bytes === undefined) return undefined;
    return [...decodeMessages(bytes)].map(eventOf).filter((event) => event !== undefined);
  } catch (error) {
    if (error instanceof KernelError && error.code === 'ENOBUFS') return [{ type: 'overrun' }];
    throw error;
  }
}

function eventOf(message: Message): NetlinkEvent | undefined {
  switch (message.type) {
    case RTM_NEWLINK:
    case RTM_DELLINK: {
      const link = decodeLink(message);
      return link && { type: 'link', gone: message.type === RTM_DELLINK, link };
    }
    case RTM_NEWADDR:
    case RTM_DELADDR: {
      const address = decodeAddress(message);
      return address && { type: 'address', gone: message.type === RTM_DELADDR, address };
    }
    case RTM_NEWROUTE:
    case RTM_DELROUTE: {
      const route = decodeRoute(message);
      return route && { type: 'route', gone: message.type === RTM_DELROUTE, route };
    }
    case RTM_NEWNEIGH:
    case RTM_DELNEIGH: {
      const neighbor = decodeNeighbor(message);
      return neighbor && { type: 'neighbor', gone: message.type === RTM_DELNEIGH, neighbor };
    }
    default:
      return undefined;
  }
}
