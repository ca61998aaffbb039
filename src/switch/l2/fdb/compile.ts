import { rowRef } from '../../../engine/kinds/row.ts';
import type { Problem } from '../../../config/problem.ts';
import type { Resource } from '../../../engine/resource.ts';
import type { Look } from '../../../engine/slice.ts';
import { portsSchema } from '../../l1/port/schema.ts';
import { checkVlanRef, resolveVlan, vlansSchema } from '../vlan/schema.ts';
import type { FdbSection } from './schema.ts';

/** Static rows; the fast path never moves or ages them. */
export function compileFdb(section: FdbSection, look: Look): readonly Resource[] {
  return Object.entries(section.static).flatMap(([vlan, rows]) => {
    const id = resolveVlan(look(vlansSchema), vlan);
    if (id === undefined) return [];
    return Object.entries(rows).map(([mac, port]) => ({
      ref: rowRef('fdb', `${id}/${mac}`),
      owner: 'fdb',
      spec: { port, self: false },
      needs: [],
    }));
  });
}

export function checkFdb(section: FdbSection, look: Look): readonly Problem[] {
  const ports = look(portsSchema);
  return Object.entries(section.static).flatMap(([vlan, rows]) => [
    ...checkVlanRef(look, vlan, ['fdb', 'static', vlan]),
    ...Object.entries(rows)
      .filter(([, port]) => ports[port] === undefined)
      .map(([mac, port]) => look.problem(['fdb', 'static', vlan, mac], `no port is named ${port}`)),
  ]);
}
