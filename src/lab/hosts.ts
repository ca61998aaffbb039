// Hosts around a switch: network namespaces, each with an eth0 whose far end is a port of the switch's namespace.
import { join } from 'node:path';
import { z } from 'zod';
import { cidr, ipAddress } from '../config/types.ts';
import type { BpfObject } from '../kernel/bpf.ts';
import type { Kernel } from '../kernel/kernel.ts';
import { KernelError } from '../kernel/errno.ts';
import { setOffloads } from '../kernel/net/ethtool.ts';
import type { Netlink, Op } from '../kernel/netlink.ts';
import { u32 } from '../lib/bytes.ts';

const network = z.strictObject({
  address: z.array(cidr).default([]),
  gateway: z.array(ipAddress).default([]),
});

const host = network.extend({
  /** Device in the switch's namespace that the host's eth0 is plugged into. */
  port: z.string(),
  mac: z.string().optional(),
  mtu: z.int().optional(),
  /** Tagged networks by VLAN id: each is a device v<id> in the host. */
  vlans: z.record(z.string(), network).default({}),
  /** Runs an Envoy that the switch at this address programs. */
  envoy: z.strictObject({ xds: z.string() }).optional(),
  /** As a NIC would have it: offloads off and a program at the far end, so that XDP reaches it. */
  nic: z.boolean().default(false),
});

export const hostsSchema = z.record(z.string().regex(/^[a-z][a-z0-9-]{0,14}$/), host);

export type Hosts = z.infer<typeof hostsSchema>;
export type HostsInput = z.input<typeof hostsSchema>;
type Network = z.infer<typeof network>;

export interface Lab extends Disposable {
  /** Name of the switch's namespace: "<prefix>-switch". */
  readonly switchNetns: string;
  netnsOf(host: string): string;
}

export interface LabInput {
  readonly kernel: Kernel;
  /** First part of all namespaces' names. */
  readonly prefix: string;
  readonly hosts: Hosts;
  /** Folder of lab.bpf.o. */
  readonly objects: string;
}

/** Makes the namespaces and plugs the hosts in. What fails is taken away again. */
export function openLab(input: LabInput): Lab {
  using stack = new DisposableStack();
  const { kernel, prefix } = input;
  const netnsOf = (name: string): string => `${prefix}-${name}`;
  const add = (name: string): void => {
    kernel.netns.add(netnsOf(name));
    stack.defer(() => kernel.netns.remove(netnsOf(name)));
  };
  add('switch');
  for (const [name, spec] of Object.entries(input.hosts)) {
    add(name);
    plug(input, name, spec, stack);
  }
  const kept = stack.move();
  return { switchNetns: netnsOf('switch'), netnsOf, [Symbol.dispose]: () => kept.dispose() };
}

function plug(input: LabInput, name: string, spec: Hosts[string], stack: DisposableStack): void {
  const { kernel, prefix } = input;
  const switchNetns = `${prefix}-switch`;
  const netns = `${prefix}-${name}`;
  const { mac, mtu } = spec;
  const veth: Op = {
    op: 'link-add-veth',
    name: spec.port,
    peer: 'eth0',
    peerNetns: netns,
    ...(mac === undefined ? {} : { peerMac: mac }),
    ...(mtu === undefined ? {} : { mtu }),
  };
  withNetlink(kernel, switchNetns, (nl) => run(nl, [veth]));
  withNetlink(kernel, netns, (nl) => {
    if (mtu !== undefined) run(nl, [{ op: 'link-set', name: 'eth0', mtu }]);
    run(nl, [{ op: 'link-set', name: 'eth0', up: true }, ...networkOps('eth0', spec)]);
    route(nl, spec);
  });
  if (spec.nic) asNic(input, spec.port, netns, stack);
  if (Object.keys(spec.vlans).length > 0) trunk(input, netns, spec, stack);
}

function networkOps(dev: string, spec: Network): Op[] {
  return spec.address.map((text) => ({ op: 'address-add', dev, cidr: text, noDad: true }));
}

/** Default routes by the gateways, after the addresses that they are reached by. */
function route(nl: Netlink, spec: Network): void {
  run(
    nl,
    spec.gateway.map((via) => {
      const prefix = via.includes(':') ? '::/0' : '0.0.0.0/0';
      return {
        op: 'route-put',
        route: { prefix, table: 254, protocol: 4, metric: 0, type: 'unicast', nextHops: [{ via }] },
      };
    }),
  );
}

/** tx checksums off, since a frame that never becomes an skb has no one to fill them in. */
function asNic(input: LabInput, port: string, netns: string, stack: DisposableStack): void {
  const { kernel, prefix } = input;
  setOffloads('eth0', { tx: false, tso: false, gso: false, gro: true, txvlan: false }, netns);
  setOffloads(port, { tx: false, txvlan: false, rxvlan: false }, `${prefix}-switch`);
  const object = stack.use(kernel.bpf.load({ file: join(input.objects, 'lab.bpf.o') }));
  attach(kernel, object, 'pass', indexOf(kernel, netns, 'eth0'), 'xdp', netns, stack);
}

function trunk(input: LabInput, netns: string, spec: Hosts[string], stack: DisposableStack): void {
  const { kernel } = input;
  const object = stack.use(kernel.bpf.load({ file: join(input.objects, 'lab.bpf.o') }));
  const uplink = indexOf(kernel, netns, 'eth0');
  const portOfVid = object.maps.get('port_of_vid');
  const vidOfPort = object.maps.get('vid_of_port');
  portOfVid?.update(u32(0), u32(uplink));
  attach(kernel, object, 'trunk_in', uplink, 'tcx-ingress', netns, stack);
  for (const [vid, inner] of Object.entries(spec.vlans)) {
    const [dev, far] = [`v${vid}`, `v${vid}p`];
    withNetlink(kernel, netns, (nl) => {
      const mac = nl.link('eth0')?.mac;
      run(nl, [{ op: 'link-add-veth', name: dev, peer: far, ...(mac === undefined ? {} : { mac }) }]);
      run(nl, [
        { op: 'link-set', name: far, up: true },
        { op: 'link-set', name: dev, up: true },
        ...networkOps(dev, inner),
      ]);
      route(nl, inner);
    });
    kernel.sysctl.write(`net/ipv6/conf/${far}/disable_ipv6`, '1', netns);
    const port = indexOf(kernel, netns, far);
    portOfVid?.update(u32(Number(vid)), u32(port));
    vidOfPort?.update(u32(port), u32(Number(vid)));
    attach(kernel, object, 'trunk_out', port, 'tcx-ingress', netns, stack);
  }
}

function attach(
  kernel: Kernel,
  object: BpfObject,
  name: string,
  ifindex: number,
  hook: 'xdp' | 'tcx-ingress',
  netns: string,
  stack: DisposableStack,
): void {
  const program = object.programs.get(name);
  if (program === undefined) throw new Error(`lab.bpf.o has no program ${name}`);
  stack.use(kernel.bpf.attach(program, ifindex, hook, netns));
}

function indexOf(kernel: Kernel, netns: string, dev: string): number {
  return withNetlink(kernel, netns, (nl) => {
    const link = nl.link(dev);
    if (link === undefined) throw new KernelError('ENODEV', `${dev} in ${netns}`);
    return link.index;
  });
}

function withNetlink<T>(kernel: Kernel, netns: string, use: (nl: Netlink) => T): T {
  const nl = kernel.netlink(netns);
  try {
    return use(nl);
  } finally {
    nl.close();
  }
}

function run(nl: Netlink, ops: readonly Op[]): void {
  for (const [i, code] of nl.apply(ops).entries()) {
    if (code !== undefined) throw new KernelError(code, JSON.stringify(ops[i]));
  }
}
