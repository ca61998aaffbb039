// Rules of VLANs: an id each, no id twice, no address in two subnets.
import type { Problem } from '../../../config/problem.ts';
import type { Look } from '../../../engine/slice.ts';
import { overlaps, parsePrefix, type Prefix } from '../../../lib/prefix.ts';
import { portsSchema } from '../../l1/port/schema.ts';
import { idOfEntry, type Vlans } from './schema.ts';

export function checkVlans(vlans: Vlans, look: Look): readonly Problem[] {
  const problems: Problem[] = [];
  const ids = new Map<number, string>();
  for (const [name, vlan] of Object.entries(vlans)) {
    const id = idOfEntry(name, vlan);
    if (id === undefined) {
      problems.push(look.problem(['vlans', name], `VLAN ${name} has no id`, 'id: 1 to 4094'));
      continue;
    }
    const other = ids.get(id);
    if (other !== undefined) problems.push(look.problem(['vlans', name], `VLAN id ${id} is ${other}'s`));
    if (/^\d+$/.test(name) && Number(name) !== id) {
      problems.push(look.problem(['vlans', name, 'id'], `a VLAN named ${name} has that id`));
    }
    ids.set(id, name);
  }
  return [...problems, ...checkSubnets(vlans, look)];
}

/** Two networks of the switch that overlap could not be told apart. */
function checkSubnets(vlans: Vlans, look: Look): readonly Problem[] {
  const seen: { readonly prefix: Prefix; readonly where: string; readonly text: string }[] = [];
  const problems: Problem[] = [];
  const add = (text: string, where: string, path: readonly (string | number)[]): void => {
    const prefix = parsePrefix(text);
    if (prefix === undefined) return;
    const other = seen.find((s) => s.where !== where && overlaps(s.prefix, prefix));
    if (other !== undefined) problems.push(look.problem(path, `${text} overlaps ${other.text} of ${other.where}`));
    seen.push({ prefix, where, text });
  };
  for (const [name, vlan] of Object.entries(vlans)) {
    for (const [i, text] of vlan.address.entries()) add(text, `VLAN ${name}`, ['vlans', name, 'address', i]);
  }
  for (const [name, port] of Object.entries(look(portsSchema))) {
    for (const [i, text] of (port.address ?? []).entries()) add(text, `port ${name}`, ['ports', name, 'address', i]);
  }
  return problems;
}
