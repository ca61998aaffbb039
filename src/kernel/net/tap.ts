import { addon } from '../addon.ts';
import { inNetns } from '../netns.ts';

/** A descriptor of an existing tap (no packet information, virtio-net headers), for QEMU or to read and write frames
 * ourselves: non-blocking, to be closed by the caller. KernelError ENODEV where there is none, EBUSY where it is open.
 * */
export function openTap(name: string, netns?: string): number {
  return inNetns(netns, () => addon().tapOpen(name));
}
