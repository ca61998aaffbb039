// IP addresses of the switch's own devices, marked by their protocol number (IFA_PROTO, Linux 5.18).
import type { Kernel } from '../../kernel/kernel.ts';
import type { Op } from '../../kernel/netlink.ts';
import { type Driver, type Ref } from '../resource.ts';
import { kernelFault, protocolNumber } from './mark.ts';

export interface AddressSpec {
  readonly dev: string;
  /** "10.0.0.1/24" */
  readonly cidr: string;
}

/** The ref of an address: "address/vlan10/10.0.0.1/24". */
export function addressRef(spec: AddressSpec): Ref {
  return `address/${spec.dev}/${spec.cidr}`;
}

function parseRef(ref: Ref): AddressSpec {
  const [, dev = '', ...cidr] = ref.split('/');
  return { dev, cidr: cidr.join('/') };
}

export function addressDriver(kernel: Kernel): Driver<AddressSpec, AddressSpec> {
  const nl = kernel.netlink();
  const ours = (): Map<Ref, AddressSpec> => {
    const names = new Map(nl.links().map((link) => [link.index, link.name]));
    const specs = nl
      .addresses()
      .filter((address) => address.protocol === protocolNumber)
      .map((address) => ({ dev: names.get(address.index) ?? `#${address.index}`, cidr: address.cidr }));
    return new Map(specs.map((spec) => [addressRef(spec), spec]));
  };
  const run = (refs: readonly Ref[], ops: readonly Op[], fine: string): void => {
    for (const [i, code] of nl.apply(ops).entries()) {
      const ref = refs[i];
      if (code !== undefined && ref !== undefined && !fine.split(' ').includes(code)) throw kernelFault(ref, code);
    }
  };
  return {
    kind: 'address',
    read: (refs) => {
      const all = ours();
      if (refs === 'all') return Promise.resolve(all);
      return Promise.resolve(new Map([...all].filter(([ref]) => refs.includes(ref))));
    },
    diff: () => 'same',
    claims: (spec) => [`address ${spec.cidr.split('/')[0]}`],
    put: (batch) => {
      const there = ours();
      const todo = batch.filter(([ref]) => !there.has(ref));
      run(
        todo.map(([ref]) => ref),
        todo.map(([, spec]) => ({
          op: 'address-add',
          ...spec,
          protocol: protocolNumber,
          noDad: spec.cidr.includes(':'),
        })),
        '',
      );
      return Promise.resolve();
    },
    drop: (refs) => {
      const ops: Op[] = refs.map((ref) => ({ op: 'address-del', ...parseRef(ref) }));
      run(refs, ops, 'ENODEV EADDRNOTAVAIL');
      return Promise.resolve();
    },
    watch: (dirty) =>
      nl.watch(['address'], (event) => {
        if (event.type !== 'address') return;
        const link = nl.links().find((l) => l.index === event.address.index);
        if (link !== undefined) dirty(addressRef({ dev: link.name, cidr: event.address.cidr }));
      }),
  };
}
