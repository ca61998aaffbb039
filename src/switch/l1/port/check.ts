// Rules of ports across sections.
import type { Problem } from '../../../config/problem.ts';
import type { Look } from '../../../engine/slice.ts';
import { checkMembership, deviceOf, type Port, type Ports } from './schema.ts';

export function checkPorts(ports: Ports, look: Look): readonly Problem[] {
  const devices = new Map<string, string>();
  return Object.entries(ports).flatMap(([name, port]) => {
    const device = deviceOf(name, port);
    const other = devices.get(device);
    devices.set(device, name);
    const twice =
      other === undefined ? [] : [look.problem(['ports', name], `${device} is the device of port ${other} too`)];
    return [...twice, ...checkPort(name, port, look)];
  });
}

function checkPort(name: string, port: Port, look: Look): readonly Problem[] {
  const at = ['ports', name];
  const problems: Problem[] = [];
  if (port.address !== undefined && port.vlan !== undefined) {
    problems.push(look.problem([...at, 'address'], 'a port has either addresses (routed) or a VLAN (bridged)'));
  }
  // What a guest's own section says is judged there, where it was written.
  if (port.vlan === undefined || port.guest !== undefined) return problems;
  return [...problems, ...checkMembership(look, port.vlan, [...at, 'vlan'])];
}
