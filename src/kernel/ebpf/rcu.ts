// Waiting for RCU. The kernel puts a program on a tcx hook, or takes it off, under the lock of all network devices, and
// waits there for a grace period: 12 ms at HZ=250, in which no other device can change, in any namespace. Expedited it
// waits 0.1 ms. The setting is the machine's, so it is on only while the call lasts.
import { closeSync, constants, openSync, readSync, writeSync } from 'node:fs';

const file = '/sys/kernel/rcu_expedited';
const on = Buffer.from('1');
const off = Buffer.from('0');

/** Runs the call with expedited grace periods, where the machine lets us; whoever has set them is left alone. */
export function expedited<T>(call: () => T): T {
  let fd: number;
  try {
    fd = openSync(file, constants.O_RDWR);
  } catch {
    return call();
  }
  try {
    const before = Buffer.alloc(1);
    const ours = readSync(fd, before, 0, 1, 0) === 1 && before.equals(off);
    if (ours) writeSync(fd, on, 0, 1, 0);
    try {
      return call();
    } finally {
      if (ours) writeSync(fd, off, 0, 1, 0);
    }
  } finally {
    closeSync(fd);
  }
}
