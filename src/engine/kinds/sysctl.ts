// Kernel settings. A dropped one goes back to the value that we first saw, which is kept on disk.
import { z } from 'zod';
import type { Kernel } from '../../kernel/kernel.ts';
import type { Link } from '../../kernel/netlink.ts';
import { FaultError } from '../faults.ts';
import { jsonOf, readWritten, writeDurably } from '../revision/disk.ts';
import { type Driver, nameOf, type Ref } from '../resource.ts';
import { watchLinks } from './links.ts';
import { asFault } from './mark.ts';

/** The ref's name is the path below /proc/sys: "sysctl/net/ipv4/ip_forward". */
export interface SysctlSpec {
  readonly value: string;
}

export function sysctlDriver(kernel: Kernel, file: string): Driver<SysctlSpec, SysctlSpec> {
  const first = new Map(Object.entries(readWritten(file, jsonOf(shape)) ?? {}));
  const save = (): void => writeDurably(file, JSON.stringify(Object.fromEntries(first)));
  const actual = (ref: Ref): [Ref, SysctlSpec][] => {
    const value = asFault(ref, () => kernel.sysctl.read(nameOf(ref)));
    return value === undefined || !first.has(nameOf(ref)) ? [] : [[ref, { value }]];
  };
  return {
    kind: 'sysctl',
    read: (refs) => {
      const list = refs === 'all' ? [...first.keys()].map((key): Ref => `sysctl/${key}`) : refs;
      return Promise.resolve(new Map(list.flatMap(actual)));
    },
    diff: (spec, now) => (words(spec.value) === words(now.value) ? 'same' : 'update'),
    put: (batch) => {
      const fresh = batch.filter(([ref]) => !first.has(nameOf(ref)));
      for (const [ref] of fresh) {
        const value = asFault(ref, () => kernel.sysctl.read(nameOf(ref)));
        if (value === undefined) throw new FaultError('no-device', ref, 'the kernel has no such setting', true);
        first.set(nameOf(ref), value);
      }
      if (fresh.length > 0) save();
      for (const [ref, spec] of batch) asFault(ref, () => kernel.sysctl.write(nameOf(ref), spec.value));
      return Promise.resolve();
    },
    drop: (refs) => {
      for (const ref of refs) {
        const value = first.get(nameOf(ref));
        const there = asFault(ref, () => kernel.sysctl.read(nameOf(ref))) !== undefined;
        if (value !== undefined && there) asFault(ref, () => kernel.sysctl.write(nameOf(ref), value));
        first.delete(nameOf(ref));
      }
      save();
      return Promise.resolve();
    },
    watch: (dirty) => {
      // A device has settings of its own from when it comes; those of IPv6 come anew with an MTU that carries it.
      const known = new Map(
        kernel
          .netlink()
          .links()
          .map((link) => [link.name, bornOf(link)]),
      );
      return watchLinks(
        kernel.netlink(),
        (name, link) => {
          if (link !== undefined && known.get(name) === bornOf(link)) return;
          if (link === undefined) known.delete(name);
          else known.set(name, bornOf(link));
          for (const key of first.keys()) if (key.includes(`/conf/${name}/`)) dirty(`sysctl/${key}`);
        },
        () => dirty('all'),
      );
    },
  };
}

const bornOf = (link: Link): string => `${link.index} ${link.mtu}`;

/** The kernel separates several values by tabs, people by spaces. */
const words = (value: string): string => value.trim().split(/\s+/).join(' ');

const shape = z.record(z.string(), z.string());
