import type { Kernel } from './kernel.ts';
import { sysctl } from './net/sysctl.ts';
import { openNetlink } from './net/rtnetlink.ts';
import { netns } from './netns.ts';
import { openBpf } from './ebpf/open.ts';

/** The real kernel. Throws an Error that says what to run where the addon was not built. */
export function openKernel(): Kernel {
  return { netlink: openNetlink, sysctl, netns, bpf: openBpf() };
}
