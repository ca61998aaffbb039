// A kernel in memory for tests: what it does is checked against the real one by the tests of src/kernel (contract.ts).
import { KernelError } from '../../src/kernel/errno.ts';
import type { Kernel } from '../../src/kernel/kernel.ts';
import type { Link, Netlink, Op } from '../../src/kernel/netlink.ts';
import { FakeBpf } from './bpf.ts';
import { type Device, newDevice, Space } from './network.ts';
import { FakeSysctls } from './sysctl.ts';

/** The Kernel, and what a test does to the world behind its back. */
export interface FakeKernel extends Kernel {
  readonly bpf: FakeBpf;
  /** All ops that were asked for, in order, also the refused ones. */
  readonly ops: readonly { readonly netns: string | undefined; readonly op: Op }[];
  /** The n-th op from now (1: the next) is refused with this errno and not done. */
  failOp(n: number, code: string): void;
  /** A network card appears, as hardware does. */
  addDevice(name: string, o?: { readonly netns?: string; readonly mac?: string }): Link;
  /** A device goes without anybody's asking. */
  removeDevice(name: string, netns?: string): void;
  /** The cable of a network card. */
  setCarrier(name: string, on: boolean, netns?: string): void;
  /** The kernel lost events for all watchers of the namespace. */
  overrun(netns?: string): void;
}

/** A fresh one: the own namespace with `lo`, and no other. */
export function fakeKernel(): FakeKernel {
  const spaces = new Map<string, Space>();
  const byName = (name: string): Space => {
    const space = spaces.get(name);
    if (space === undefined) throw new KernelError('ENOENT', `namespace ${name}`);
    return space;
  };
  const around = { space: byName, deviceGone: (device: Device) => bpf.deviceGone(device) };
  const own = new Space(undefined, around);
  const spaceOf = (name: string | undefined): Space => (name === undefined ? own : byName(name));
  const bpf = new FakeBpf(spaceOf);
  const sysctls = new FakeSysctls();
  const holds = new Map<Space, number>();
  const endUnheld = (space: Space): void => {
    if ((holds.get(space) ?? 0) > 0) return;
    // Its veths go with it, and so do their peers.
    for (const device of space.devices.filter(({ kind }) => kind !== undefined)) {
      if (space.find(device.name) === device) space.apply({ op: 'link-del', name: device.name });
    }
  };
  const ops: { netns: string | undefined; op: Op }[] = [];
  const failures = new Map<number, string>();
  const applyOne = (space: Space, op: Op): void => {
    ops.push({ netns: space.name, op });
    const injected = failures.get(ops.length);
    if (injected !== undefined) throw new KernelError(injected, 'fake kernel', 'injected');
    space.apply(op);
  };
  return {
    netlink: (name) => fakeNetlink(spaceOf(name), applyOne),
    sysctl: {
      read: (key, name) => sysctls.read(spaceOf(name), key),
      write: (key, value, name) => sysctls.write(spaceOf(name), key, value),
    },
    netns: {
      list: () => [...spaces.keys()].toSorted(),
      add(name) {
        if (!/^[^/\0]{1,255}$/.test(name) || name === '.' || name === '..')
          throw new KernelError('EINVAL', `namespace ${name}`);
        if (spaces.has(name)) throw new KernelError('EEXIST', `namespace ${name}`);
        spaces.set(name, new Space(name, around));
      },
      remove(name) {
        const space = byName(name);
        spaces.delete(name);
        endUnheld(space);
      },
      hold(name) {
        const space = byName(name);
        holds.set(space, (holds.get(space) ?? 0) + 1);
        return {
          nameAgain() {
            if (spaces.has(name)) throw new KernelError('EEXIST', `namespace ${name}`);
            spaces.set(name, space);
          },
          [Symbol.dispose]() {
            holds.set(space, (holds.get(space) ?? 0) - 1);
            if (spaces.get(name) !== space) endUnheld(space);
          },
        };
      },
    },
    bpf,
    ops,
    failOp: (n, code) => void failures.set(ops.length + n, code),
    addDevice(name, o = {}) {
      const space = spaceOf(o.netns);
      const device = newDevice(space, name, undefined, o.mac);
      space.place(device);
      return space.linkOf(device);
    },
    removeDevice(name, netns) {
      const space = spaceOf(netns);
      const device = space.device(name);
      for (const each of device.peer === undefined ? [device] : [device, device.peer]) {
        each.space.remove(each);
        bpf.deviceGone(each);
      }
    },
    setCarrier(name, on, netns) {
      const space = spaceOf(netns);
      const device = space.device(name);
      device.cable = on;
      space.emit({ type: 'link', gone: false, link: space.linkOf(device) });
    },
    overrun: (netns) => spaceOf(netns).emit({ type: 'overrun' }),
  };
}

function fakeNetlink(space: Space, applyOne: (space: Space, op: Op) => void): Netlink {
  return {
    links: () => space.devices.toSorted((a, b) => a.index - b.index).map((device) => space.linkOf(device)),
    link(name) {
      const device = space.find(name);
      return device && space.linkOf(device);
    },
    addresses: () => [...space.addresses],
    routes: (filter = {}) =>
      [...space.kernelRoutes(), ...space.routes].filter(
        ({ protocol, table }) =>
          (filter.protocol === undefined || filter.protocol === protocol) &&
          (filter.table === undefined || filter.table === table),
      ),
    rules: () => [...space.rules],
    neighbors: () => [...space.neighbors],
    apply: (list, why) =>
      list.map((op, i) => {
        try {
          applyOne(space, op);
          return undefined;
        } catch (error) {
          if (!(error instanceof KernelError)) throw error;
          why?.(i, error.message);
          return error.code;
        }
      }),
    watch(types, on) {
      const watcher = { types, on };
      space.watchers.add(watcher);
      return { [Symbol.dispose]: () => void space.watchers.delete(watcher) };
    },
    close: () => undefined,
  };
}
