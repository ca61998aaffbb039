import { addon, Descriptor } from '../addon.ts';
import type { BpfHook, BpfLink, BpfLinkInfo, BpfProgram } from '../bpf.ts';
import { Channel } from '../net/channel.ts';
import { inNetns } from '../netns.ts';
import { getOffloads, setOffloads } from '../net/ethtool.ts';
import { decodeLink, decodeLinkXdp, linkGetRequest } from '../../wire/netlink/link.ts';
import { makePin } from './map.ts';
import { KernelProgram } from './program.ts';
import { expedited } from './rcu.ts';

// enum bpf_attach_type; the tcx ones are of Linux 6.6.
const attachTypes: Readonly<Record<BpfHook, number>> = { xdp: 37, 'tcx-ingress': 46, 'tcx-egress': 47 };
const XDP_FLAGS_DRV_MODE = 1 << 2;

function fdOf(program: BpfProgram): number {
  if (!(program instanceof KernelProgram)) throw new TypeError('a program of another kernel');
  return program.fd;
}

/** A link of the kernel behind a descriptor that is ours. */
export class KernelLink implements BpfLink {
  readonly #descriptor: Descriptor;

  constructor(fd: number, what: string) {
    this.#descriptor = new Descriptor(fd, what);
  }

  info(): BpfLinkInfo {
    return addon().linkInfo(this.#descriptor.fd);
  }

  update(program: BpfProgram): void {
    addon().linkUpdate(this.#descriptor.fd, fdOf(program));
  }

  pin(path: string): void {
    makePin(this.#descriptor.fd, path);
  }

  close(): void {
    // The last to hold it waits until its hook is free.
    expedited(() => this.#descriptor.close());
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** XDP sees a VLAN tag only where the device leaves it in the frame: one that takes it off would have every VLAN of a
 * trunk look untagged. KernelError EOPNOTSUPP where the device cannot leave it. */
function keepTags(ifindex: number, netns?: string): void {
  using channel = new Channel(netns);
  const [message] = channel.query(linkGetRequest(ifindex, false));
  const name = message === undefined ? undefined : decodeLink(message)?.name;
  if (name !== undefined && getOffloads(name, netns).rxvlan) setOffloads(name, { rxvlan: false }, netns);
}

/** Puts a program on a device's hook. The link ends when neither a descriptor nor a pin holds it. */
export function attach(program: BpfProgram, ifindex: number, hook: BpfHook, netns?: string): KernelLink {
  const programFd = fdOf(program);
  const flags = hook === 'xdp' ? XDP_FLAGS_DRV_MODE : 0;
  if (hook === 'xdp') keepTags(ifindex, netns);
  const create = (): number => addon().linkCreate(programFd, ifindex, attachTypes[hook], flags);
  const fd = expedited(() => inNetns(netns, create));
  return new KernelLink(fd, `link ${hook} on ${ifindex}`);
}

export type HookProgram = { programId: number; tag: string; mode: string };

/** The programs on a device's hook. KernelError ENODEV where there is no such device. */
export function queryHook(ifindex: number, hook: BpfHook, netns?: string): HookProgram[] {
  if (hook === 'xdp') {
    using channel = new Channel(netns);
    const [message] = channel.query(linkGetRequest(ifindex, false));
    const xdp = message === undefined ? undefined : decodeLinkXdp(message);
    return xdp === undefined ? [] : [{ programId: xdp.programId, tag: tagOf(xdp.programId), mode: xdp.mode }];
  }
  const ids = inNetns(netns, () => addon().programQuery(ifindex, attachTypes[hook]));
  return ids.map((programId) => ({ programId, tag: tagOf(programId), mode: 'tcx' }));
}

/** The tag of a loaded program. */
export function tagOf(programId: number): string {
  const fd = addon().programById(programId);
  try {
    return addon().programInfo(fd).tag;
  } finally {
    addon().fdClose(fd);
  }
}
