import { closeSync, openSync } from 'node:fs';
import { addon } from '../addon.ts';
import { KernelError } from '../errno.ts';
import type { Op } from '../netlink.ts';
import { inNetns, netnsPath } from '../netns.ts';
import { parseIp } from '../../lib/ip.ts';
import { parseMac } from '../../lib/mac.ts';
import { parsePrefix } from '../../lib/prefix.ts';
import { addressAddRequest, addressDeleteRequest } from '../../wire/netlink/address.ts';
import {
  decodeLink,
  linkChangeRequest,
  linkDeleteRequest,
  linkGetRequest,
  vethRequest,
} from '../../wire/netlink/link.ts';
import type { Request } from '../../wire/netlink/message.ts';
import { neighborDeleteRequest, neighborPutRequest } from '../../wire/netlink/neighbor.ts';
import { routeDeleteRequest, routePutRequest } from '../../wire/netlink/route.ts';
import { ruleAddRequest, ruleDeleteRequest } from '../../wire/netlink/rule.ts';
import type { Channel } from './channel.ts';

type Why = (index: number, text: string) => void;
type LinkSet = Extract<Op, { op: 'link-set' }>;
type VethAdd = Extract<Op, { op: 'link-add-veth' }>;
type LinkMove = Extract<Op, { op: 'link-move' }>;

/** Applies ops in order over one channel, whose namespace has the name `netns`. */
export function applyOps(
  channel: Channel,
  netns: string | undefined,
  ops: readonly Op[],
  why?: Why,
): (string | undefined)[] {
  using batch = new Batch(channel, netns, ops.length, why);
  for (const [i, op] of ops.entries()) batch.add(i, op);
  batch.flush();
  return batch.results;
}

function required<T>(value: T | undefined, what: string): T {
  if (value === undefined) throw new RangeError(what);
  return value;
}

function mac(text: string | undefined): { mac?: Uint8Array } {
  return text === undefined ? {} : { mac: required(parseMac(text), `no MAC address: ${text}`) };
}

/** Ops on their way: requests are held back until something needs their effect. */
class Batch implements Disposable {
  readonly results: (string | undefined)[];
  readonly #channel: Channel;
  readonly #netns: string | undefined;
  readonly #why: Why | undefined;
  readonly #pending: { index: number; request: Request }[] = [];
  /** Whether a pending request may change what a name stands for. */
  #namesMove = false;
  readonly #indexes = new Map<string, number>();
  readonly #namespaces = new Map<string, number>();

  constructor(channel: Channel, netns: string | undefined, size: number, why: Why | undefined) {
    this.#channel = channel;
    this.#netns = netns;
    this.#why = why;
    this.results = Array<string | undefined>(size).fill(undefined);
  }

  add(index: number, op: Op): void {
    try {
      const request = this.#requestOf(op);
      if (request === undefined) return;
      this.#pending.push({ index, request });
      if (op.op.startsWith('link-')) this.#namesMove = true;
    } catch (error) {
      if (error instanceof RangeError) this.#refuse(index, 'EINVAL', error.message);
      else if (error instanceof KernelError) this.#refuse(index, error.code, error.message);
      else throw error;
    }
  }

  flush(): void {
    if (this.#pending.length === 0) return;
    const sent = this.#pending.splice(0);
    this.#namesMove = false;
    const outcomes = this.#channel.batch(sent.map((one) => one.request));
    for (const [i, { index }] of sent.entries()) {
      const outcome = outcomes[i];
      if (outcome !== undefined && outcome.errno !== 0) {
        this.#refuse(index, addon().errnoName(outcome.errno), outcome.text);
      }
    }
  }

  #refuse(index: number, code: string, text: string): void {
    this.results[index] = code;
    if (text !== '') this.#why?.(index, text);
  }

  #indexOf(name: string): number {
    const known = this.#indexes.get(name);
    if (known !== undefined) return known;
    if (this.#namesMove) this.flush();
    const [message] = this.#channel.query(linkGetRequest(name, false));
    const link = message === undefined ? undefined : decodeLink(message);
    if (link === undefined) throw new KernelError('ENODEV', `link ${name}`);
    this.#indexes.set(name, link.index);
    return link.index;
  }

  #namespaceFd(name: string): number {
    const known = this.#namespaces.get(name);
    if (known !== undefined) return known;
    const path = netnsPath(name);
    try {
      const fd = openSync(path, 'r');
      this.#namespaces.set(name, fd);
      return fd;
    } catch (error) {
      throw new KernelError((error as NodeJS.ErrnoException).code ?? 'EIO', `namespace ${name}`);
    }
  }

  /** The request of an op; undefined where it was done at once. Throws RangeError for a value that is none. */
  #requestOf(op: Op): Request | undefined {
    switch (op.op) {
      case 'tap-add':
        this.flush();
        inNetns(this.#netns, () => addon().tapAdd(op.name, op.owner ?? -1));
        return undefined;
      case 'link-add-veth':
        return this.#veth(op);
      case 'link-set':
        return this.#linkSet(op);
      case 'link-move':
        return this.#linkMove(op);
      case 'link-del':
        this.#indexes.delete(op.name);
        return linkDeleteRequest(op.name);
      case 'address-add': {
        const { protocol, noDad, noPrefixRoute } = op;
        const prefix = required(parsePrefix(op.cidr), `no prefix: ${op.cidr}`);
        return addressAddRequest({
          index: this.#indexOf(op.dev),
          prefix,
          ...(protocol === undefined ? {} : { protocol }),
          ...(noDad === undefined ? {} : { noDad }),
          ...(noPrefixRoute === undefined ? {} : { noPrefixRoute }),
        });
      }
      case 'address-del':
        return addressDeleteRequest(this.#indexOf(op.dev), required(parsePrefix(op.cidr), `no prefix: ${op.cidr}`));
      case 'route-put':
        return routePutRequest(op.route);
      case 'route-del':
        return routeDeleteRequest(op.route);
      case 'rule-add':
        return ruleAddRequest(op.rule);
      case 'rule-del':
        return ruleDeleteRequest(op.rule);
      case 'neighbor-put': {
        const address = required(parseIp(op.address)?.bytes, `no address: ${op.address}`);
        return neighborPutRequest(
          this.#indexOf(op.dev),
          address,
          required(parseMac(op.mac), `no MAC address: ${op.mac}`),
        );
      }
      case 'neighbor-del':
        return neighborDeleteRequest(
          this.#indexOf(op.dev),
          required(parseIp(op.address)?.bytes, `no address: ${op.address}`),
        );
    }
  }

  #veth(op: VethAdd): Request {
    const mtu = op.mtu === undefined ? {} : { mtu: op.mtu };
    const there = op.peerNetns === undefined ? {} : { netnsFd: this.#namespaceFd(op.peerNetns) };
    return vethRequest(
      { name: op.name, ...mac(op.mac), ...mtu },
      { name: op.peer, ...mac(op.peerMac), ...mtu, ...there },
    );
  }

  #linkSet(op: LinkSet): Request {
    const change = {
      ...mac(op.mac),
      ...(op.up === undefined ? {} : { up: op.up }),
      ...(op.mtu === undefined ? {} : { mtu: op.mtu }),
      ...(op.alias === undefined ? {} : { alias: op.alias }),
    };
    if (op.rename === undefined) return linkChangeRequest({ name: op.name, ...change });
    const index = this.#indexOf(op.name);
    this.#indexes.delete(op.name);
    this.#indexes.delete(op.rename);
    return linkChangeRequest({ index, rename: op.rename, ...change });
  }

  #linkMove(op: LinkMove): Request {
    const netnsFd = this.#namespaceFd(op.netns);
    if (op.rename === undefined) {
      this.#indexes.delete(op.name);
      return linkChangeRequest({ name: op.name, netnsFd });
    }
    const index = this.#indexOf(op.name);
    this.#indexes.delete(op.name);
    return linkChangeRequest({ index, rename: op.rename, netnsFd });
  }

  [Symbol.dispose](): void {
    for (const fd of this.#namespaces.values()) closeSync(fd);
    this.#namespaces.clear();
  }
}
