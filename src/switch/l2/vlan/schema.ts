// vlans: { web: { id: 10, address: [10.10.0.1/24, "fd00:10::1/64"] }, 20: {} }
import { z } from 'zod';
import { cidr } from '../../../config/types.ts';
import type { Look } from '../../../engine/slice.ts';
import type { Problem } from '../../../config/problem.ts';

/** VLAN id on the wire (802.1Q: 0 and 4095 are reserved). */
export const vlanId = z
  .int()
  .min(1)
  .max(4094)
  .meta({ description: 'VLAN id', examples: [10] });

/** A VLAN by its name in `vlans`, or by its number, which needs no entry. */
export const vlanRef = z
  .union([vlanId, z.string().regex(/^[a-z0-9][a-z0-9-]{0,31}$/, 'not the name of a VLAN')])
  .meta({ description: 'VLAN by name or number', examples: ['web', 10] });

const vlan = z.strictObject({
  id: vlanId.optional().meta({ description: 'VLAN id; a VLAN named by its number has that one' }),
  description: z.string().max(255).optional().meta({ description: 'free text' }),
  address: z
    .array(cidr)
    .default([])
    .meta({
      description: 'addresses of the switch in this VLAN; they make the SVI vlan<id>',
      examples: ['10.10.0.1/24', 'fd00:10::1/64'],
    }),
  mtu: z
    .int()
    .min(576)
    .max(9216)
    .default(1500)
    .meta({ description: 'MTU of the SVI', examples: [1500] }),
});

export const vlansSchema = z
  .record(z.string().regex(/^[a-z0-9][a-z0-9-]{0,31}$/, 'not a name for a VLAN'), vlan)
  .default({})
  .meta({ description: 'VLANs by name or number' });

export type Vlans = z.infer<typeof vlansSchema>;
export type VlanRef = z.infer<typeof vlanRef>;

/** The id of an entry of `vlans`: its own, or its name where that is a number. */
export function idOfEntry(name: string, entry: Vlans[string]): number | undefined {
  const number = /^\d+$/.test(name) ? Number(name) : undefined;
  const id = entry.id ?? number;
  return id !== undefined && id >= 1 && id <= 4094 ? id : undefined;
}

/** The id that a reference means, or undefined where no VLAN has that name. */
export function resolveVlan(vlans: Vlans, ref: VlanRef): number | undefined {
  if (typeof ref === 'number') return ref;
  const entry = vlans[ref];
  if (entry !== undefined) return idOfEntry(ref, entry);
  const number = /^\d+$/.test(ref) ? Number(ref) : 0;
  return number >= 1 && number <= 4094 ? number : undefined;
}

/** A Problem at `path` where the reference names no VLAN. */
export function checkVlanRef(look: Look, ref: VlanRef, path: readonly (string | number)[]): readonly Problem[] {
  const vlans = look(vlansSchema);
  if (resolveVlan(vlans, ref) !== undefined) return [];
  return [look.problem(path, `no VLAN is named ${ref}`, `known: ${Object.keys(vlans).join(', ') || 'none'}`)];
}

/** Name of the SVI's device. */
export const sviName = (id: number): string => `vlan${id}`;
/** Name of its far end, which lets the stack's frames into the bridge domain. */
export const sviPortName = (id: number): string => `vlan${id}-bd`;
