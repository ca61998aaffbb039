import { randomInt } from 'node:crypto';
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
  linkGroupDeleteRequest,
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

/** What the kernel takes as a device's name (dev_valid_name), so that each kind of op refuses others alike. */
function validName(name: string): string {
  if (/^[^\s/:\0]{1,15}$/.test(name) && name !== '.' && name !== '..') return name;
  throw new RangeError(`no name for a device: ${JSON.stringify(name)}`);
}

function mac(text: string | undefined): { mac?: Uint8Array } {
  return text === undefined ? {} : { mac: required(parseMac(text), `no MAC address: ${text}`) };
}

interface Pending {
  readonly index: number;
  readonly request: Request;
  /** The link that it takes away. */
  readonly deletes?: string;
}

/** Ops on their way: requests are held back until something needs their effect. */
class Batch implements Disposable {
  readonly results: (string | undefined)[];
  readonly #channel: Channel;
  readonly #netns: string | undefined;
  readonly #why: Why | undefined;
  readonly #pending: Pending[] = [];
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
      this.#pending.push(op.op === 'link-del' ? { index, request, deletes: op.name } : { index, request });
      if (op.op.startsWith('link-')) this.#namesMove = true;
    } catch (error) {
      if (error instanceof RangeError) this.#refuse(index, 'EINVAL', error.message);
      else if (error instanceof KernelError) this.#refuse(index, error.code, error.message);
      else throw error;
    }
  }

  flush(): void {
    const sent = this.#pending.splice(0);
    this.#namesMove = false;
    for (let at = 0; at < sent.length;) {
      let end = at;
      while (end < sent.length && (sent[end]?.deletes === undefined) === (sent[at]?.deletes === undefined)) end++;
      const run = sent.slice(at, end);
      if (run.length > 1 && run[0]?.deletes !== undefined) this.#deleteLinks(run);
      else this.#send(run);
      at = end;
    }
  }

  #send(run: readonly Pending[]): Pending[] {
    const outcomes = this.#channel.batch(run.map((one) => one.request));
    return run.filter(({ index }, i) => {
      const { errno, text } = outcomes[i] ?? { errno: 0, text: '' };
      if (errno !== 0) this.#refuse(index, addon().errnoName(errno), text);
      return errno === 0;
    });
  }

  /** The kernel waits some 20 ms for each deletion, but for a group of links only once. */
  #deleteLinks(run: readonly Pending[]): void {
    const group = randomInt(1, 0x7fff_ffff);
    const change = (one: Pending, to: number): Pending => ({
      ...one,
      request: linkChangeRequest({ name: one.deletes ?? '', group: to }),
    });
    const found = new Set(this.#send(run.map((one) => change(one, group))).map(({ index }) => index));
    const rest = run.filter(({ index }) => found.has(index));
    if (rest.length === 0) return;
    const [outcome] = this.#channel.batch([linkGroupDeleteRequest(group)]);
    if (outcome?.errno === 0) return;
    // One of them stays whatever we do, so each for itself.
    const gone = new Set(this.#send(rest));
    this.#channel.batch(rest.filter((one) => !gone.has(one)).map((one) => change(one, 0).request));
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
        inNetns(this.#netns, () => addon().tapAdd(validName(op.name), op.owner ?? -1));
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
    validName(op.name);
    validName(op.peer);
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
    validName(op.rename);
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
    validName(op.rename);
    const index = this.#indexOf(op.name);
    this.#indexes.delete(op.name);
    return linkChangeRequest({ index, rename: op.rename, netnsFd });
  }

  [Symbol.dispose](): void {
    for (const fd of this.#namespaces.values()) closeSync(fd);
    this.#namespaces.clear();
  }
}
