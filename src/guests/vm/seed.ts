// What a VM is told at its first boot: cloud-init's NoCloud data source (docs.cloud-init.io, datasource nocloud), a
// volume labelled "cidata" with meta-data, user-data and network-config.
import { hashOf } from '../../engine/kinds/mark.ts';
import { isoVolume } from './iso.ts';

export interface SeedText {
  readonly hostname: string;
  /** network-config, version 2. */
  readonly network: string;
  readonly userData: string;
}

export interface SeedNetwork {
  readonly mac: string;
  /** "10.0.0.5/24" */
  readonly address: readonly string[];
  /** Next hops of the default routes. */
  readonly gateways: readonly string[];
  readonly dns: readonly string[];
  readonly mtu?: number;
}

/** Network config version 2, one value a line (the VM image of set-up reads it line by line). */
export function networkConfig(network: SeedNetwork): string {
  const list = (title: string, items: readonly string[], depth: number): readonly string[] =>
    items.length === 0 ? [] : [`${indent(depth)}${title}:`, ...items.map((item) => `${indent(depth + 1)}- "${item}"`)];
  const routes = network.gateways.flatMap((via) => [
    `${indent(4)}- to: "${via.includes(':') ? '::/0' : '0.0.0.0/0'}"`,
    `${indent(4)}  via: "${via}"`,
  ]);
  const lines = [
    'version: 2',
    'ethernets:',
    `${indent(1)}eth0:`,
    `${indent(2)}match:`,
    `${indent(3)}macaddress: "${network.mac}"`,
    `${indent(2)}set-name: eth0`,
    `${indent(2)}dhcp4: false`,
    `${indent(2)}dhcp6: false`,
    ...(network.mtu === undefined ? [] : [`${indent(2)}mtu: ${network.mtu}`]),
    ...list('addresses', network.address, 2),
    ...(routes.length === 0 ? [] : [`${indent(2)}routes:`, ...routes]),
    ...(network.dns.length === 0 ? [] : [`${indent(2)}nameservers:`, ...list('addresses', network.dns, 3)]),
  ];
  return `${lines.join('\n')}\n`;
}

const indent = (depth: number): string => '  '.repeat(depth);

/** The volume. Another text is another instance to cloud-init, which then configures the machine anew. */
export function seedVolume(seed: SeedText): Uint8Array {
  const metaData = `instance-id: "${seed.hostname}-${hashOf(seed)}"\nlocal-hostname: "${seed.hostname}"\n`;
  const files = { 'meta-data': metaData, 'network-config': seed.network, 'user-data': seed.userData };
  return isoVolume(
    'cidata',
    Object.entries(files).map(([name, text]) => ({ name, content: Buffer.from(text) })),
  );
}
