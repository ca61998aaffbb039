// What is inside a guest's namespace: lo and eth0 up, eth0's addresses, the default routes. For guests that share our
// kernel; a VM configures itself.
import { kernelFault } from '../engine/kinds/mark.ts';
import { type Driver, nameOf, type Ref } from '../engine/resource.ts';
import { KernelError } from '../kernel/errno.ts';
import type { Kernel } from '../kernel/kernel.ts';
import type { Netlink, Op } from '../kernel/netlink.ts';
import { isLinkLocal, parseIp } from '../lib/ip.ts';
import { parsePrefix } from '../lib/prefix.ts';
import { guestNetns, guestsWithNetns } from './netns.ts';

export interface GuestnetSpec {
  /** "10.0.0.5/24" */
  readonly address: readonly string[];
  /** Next hops of the default routes, one a family. */
  readonly gateway: readonly string[];
}

export interface GuestnetActual extends GuestnetSpec {
  readonly up: boolean;
}

const device = 'eth0';
const mainTable = 254;
/** RTPROT_STATIC */
const staticRoute = 4;

const defaultOf = (gateway: string): string => (gateway.includes(':') ? '::/0' : '0.0.0.0/0');
const metricOf = (gateway: string): number => (gateway.includes(':') ? 1024 : 0);
const sorted = (list: readonly string[]): string => [...list].toSorted().join(' ');

/** Ref "guestnet/<guest>". Needs the guest's netns and netdev. */
export function guestnetDriver(kernel: Kernel, instance: string, run: string): Driver<GuestnetSpec, GuestnetActual> {
  const inside = <T>(ref: Ref, use: (nl: Netlink) => T): T | undefined => {
    const netns = guestNetns(instance, nameOf(ref));
    if (!kernel.netns.list().includes(netns)) return undefined;
    const nl = kernel.netlink(netns);
    try {
      return use(nl);
    } finally {
      nl.close();
    }
  };
  const put = (ref: Ref, spec: GuestnetSpec): void => {
    const done = inside(ref, (nl) => {
      quiet(kernel, guestNetns(instance, nameOf(ref)));
      const now = readNet(nl);
      for (const [op, fine] of opsFor(spec, now)) {
        const [code] = nl.apply([op]);
        if (code !== undefined && !fine.includes(code)) throw kernelFault(ref, code, `${op.op} in the guest`);
      }
      return true;
    });
    if (done === undefined) throw kernelFault(ref, 'ENODEV', 'the guest has no namespace');
  };
  return {
    kind: 'guestnet',
    read: (refs) => {
      const list = refs === 'all' ? guestsWithNetns(kernel, instance, run).map(guestnetRef) : refs;
      const found = list.flatMap((ref): [Ref, GuestnetActual][] => {
        const actual = inside(ref, readNet);
        // A guest's eth0 that nobody has set up yet is not there.
        return actual === undefined || (refs === 'all' && !actual.up) ? [] : [[ref, actual]];
      });
      return Promise.resolve(new Map(found));
    },
    diff: (spec, actual) =>
      actual.up && sorted(spec.address) === sorted(actual.address) && sorted(spec.gateway) === sorted(actual.gateway)
        ? 'same'
        : 'update',
    claims: (spec) => spec.address.map((cidr) => `address ${cidr.split('/')[0]}`),
    put: (batch) => {
      for (const [ref, spec] of batch) put(ref, spec);
      return Promise.resolve();
    },
    drop: (refs) => {
      for (const ref of refs) {
        inside(ref, (nl) => {
          const now = readNet(nl);
          if (now === undefined) return;
          nl.apply(now.address.map((cidr) => ({ op: 'address-del', dev: device, cidr })));
          nl.apply([{ op: 'link-set', name: device, up: false }]);
        });
      }
      return Promise.resolve();
    },
  };
}

/** "guestnet/web1" */
export const guestnetRef = (guest: string): Ref => `guestnet/${guest}`;

/** The guest's addresses are those of the document: it takes none from router advertisements. */
function quiet(kernel: Kernel, netns: string): void {
  try {
    kernel.sysctl.write(`net/ipv6/conf/${device}/accept_ra`, '0', netns);
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
  }
}

function readNet(nl: Netlink): GuestnetActual | undefined {
  const link = nl.link(device);
  if (link === undefined) return undefined;
  const address = nl.addresses().filter((a) => a.index === link.index && !linkLocal(a.cidr));
  const routes = nl.routes({ table: mainTable }).filter((r) => r.prefix === '0.0.0.0/0' || r.prefix === '::/0');
  const gateway = routes.flatMap((route) => route.nextHops.flatMap((hop) => hop.via ?? []));
  return { up: link.up, address: address.map((a) => a.cidr), gateway };
}

function linkLocal(cidr: string): boolean {
  const ip = parsePrefix(cidr)?.ip;
  return ip?.family === 6 && isLinkLocal(ip);
}

/** Steps with the errors that are none. Routes come after the addresses that they are reached by. */
function opsFor(spec: GuestnetSpec, now: GuestnetActual | undefined): (readonly [Op, readonly string[]])[] {
  const there = now ?? { up: false, address: [], gateway: [] };
  const gone = there.address.filter((cidr) => !spec.address.includes(cidr));
  const lost = there.gateway.filter((via) => !spec.gateway.includes(via) && !replaced(via, spec.gateway));
  return [
    [{ op: 'link-set', name: 'lo', up: true }, []],
    [{ op: 'link-set', name: device, up: true }, []],
    ...gone.map((cidr) => [{ op: 'address-del', dev: device, cidr }, ['EADDRNOTAVAIL']] as const),
    ...spec.address.map(
      (cidr) => [{ op: 'address-add', dev: device, cidr, noDad: cidr.includes(':') }, ['EEXIST']] as const,
    ),
    ...lost.map((via) => [{ op: 'route-del', route: { ...routeOf(via), protocol: staticRoute } }, ['ESRCH']] as const),
    ...spec.gateway.map(
      (via) =>
        [
          { op: 'route-put', route: { ...routeOf(via), type: 'unicast', protocol: staticRoute, nextHops: [{ via }] } },
          ['EEXIST'],
        ] as const,
    ),
  ];
}

const replaced = (via: string, gateways: readonly string[]): boolean =>
  gateways.some((other) => parseIp(other)?.family === parseIp(via)?.family);

const routeOf = (via: string): { prefix: string; table: number; metric: number } => ({
  prefix: defaultOf(via),
  table: mainTable,
  metric: metricOf(via),
});
