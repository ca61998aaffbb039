// A kernel whose n-th change is refused: what changes the world is counted, whichever way it goes.
import type { Bpf, BpfMap } from '../../src/kernel/bpf.ts';
import { KernelError } from '../../src/kernel/errno.ts';
import type { Kernel } from '../../src/kernel/kernel.ts';
import type { Netlink } from '../../src/kernel/netlink.ts';

export interface FaultyKernel extends Kernel {
  /** Changes so far. */
  readonly changes: () => number;
  /** The n-th change from now (1: the next) is refused once and not done; undefined: none. */
  failChange(n: number | undefined): void;
}

/** Wraps a kernel before its forwarding core is opened, so that tables are counted too. */
export function faultyKernel(kernel: Kernel): FaultyKernel {
  let changes = 0;
  let failing: number | undefined;
  const refusal = (): boolean => {
    changes += 1;
    return changes === failing;
  };
  const counted = <T>(what: string, call: () => T): T => {
    if (refusal()) throw new KernelError('EIO', what, 'injected');
    return call();
  };
  const own = netlinkOf(kernel.netlink(), refusal);
  return {
    ...kernel,
    netlink: (name) => (name === undefined ? own : netlinkOf(kernel.netlink(name), refusal)),
    sysctl: {
      read: (key, netns) => kernel.sysctl.read(key, netns),
      write: (key, value, netns) => counted(`sysctl ${key}`, () => kernel.sysctl.write(key, value, netns)),
    },
    bpf: bpfOf(kernel.bpf, counted),
    changes: () => changes,
    failChange: (n) => void (failing = n === undefined ? undefined : changes + n),
  };
}

/** Tables that run.ts files write, not the engine. */
const state = new Set(['port_state', 'local']);

type Counted = <T>(what: string, call: () => T) => T;

function netlinkOf(nl: Netlink, refusal: () => boolean): Netlink {
  return {
    ...nl,
    apply(ops, why) {
      const plain = ops.map(() => !refusal());
      const at = [...ops.keys()].filter((i) => plain[i]);
      const results = nl.apply(
        at.map((i) => ops[i]!),
        (i, text) => why?.(at[i] ?? 0, text),
      );
      return ops.map((_, i) => (plain[i] ? results[at.indexOf(i)] : 'EIO'));
    },
  };
}

function bpfOf(bpf: Bpf, counted: Counted): Bpf {
  return {
    possibleCpus: bpf.possibleCpus,
    load(o) {
      const object = bpf.load(o);
      const maps = new Map([...object.maps].map(([name, map]) => [name, state.has(name) ? map : mapOf(map, counted)]));
      return {
        maps,
        programs: object.programs,
        close: () => object.close(),
        [Symbol.dispose]: () => object.close(),
      };
    },
    createMap: (o) => bpf.createMap(o),
    openMap: (path) => bpf.openMap(path),
    openLink: (path) => bpf.openLink(path),
    unpin: (path) => counted(`unpin ${path}`, () => bpf.unpin(path)),
    pins: (folder) => bpf.pins(folder),
    attach: (program, ifindex, hook, netns) => counted('attach', () => bpf.attach(program, ifindex, hook, netns)),
    query: (ifindex, hook, netns) => bpf.query(ifindex, hook, netns),
    tagOf: (id) => bpf.tagOf(id),
  };
}

/** All of the map, but what changes it is counted. */
function mapOf(map: BpfMap, counted: Counted): BpfMap {
  return new Proxy(map, {
    get(_, key) {
      const value = Reflect.get(map, key) as unknown;
      if (typeof value !== 'function') return value;
      const call = value.bind(map) as (...args: unknown[]) => unknown;
      return key === 'update' || key === 'delete'
        ? (...args: unknown[]) => counted(map.name, () => call(...args))
        : call;
    },
  });
}
