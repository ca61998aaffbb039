// Network devices: those that we make (veth, tap), and those that we find and mark (a NIC, a lab's veth end).
import type { Kernel } from '../../kernel/kernel.ts';
import type { Link, Op } from '../../kernel/netlink.ts';
import { FaultError } from '../faults.ts';
import { type Driver, nameOf, type Ref } from '../resource.ts';
import { foundWell, linkBook, watchLinks } from './links.ts';
import { aliasOf, hashOf, kernelFault, readAlias } from './mark.ts';

/** The ref's name is the device's name in the switch's namespace. */
export type NetdevSpec =
  | { readonly type: 'external'; readonly mtu?: number }
  | {
      readonly type: 'veth';
      readonly peer: string;
      /** Name of the namespace that the peer lives in; none: ours. */
      readonly peerNetns?: string;
      readonly mac?: string;
      readonly peerMac?: string;
      readonly mtu?: number;
    }
  | { readonly type: 'tap'; readonly owner?: number; readonly mac?: string; readonly mtu?: number };

export interface NetdevActual {
  readonly name: string;
  readonly kind: string | undefined;
  readonly mtu: number;
  readonly mac: string;
  readonly hash: string;
  /** Of one that we found: what it had before us, and has where the spec says nothing. */
  readonly firstMtu?: number;
}

type Veth = Extract<NetdevSpec, { type: 'veth' }>;

/** What a change cannot be made of in place. */
function identity(spec: NetdevSpec): unknown {
  return spec.type === 'veth' ? [spec.type, spec.peer, spec.peerNetns, spec.peerMac] : [spec.type];
}

const linkKinds = { veth: 'veth', tap: 'tun' } as const;

/** Drift: a device that goes, comes, or is changed. */
export function netdevDriver(kernel: Kernel, instance: string): Driver<NetdevSpec, NetdevActual> {
  const nl = kernel.netlink();
  const book = linkBook(nl);
  const well = foundWell<NetdevActual>();
  return {
    kind: 'netdev',
    read: (refs) => {
      const own = new Map<Ref, NetdevActual>();
      for (const link of refs === 'all' ? nl.links() : refs.flatMap((ref) => book.byName(nameOf(ref)) ?? [])) {
        const actual = actualOf(instance, link);
        if (actual !== undefined) own.set(`netdev/${link.name}`, actual);
      }
      return Promise.resolve(own);
    },
    diff(spec, actual) {
      if (spec.type === 'veth' && peerIsLost(kernel, spec, book.byName(actual.name)?.peer)) return 'replace';
      return well.note(actual, diffOwn(spec, actual));
    },
    put: (batch) => {
      const ops = batch.map(([ref, spec]) => [ref, opsFor(ref, spec, nl.link(nameOf(ref)), instance)] as const);
      run(kernel, ops);
      for (const [ref, spec] of batch) matchPeer(kernel, instance, ref, spec);
      return Promise.resolve();
    },
    drop: (refs) => {
      const ops = refs.map((ref) => [ref, dropOps(nl.link(nameOf(ref)), ref, instance)] as const);
      run(kernel, ops);
      return Promise.resolve();
    },
    watch: (dirty) =>
      watchLinks(
        nl,
        (name, link) => {
          const actual = link === undefined ? undefined : actualOf(instance, link);
          if (well.isNews(name, actual)) dirty(`netdev/${name}`);
        },
        () => dirty('all'),
      ),
  };
}

/** Undefined where the device is none of ours. */
function actualOf(instance: string, { name, kind, mtu, mac, alias }: Link): NetdevActual | undefined {
  const mark = readAlias(instance, alias);
  if (mark?.ref !== `netdev/${name}`) return undefined;
  const { hash, firstMtu } = mark;
  return { name, kind, mtu, mac, hash, ...(firstMtu === undefined ? {} : { firstMtu }) };
}

/** Of the device alone, its far end apart. */
function diffOwn(spec: NetdevSpec, actual: NetdevActual): 'same' | 'update' | 'replace' {
  if (hashOf(identity(spec)) !== actual.hash) return 'replace';
  if (spec.type !== 'external' && actual.kind !== linkKinds[spec.type]) return 'replace';
  const mac = spec.type === 'external' ? undefined : spec.mac;
  return (spec.mtu ?? actual.firstMtu ?? actual.mtu) === actual.mtu && (mac ?? actual.mac) === actual.mac
    ? 'same'
    : 'update';
}

/** Its far end is in another namespace than that which has the name. Where none has it, that is to be mended first. */
function peerIsLost(kernel: Kernel, { peer, peerNetns }: Veth, index: number | undefined): boolean {
  if (peerNetns === undefined || !kernel.netns.list().includes(peerNetns)) return false;
  const far = kernel.netlink(peerNetns);
  try {
    return far.link(peer)?.index !== index;
  } finally {
    far.close();
  }
}

function opsFor(ref: Ref, spec: NetdevSpec, link: Link | undefined, instance: string): readonly Op[] {
  const name = nameOf(ref);
  const mark = readAlias(instance, link?.alias);
  const firstMtu = spec.type === 'external' && link !== undefined ? (mark?.firstMtu ?? link.mtu) : undefined;
  const alias = aliasOf(instance, {
    ref,
    hash: hashOf(identity(spec)),
    ...(firstMtu === undefined ? {} : { firstMtu }),
  });
  const wantedMtu = spec.mtu ?? firstMtu;
  const mtu = wantedMtu === undefined ? {} : { mtu: wantedMtu };
  if (link === undefined && spec.type === 'external') throw new FaultError('no-device', ref, `no device ${name}`, true);
  if (link !== undefined && mark === undefined && (spec.type !== 'external' || link.alias?.startsWith('midplane:'))) {
    throw new FaultError('already-exists', ref, `a device ${name} is there that is not ours`);
  }
  const mac = spec.type === 'external' || spec.mac === undefined ? {} : { mac: spec.mac };
  const set: Op = { op: 'link-set', name, alias, ...mtu, ...mac };
  if (link !== undefined) return [set];
  if (spec.type === 'tap') {
    return [{ op: 'tap-add', name, ...(spec.owner === undefined ? {} : { owner: spec.owner }) }, set];
  }
  if (spec.type === 'external') return [set];
  const { peer, peerNetns, peerMac } = spec;
  const add: Op = {
    op: 'link-add-veth',
    name,
    peer,
    ...(peerNetns === undefined ? {} : { peerNetns }),
    ...(peerMac === undefined ? {} : { peerMac }),
    ...mac,
    ...mtu,
  };
  return [add, set];
}

/** The far end of a veth follows its MTU, where we can name it, and is marked too where it lives with us. */
function matchPeer(kernel: Kernel, instance: string, ref: Ref, spec: NetdevSpec): void {
  if (spec.type !== 'veth') return;
  const far = kernel.netlink(spec.peerNetns);
  try {
    const peer = far.link(spec.peer);
    if (peer === undefined) return;
    const mtu = spec.mtu === undefined || peer.mtu === spec.mtu ? {} : { mtu: spec.mtu };
    const mark = aliasOf(instance, { ref, hash: 'peer' });
    const alias = spec.peerNetns !== undefined || peer.alias === mark ? {} : { alias: mark };
    const change = { ...mtu, ...alias };
    if (Object.keys(change).length === 0) return;
    const [code] = far.apply([{ op: 'link-set', name: spec.peer, ...change }]);
    if (code !== undefined) throw kernelFault(ref, code, `the far end ${spec.peer}`);
  } finally {
    if (spec.peerNetns !== undefined) far.close();
  }
}

/** What we made goes; what we found is as before, and stays. */
function dropOps(link: Link | undefined, ref: Ref, instance: string): readonly Op[] {
  const mark = readAlias(instance, link?.alias);
  if (link === undefined || mark?.ref !== ref) return [];
  if (mark.hash !== hashOf(identity({ type: 'external' }))) return [{ op: 'link-del', name: link.name }];
  const mtu = mark.firstMtu === undefined || mark.firstMtu === link.mtu ? {} : { mtu: mark.firstMtu };
  return [{ op: 'link-set', name: link.name, alias: '', ...mtu }];
}

/** Applies ops of several refs at once; the first that is refused is the Fault. ENODEV of a drop is no failure. A
 * device that was made and then could not be set, its mark too, is taken away: nobody would know it for ours. */
function run(kernel: Kernel, ops: readonly (readonly [Ref, readonly Op[]])[]): void {
  const flat = ops.flatMap(([ref, list]) => list.map((op) => [ref, op] as const));
  const nl = kernel.netlink();
  const why = new Map<number, string>();
  const results = nl.apply(
    flat.map(([, op]) => op),
    (index, text) => why.set(index, text),
  );
  let fault: FaultError | undefined;
  for (const [i, code] of results.entries()) {
    const [ref, op] = flat[i] ?? [];
    if (code === undefined || ref === undefined || op === undefined) continue;
    if (op.op === 'link-del' && code === 'ENODEV') continue;
    const [before, made] = flat[i - 1] ?? [];
    const justMade = before === ref && (made?.op === 'tap-add' || made?.op === 'link-add-veth');
    if (op.op === 'link-set' && justMade && results[i - 1] === undefined) nl.apply([{ op: 'link-del', name: op.name }]);
    fault ??= kernelFault(ref, code, [`${op.op} ${nameOf(ref)}`, why.get(i)].filter(Boolean).join(': '));
  }
  if (fault !== undefined) throw fault;
}
