// IP addresses of the switch's own devices, marked by their protocol number (IFA_PROTO, Linux 5.18).
import type { Kernel } from '../../kernel/kernel.ts';
import type { Op } from '../../kernel/netlink.ts';
import { type Driver, type Ref } from '../resource.ts';
import { linkBook } from './links.ts';
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

/** An address is the switch's once, on whatever device. */
const claimsOf = (spec: AddressSpec): readonly string[] => [`address ${spec.cidr.split('/')[0]}`];

const addOp = (spec: AddressSpec): Op => ({
  op: 'address-add',
  ...spec,
  protocol: protocolNumber,
  // It is there at once; a switch does not wait a second for its own address.
  noDad: spec.cidr.includes(':'),
});

export function addressDriver(kernel: Kernel): Driver<AddressSpec, AddressSpec> {
  const nl = kernel.netlink();
  const book = linkBook(nl);
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
      return Promise.resolve(new Map(refs.flatMap((ref) => (all.has(ref) ? [[ref, all.get(ref)!] as const] : []))));
    },
    diff: () => 'same',
    claims: claimsOf,
    held: claimsOf,
    put: (batch) => {
      const there = ours();
      const todo = batch.filter(([ref]) => !there.has(ref));
      run(
        todo.map(([ref]) => ref),
        todo.map(([, spec]) => addOp(spec)),
        '',
      );
      return Promise.resolve();
    },
    drop: (refs) => {
      const kept = new Map([...ours()].filter(([ref]) => !refs.includes(ref)));
      const ops: Op[] = refs.map((ref) => ({ op: 'address-del', ...parseRef(ref) }));
      run(refs, ops, 'ENODEV EADDRNOTAVAIL');
      // With the first IPv4 address of a subnet the kernel takes its others (net.ipv4.conf.*.promote_secondaries).
      const there = ours();
      const lost = [...kept].filter(([ref]) => !there.has(ref));
      run(
        lost.map(([ref]) => ref),
        lost.map(([, spec]) => addOp(spec)),
        'ENODEV EEXIST',
      );
      return Promise.resolve();
    },
    watch: (dirty) =>
      nl.watch(['address'], (event) => {
        if (event.type === 'overrun') return dirty('all');
        if (event.type !== 'address') return;
        const link = book.byIndex(event.address.index);
        if (link !== undefined) dirty(addressRef({ dev: link.name, cidr: event.address.cidr }));
      }),
  };
}
