import { addon } from '../addon.ts';
import { KernelError } from '../errno.ts';
import { inNetns } from '../netns.ts';

/** Offloads of a device, named as ethtool -K names them. */
export interface Offloads {
  readonly tx?: boolean;
  readonly gro?: boolean;
  readonly tso?: boolean;
  readonly gso?: boolean;
  readonly txvlan?: boolean;
  readonly rxvlan?: boolean;
}

// linux/ethtool.h: get and set commands of one feature, and the bits of ETHTOOL_GFLAGS.
const commands = { tx: [0x16, 0x17], tso: [0x1e, 0x1f], gso: [0x23, 0x24], gro: [0x2b, 0x2c] } as const;
const flags = { txvlan: 1 << 7, rxvlan: 1 << 8 } as const;
const ETHTOOL_GFLAGS = 0x25;
const ETHTOOL_SFLAGS = 0x26;

function keys<T extends object>(value: T): (keyof T)[] {
  return Object.keys(value) as (keyof T)[];
}

/** Switches offloads; those not named stay. KernelError ENODEV, or EOPNOTSUPP where the driver has no such switch. */
export function setOffloads(dev: string, offloads: Offloads, netns?: string): void {
  inNetns(netns, () => {
    for (const name of keys(commands)) {
      const on = offloads[name];
      if (on !== undefined) addon().ethtool(dev, commands[name][1], on ? 1 : 0);
    }
    const wanted = keys(flags).filter((name) => offloads[name] !== undefined);
    if (wanted.length === 0) return;
    let bits = addon().ethtool(dev, ETHTOOL_GFLAGS, 0);
    for (const name of wanted) bits = offloads[name] === true ? bits | flags[name] : bits & ~flags[name];
    addon().ethtool(dev, ETHTOOL_SFLAGS, bits >>> 0);
    const now = getOffloads(dev);
    const stuck = wanted.filter((name) => now[name] !== offloads[name]);
    if (stuck.length > 0) throw new KernelError('EOPNOTSUPP', `offloads of ${dev}`, stuck.join(', '));
  });
}

/** How a device's offloads stand. */
export function getOffloads(dev: string, netns?: string): Required<Offloads> {
  return inNetns(netns, () => {
    const bits = addon().ethtool(dev, ETHTOOL_GFLAGS, 0);
    const of = (name: keyof typeof commands): boolean => addon().ethtool(dev, commands[name][0], 0) !== 0;
    return {
      tx: of('tx'),
      gro: of('gro'),
      tso: of('tso'),
      gso: of('gso'),
      txvlan: (bits & flags.txvlan) !== 0,
      rxvlan: (bits & flags.rxvlan) !== 0,
    };
  });
}
