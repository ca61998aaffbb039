// ports: { swp1: { device: eth1, vlan: { access: web } }, swp2: { vlan: { trunk: [web, 20-29], native: 1 } },
//          swp3: { address: [192.0.2.1/31] } }
import { z } from 'zod';
import { cidr } from '../../../config/types.ts';
import type { PortCounters } from '../../../kernel/counters.ts';
import type { Problem } from '../../../config/problem.ts';
import type { Look } from '../../../engine/slice.ts';
import { checkVlanRef, resolveVlan, vlanId, vlanRef, type Vlans } from '../../l2/vlan/schema.ts';

/** A port's name is a device's name where we make the device. */
export const portName = z
  .string()
  .regex(/^[a-z][a-z0-9-]{0,14}$/, 'a port is named by a letter and up to 14 letters, digits and dashes')
  .refine((name) => name !== 'lo' && !name.startsWith('vlan'), 'lo and vlan* are not names for ports');

const vlanRange = z
  .string()
  .regex(/^\d{1,4}-\d{1,4}$/, 'not a range of VLANs')
  .refine((text) => {
    const [from = 0, to = 0] = text.split('-').map(Number);
    return from >= 1 && to <= 4094 && from <= to;
  }, 'a range runs from 1 to 4094, low to high')
  .meta({ description: 'range of VLANs', examples: ['20-29'] });

const access = z.strictObject({
  access: vlanRef.meta({ description: 'untagged member of one VLAN', examples: ['web', 10] }),
});
const trunk = z.strictObject({
  trunk: z
    .array(z.union([vlanId, vlanRange, vlanRef]))
    .min(1)
    .meta({ description: 'tagged member of these VLANs', examples: ['web', 20, '100-199'] }),
  native: vlanRef.optional().meta({ description: 'VLAN of untagged frames, untagged on the way out' }),
});

export const portVlan = z.union([access, trunk]).meta({ description: 'VLAN membership' });

export const portMtu = z
  .int()
  .min(68)
  .max(65535)
  .meta({ description: 'largest L3 packet, bytes', examples: [1500, 9000] });

export const port = z.strictObject({
  description: z.string().max(255).optional().meta({ description: 'free text' }),
  device: z
    .string()
    .regex(/^[^\s/:]{1,15}$/, 'not the name of a network device')
    .optional()
    .meta({ description: 'network device; default: the name of the port', examples: ['eth1'] }),
  mtu: portMtu.optional(),
  shut: z.boolean().default(false).meta({ description: 'nothing in, nothing out' }),
  vlan: portVlan.optional(),
  address: z
    .array(cidr)
    .min(1)
    .optional()
    .meta({ description: 'makes it a routed port', examples: ['192.0.2.1/31'] }),
  'mac-limit': z.int().min(0).max(65536).default(0).meta({ description: 'addresses learned at most, 0: no limit' }),
  'up-limit': z.int().min(0).max(65535).default(50).meta({
    description:
      'ARP, neighbour discovery and packets of unknown neighbours given to the switch itself, a second, 0: no limit',
  }),
  datapath: z.enum(['auto', 'xdp', 'tcx']).default('auto').meta({ description: 'where frames are handled' }),
  bridged: z
    .boolean()
    .default(false)
    .meta({ description: 'the far end forwards for others: no direct delivery to it' }),
  guest: z.string().optional().meta({ description: 'guest behind this port, set by its own section', hidden: true }),
});

export const portsSchema = z.record(portName, port).default({}).meta({ description: 'ports by name' });

export type Port = z.infer<typeof port>;
export type Ports = z.infer<typeof portsSchema>;

/** What the section of a guest says of its port: where it is plugged in, and no device of its own. */
export const guestPort = z
  .strictObject({
    vlan: z.union([vlanRef, portVlan]).meta({ description: 'VLAN of the guest, or its membership' }),
    shut: z.boolean().default(false).meta({ description: 'nothing in, nothing out' }),
    mtu: portMtu.optional(),
  })
  .meta({ description: 'port of the guest' });

export type GuestPort = z.infer<typeof guestPort>;

/** The entry that a guest's section makes in `ports`, under the guest's own name. */
export function portOfGuest(guest: string, given: GuestPort, bridged: boolean): Record<string, unknown> {
  const { vlan, ...rest } = given;
  return { ...rest, vlan: typeof vlan === 'object' ? vlan : { access: vlan }, bridged, guest };
}

export const deviceOf = (name: string, given: Port): string => given.device ?? name;

/** What a port is doing, read from its device. */
export interface PortStatus {
  readonly state: 'up' | 'down' | 'shut';
  readonly why: string;
  readonly mtu: number;
  readonly mac: string;
}

/** What the slice offers while it runs. */
export interface PortsLive {
  statuses(): ReadonlyMap<string, PortStatus>;
  counters(port: string): PortCounters | undefined;
  onChange(listener: () => void): Disposable;
}

/** A Problem for each VLAN of a membership, written at `path`, that there is not. */
export function checkMembership(
  look: Look,
  vlan: GuestPort['vlan'],
  path: readonly (string | number)[],
): readonly Problem[] {
  if (typeof vlan !== 'object') return checkVlanRef(look, vlan, path);
  if ('access' in vlan) return checkVlanRef(look, vlan.access, [...path, 'access']);
  const named = vlan.trunk.flatMap((item, i) => {
    const range = typeof item === 'string' && /^\d+-\d+$/.test(item);
    return range ? [] : checkVlanRef(look, item, [...path, 'trunk', i]);
  });
  return vlan.native === undefined ? named : [...named, ...checkVlanRef(look, vlan.native, [...path, 'native'])];
}

/** VLANs of a port by id, and the one of untagged frames. */
export interface Membership {
  readonly vlans: readonly number[];
  readonly untagged: number | undefined;
  readonly access: boolean;
}

/** Resolves names and ranges; what names no VLAN is left out (check has said so). */
export function membershipOf(vlans: Vlans, port: Port): Membership {
  const { vlan } = port;
  if (vlan === undefined) return { vlans: [], untagged: undefined, access: false };
  if ('access' in vlan) {
    const id = resolveVlan(vlans, vlan.access);
    return { vlans: id === undefined ? [] : [id], untagged: id, access: true };
  }
  const native = vlan.native === undefined ? undefined : resolveVlan(vlans, vlan.native);
  const ids = new Set(vlan.trunk.flatMap((item) => expand(vlans, item)));
  if (native !== undefined) ids.add(native);
  return { vlans: [...ids].toSorted((a, b) => a - b), untagged: native, access: false };
}

function expand(vlans: Vlans, item: number | string): readonly number[] {
  const [, from, to] = typeof item === 'string' ? (/^(\d+)-(\d+)$/.exec(item) ?? []) : [];
  if (from !== undefined && to !== undefined) {
    return Array.from({ length: Number(to) - Number(from) + 1 }, (_, i) => Number(from) + i);
  }
  const id = resolveVlan(vlans, item);
  return id === undefined ? [] : [id];
}
