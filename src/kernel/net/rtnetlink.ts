import type { Netlink } from '../netlink.ts';
import { addressDumpRequest, decodeAddress } from '../../wire/netlink/address.ts';
import { decodeLink, linkDumpRequest, linkGetRequest } from '../../wire/netlink/link.ts';
import type { Message, Request } from '../../wire/netlink/message.ts';
import { decodeNeighbor, neighborDumpRequest } from '../../wire/netlink/neighbor.ts';
import { decodeRoute, routeDumpRequest } from '../../wire/netlink/route.ts';
import { decodeRule, ruleDumpRequest } from '../../wire/netlink/rule.ts';
import { applyOps } from './apply.ts';
import { Channel } from './channel.ts';
import { watchNetlink } from './watch.ts';

const families = [2, 10] as const;

/** Opens rtnetlink in a namespace. KernelError ENOENT where there is none of that name. */
export function openNetlink(netns?: string): Netlink {
  const channel = new Channel(netns);
  const read = <T>(request: Request, decode: (message: Message) => T | undefined): T[] =>
    decodeAll(channel.query(request), decode);
  return {
    links: () => read(linkDumpRequest(), decodeLink),
    link: (name) => decodeAll(channel.queryUnless('ENODEV', linkGetRequest(name)) ?? [], decodeLink)[0],
    addresses: () => read(addressDumpRequest(), decodeAddress),
    routes(filter = {}) {
      // A table that has no route yet does not exist: ENOENT.
      return families.flatMap((family) =>
        decodeAll(channel.queryUnless('ENOENT', routeDumpRequest(family, filter)) ?? [], decodeRoute),
      );
    },
    rules: () => families.flatMap((family) => read(ruleDumpRequest(family), decodeRule)),
    neighbors: () => families.flatMap((family) => read(neighborDumpRequest(family), decodeNeighbor)),
    apply: (ops, why) => applyOps(channel, netns, ops, why),
    watch: (types, on) => watchNetlink(netns, types, on),
    close: () => channel.close(),
  };
}

function decodeAll<T>(messages: readonly Message[], decode: (message: Message) => T | undefined): T[] {
  const values: T[] = [];
  for (const message of messages) {
    const value = decode(message);
    if (value !== undefined) values.push(value);
  }
  return values;
}
