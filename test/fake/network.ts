// One network namespace of the fake kernel: devices, addresses, routes, rules and neighbours, with Linux's errors for
// the obvious cases. Not modelled: duplicate address detection, link-local and broadcast entries, secondary addresses,
// time.
import { KernelError } from '../../src/kernel/errno.ts';
import type { Address, Link, Neighbor, NetlinkEvent, NextHop, Op, Route, Rule } from '../../src/kernel/netlink.ts';
import { type Ip, parseIp, printIp } from '../../src/lib/ip.ts';
import { parseMac, printMac } from '../../src/lib/mac.ts';
import { contains, hostPrefix, parsePrefix, printPrefix, subnetOf } from '../../src/lib/prefix.ts';

export interface Device {
  space: Space;
  index: number;
  name: string;
  mac: string;
  mtu: number;
  up: boolean;
  /** Of hardware: whether a cable is in it. */
  cable: boolean;
  alias: string | undefined;
  readonly kind: string | undefined;
  peer: Device | undefined;
}

export type WatchType = 'link' | 'address' | 'route' | 'neighbor';
type OpOf<K extends Op['op']> = Extract<Op, { op: K }>;

/** What a namespace needs of the kernel that it is in. */
export interface Surroundings {
  /** KernelError ENOENT where there is none of that name. */
  space(name: string): Space;
  deviceGone(device: Device): void;
}

const kernelProtocol = 2;
const mainTable = 254;
const localTable = 255;

function fail(code: string): never {
  throw new KernelError(code, 'fake kernel');
}

function checkName(name: string): void {
  if (!/^[^\s/:\0]{1,15}$/.test(name) || name === '.' || name === '..') fail('EINVAL');
}

function checkMac(text: string): string {
  const mac = parseMac(text) ?? fail('EINVAL');
  return ((mac[0] ?? 0) & 1) === 1 ? fail('EADDRNOTAVAIL') : printMac(mac);
}

let macs = 0;

/** A device that stands in no namespace yet. */
export function newDevice(space: Space, name: string, kind: string | undefined, mac?: string): Device {
  macs += 1;
  const own = `02:fa:00:00:${(macs >> 8).toString(16).padStart(2, '0')}:${(macs & 255).toString(16).padStart(2, '0')}`;
  const cable = kind === undefined;
  return {
    space,
    index: 0,
    name,
    mac: mac ?? own,
    mtu: 1500,
    up: false,
    cable,
    alias: undefined,
    kind,
    peer: undefined,
  };
}

export class Space {
  readonly name: string | undefined;
  readonly devices: Device[] = [];
  addresses: Address[] = [];
  routes: Route[] = [];
  rules: Rule[] = [];
  neighbors: Neighbor[] = [];
  readonly watchers = new Set<{ types: readonly WatchType[]; on: (event: NetlinkEvent) => void }>();
  readonly #around: Surroundings;
  #lastIndex = 0;

  constructor(name: string | undefined, around: Surroundings) {
    this.name = name;
    this.#around = around;
    const lo = newDevice(this, 'lo', undefined, '00:00:00:00:00:00');
    this.place(Object.assign(lo, { up: true, mtu: 65536 }));
    for (const cidr of ['127.0.0.1/8', '::1/128']) this.addresses.push({ index: 1, cidr, protocol: 0, scope: 254 });
    for (const family of [4, 6] as const) {
      this.rules.push({ family, priority: 0, table: localTable, protocol: kernelProtocol });
      this.rules.push({ family, priority: 32766, table: mainTable, protocol: kernelProtocol });
    }
    this.rules.push({ family: 4, priority: 32767, table: 253, protocol: kernelProtocol });
  }

  emit(event: NetlinkEvent): void {
    // Whoever subscribes later does not hear it, whoever is gone by then neither.
    const hearers = [...this.watchers].filter(({ types }) => event.type === 'overrun' || types.includes(event.type));
    setImmediate(() => {
      for (const hearer of hearers) if (this.watchers.has(hearer)) hearer.on(event);
    });
  }

  /** Puts a device into the namespace under a number of its own. */
  place(device: Device): void {
    const taken = this.devices.some((each) => each.index === device.index);
    if (device.index === 0 || taken) device.index = this.#lastIndex + 1;
    this.#lastIndex = Math.max(this.#lastIndex, device.index);
    device.space = this;
    this.devices.push(device);
    this.#changed(device);
  }

  #changed(device: Device, gone = false): void {
    this.emit({ type: 'link', gone, link: this.linkOf(device) });
  }

  find(name: string): Device | undefined {
    return this.devices.find((device) => device.name === name);
  }

  device(name: string): Device {
    return this.find(name) ?? fail('ENODEV');
  }

  carrierOf(device: Device): boolean {
    if (!device.up || device.name === 'lo') return device.up;
    if (device.kind === 'veth') return device.peer?.up === true;
    return device.kind === undefined && device.cable;
  }

  linkOf(device: Device): Link {
    const { index, name, mac, mtu, up, alias, kind, peer } = device;
    const stats = { rxPackets: 0, txPackets: 0, rxDropped: 0, txDropped: 0 };
    const peerElsewhere = peer !== undefined && peer.space !== this;
    return {
      index,
      name,
      mac,
      mtu,
      up,
      carrier: this.carrierOf(device),
      alias,
      kind,
      peer: peer?.index,
      peerElsewhere,
      stats,
    };
  }

  /** Does one op, or throws KernelError with the errno that Linux would give. */
  apply(op: Op): void {
    switch (op.op) {
      case 'tap-add':
        return this.#tapAdd(op);
      case 'link-add-veth':
        return this.#vethAdd(op);
      case 'link-set':
        return this.#linkSet(op);
      case 'link-move':
        return this.#linkMove(op);
      case 'link-del':
        return this.#linkDelete(op);
      case 'address-add':
        return this.#addressAdd(op);
      case 'address-del':
        return this.#addressDelete(op);
      case 'route-put':
        return this.#routePut(op.route);
      case 'route-del':
        return this.#routeDelete(op.route);
      case 'rule-add':
        return this.#ruleAdd(op.rule);
      case 'rule-del':
        return this.#ruleDelete(op.rule);
      case 'neighbor-put':
        return this.#neighborPut(op);
      case 'neighbor-del':
        return this.#neighborDelete(op);
    }
  }

  #checkFree(name: string): void {
    checkName(name);
    if (this.find(name) !== undefined) fail('EEXIST');
  }

  #tapAdd({ name }: OpOf<'tap-add'>): void {
    this.#checkFree(name);
    this.place(newDevice(this, name, 'tun'));
  }

  #vethAdd(op: OpOf<'link-add-veth'>): void {
    const there = op.peerNetns === undefined ? this : this.#around.space(op.peerNetns);
    this.#checkFree(op.name);
    there.#checkFree(op.peer);
    if (there === this && op.peer === op.name) fail('EEXIST');
    const end = newDevice(this, op.name, 'veth', op.mac && checkMac(op.mac));
    const peer = newDevice(there, op.peer, 'veth', op.peerMac && checkMac(op.peerMac));
    Object.assign(end, { peer, mtu: op.mtu ?? 1500 });
    Object.assign(peer, { peer: end, mtu: op.mtu ?? 1500 });
    there.place(peer);
    this.place(end);
  }

  #linkSet(op: OpOf<'link-set'>): void {
    const device = this.device(op.name);
    if (op.mtu !== undefined && (op.mtu < 68 || op.mtu > 65535)) fail('EINVAL');
    if (op.mac !== undefined) device.mac = checkMac(op.mac);
    if (op.mtu !== undefined) device.mtu = op.mtu;
    if (op.rename !== undefined && op.rename !== device.name) {
      this.#checkFree(op.rename);
      device.name = op.rename;
    }
    if (op.alias !== undefined) device.alias = op.alias === '' ? undefined : op.alias;
    if (op.up !== undefined && op.up !== device.up) this.#setUp(device, op.up);
    this.#changed(device);
    if (device.peer !== undefined && op.up !== undefined) device.peer.space.#changed(device.peer);
  }

  #setUp(device: Device, up: boolean): void {
    device.up = up;
    if (up) return;
    // IPv4 addresses outlive it, IPv6 ones and all routes do not.
    this.#dropAddresses((address) => address.index === device.index && address.cidr.includes(':'));
    this.#dropRoutes(device.index);
  }

  #dropAddresses(which: (address: Address) => boolean): void {
    for (const address of this.addresses.filter(which)) this.emit({ type: 'address', gone: true, address });
    this.addresses = this.addresses.filter((address) => !which(address));
  }

  #dropRoutes(index: number): void {
    const dead = (route: Route): boolean =>
      route.nextHops.length > 0 && route.nextHops.every((hop) => hop.dev === index);
    for (const route of this.routes.filter(dead)) this.emit({ type: 'route', gone: true, route });
    this.routes = this.routes.filter((route) => !dead(route));
  }

  /** Takes a device out, with all that hangs on it. */
  remove(device: Device): void {
    device.up = false;
    this.#dropAddresses((address) => address.index === device.index);
    this.#dropRoutes(device.index);
    this.neighbors = this.neighbors.filter((neighbor) => neighbor.index !== device.index);
    this.devices.splice(this.devices.indexOf(device), 1);
    this.#changed(device, true);
  }

  #linkMove(op: OpOf<'link-move'>): void {
    const there = this.#around.space(op.netns);
    const device = this.device(op.name);
    if (device.name === 'lo') fail('EINVAL');
    there.#checkFree(op.rename ?? op.name);
    this.remove(device);
    device.name = op.rename ?? op.name;
    there.place(device);
  }

  #linkDelete({ name }: OpOf<'link-del'>): void {
    const device = this.device(name);
    if (device.kind === undefined) fail('EOPNOTSUPP');
    for (const each of [device, device.peer]) {
      if (each === undefined) continue;
      each.space.remove(each);
      this.#around.deviceGone(each);
    }
  }

  #addressAdd({ dev, cidr, protocol = 0 }: OpOf<'address-add'>): void {
    const prefix = parsePrefix(cidr) ?? fail('EINVAL');
    const { index } = this.device(dev);
    const text = printPrefix(prefix);
    // IPv6 knows an address of a device by its bits alone.
    const key = (one: string): string => (prefix.ip.family === 6 ? one.replace(/\/.*/, '') : one);
    if (this.addresses.some((each) => each.index === index && key(each.cidr) === key(text))) fail('EEXIST');
    const address = { index, cidr: text, protocol, scope: 0 };
    this.addresses.push(address);
    this.emit({ type: 'address', gone: false, address });
  }

  #addressDelete({ dev, cidr }: OpOf<'address-del'>): void {
    const text = printPrefix(parsePrefix(cidr) ?? fail('EINVAL'));
    const { index } = this.device(dev);
    const which = (each: Address): boolean => each.index === index && each.cidr === text;
    if (!this.addresses.some(which)) fail('EADDRNOTAVAIL');
    this.#dropAddresses(which);
  }

  /** Routes that follow from addresses: the prefix while the device is up, and the address itself. */
  kernelRoutes(): Route[] {
    return this.addresses.flatMap(({ index, cidr }): Route[] => {
      const prefix = parsePrefix(cidr) ?? fail('EINVAL');
      const device = this.devices.find((each) => each.index === index);
      const nextHops = [{ dev: index }];
      const shared = { protocol: kernelProtocol, nextHops };
      const own = printPrefix(hostPrefix(prefix.ip));
      const local: Route = { ...shared, prefix: own, table: localTable, metric: 0, type: 'local' };
      if (device?.up !== true || device.name === 'lo') return [local];
      const metric = prefix.ip.family === 6 ? 256 : 0;
      return [{ ...shared, prefix: printPrefix(subnetOf(prefix)), table: mainTable, metric, type: 'unicast' }, local];
    });
  }

  #reaches(via: Ip, index: number | undefined): number | undefined {
    const links = [...this.kernelRoutes(), ...this.routes].filter(
      (route) => route.type === 'unicast' && route.nextHops.every((hop) => hop.via === undefined),
    );
    const hops = links.flatMap((route) => {
      const prefix = parsePrefix(route.prefix);
      return prefix !== undefined && contains(prefix, via) ? route.nextHops : [];
    });
    return hops.find((hop) => index === undefined || hop.dev === index)?.dev;
  }

  #resolve(hop: NextHop, family: 4 | 6, several: boolean): NextHop {
    const device =
      hop.dev === undefined ? undefined : (this.devices.find((each) => each.index === hop.dev) ?? fail('ENODEV'));
    if (device?.up === false) fail('ENETDOWN');
    const weight = several ? { weight: hop.weight ?? 1 } : {};
    if (hop.via === undefined) return device === undefined ? fail('ENODEV') : { dev: device.index, ...weight };
    const via = parseIp(hop.via) ?? fail('EINVAL');
    const linkLocal =
      via.family === 6 && device !== undefined && (via.family !== family || hop.via.startsWith('fe80:'));
    const dev = hop.onlink === true || linkLocal ? device?.index : this.#reaches(via, device?.index);
    if (dev === undefined) fail(family === 4 ? 'ENETUNREACH' : 'EHOSTUNREACH');
    return { via: printIp(via), dev, ...weight, ...(hop.onlink === true ? { onlink: true } : {}) };
  }

  #routePut(wanted: Route): void {
    const prefix = parsePrefix(wanted.prefix) ?? fail('EINVAL');
    if (wanted.type === 'other') fail('EINVAL');
    const { family } = prefix.ip;
    const nowhere = wanted.type !== 'unicast' && wanted.type !== 'local';
    if (!nowhere && wanted.nextHops.length === 0) fail('ENODEV');
    const several = wanted.nextHops.length > 1;
    const route: Route = {
      ...wanted,
      prefix: printPrefix(subnetOf(prefix)),
      metric: family === 6 && wanted.metric === 0 ? 1024 : wanted.metric,
      nextHops: nowhere ? [] : wanted.nextHops.map((hop) => this.#resolve(hop, family, several)),
    };
    const at = this.routes.findIndex(
      (each) => each.prefix === route.prefix && each.table === route.table && each.metric === route.metric,
    );
    if (at < 0) this.routes.push(route);
    else this.routes[at] = route;
    this.emit({ type: 'route', gone: false, route });
  }

  #routeDelete(wanted: OpOf<'route-del'>['route']): void {
    const prefix = printPrefix(subnetOf(parsePrefix(wanted.prefix) ?? fail('EINVAL')));
    const at = this.routes.findIndex(
      (each) =>
        each.prefix === prefix &&
        each.table === wanted.table &&
        (wanted.metric === 0 || each.metric === wanted.metric) &&
        (wanted.protocol === 0 || each.protocol === wanted.protocol),
    );
    if (at < 0) fail('ESRCH');
    for (const route of this.routes.splice(at, 1)) this.emit({ type: 'route', gone: true, route });
  }

  #ruleAdd(rule: Rule): void {
    if (this.rules.some((each) => sameRule(each, rule))) fail('EEXIST');
    const mask = rule.fwmark === undefined ? {} : { fwmask: rule.fwmask ?? 0xffff_ffff };
    this.rules.push({ ...rule, ...mask });
    this.rules.sort((a, b) => a.family - b.family || a.priority - b.priority);
  }

  #ruleDelete(rule: Rule): void {
    const at = this.rules.findIndex((each) => sameRule(each, rule));
    if (at < 0) fail('ENOENT');
    this.rules.splice(at, 1);
  }

  #neighborPut(op: OpOf<'neighbor-put'>): void {
    const { index } = this.device(op.dev);
    const address = printIp(parseIp(op.address) ?? fail('EINVAL'));
    const neighbor = { index, address, mac: printMac(parseMac(op.mac) ?? fail('EINVAL')), state: 'permanent' };
    const at = this.neighbors.findIndex((each) => each.index === index && each.address === address);
    this.neighbors.splice(at < 0 ? this.neighbors.length : at, at < 0 ? 0 : 1, neighbor);
    this.emit({ type: 'neighbor', gone: false, neighbor });
  }

  #neighborDelete(op: OpOf<'neighbor-del'>): void {
    const { index } = this.device(op.dev);
    const address = printIp(parseIp(op.address) ?? fail('EINVAL'));
    const at = this.neighbors.findIndex((each) => each.index === index && each.address === address);
    if (at < 0) fail('ENOENT');
    for (const neighbor of this.neighbors.splice(at, 1)) this.emit({ type: 'neighbor', gone: true, neighbor });
  }
}

function sameRule(a: Rule, b: Rule): boolean {
  const mask = (rule: Rule): number | undefined =>
    rule.fwmark === undefined ? rule.fwmask : (rule.fwmask ?? 0xffff_ffff);
  return (
    a.family === b.family &&
    a.priority === b.priority &&
    a.table === b.table &&
    a.protocol === b.protocol &&
    a.fwmark === b.fwmark &&
    mask(a) === mask(b) &&
    a.iif === b.iif
  );
}
