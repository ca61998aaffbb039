import type { Kernel } from './kernel.ts';
import { sysctl } from './net/sysctl.ts';
import { openNetlink } from './net/rtnetlink.ts';
import { netns } from './netns.ts';
import { openBpf } from './ebpf/open.ts';
import type { Netlink } from './netlink.ts';

/** The real kernel. Throws an Error that says what to run where the addon was not built. One socket serves the own
 * namespace for as long as the process lives, whoever closes it; that of a named one is the caller's to close, since it
 * would keep the namespace alive. */
export function openKernel(): Kernel {
  let own: Netlink | undefined;
  const netlink = (name?: string): Netlink => {
    if (name !== undefined) return openNetlink(name);
    own ??= { ...openNetlink(), close: () => undefined };
    return own;
  };
  return { netlink, sysctl, netns, bpf: openBpf() };
}
