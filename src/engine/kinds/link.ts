// Programs on devices' hooks: pinned links, so that forwarding outlives the daemon, and a new program takes the old
// one's place by link update, between two frames.
import { join } from 'node:path';
import type { BpfHook, BpfLink } from '../../kernel/bpf.ts';
import type { Datapath } from '../../kernel/datapath.ts';
import { KernelError } from '../../kernel/errno.ts';
import type { Kernel } from '../../kernel/kernel.ts';
import { FaultError } from '../faults.ts';
import { type Clock, every } from '../../lib/clock.ts';
import type { Ids } from '../ids.ts';
import { type Driver, nameOf, type Ref } from '../resource.ts';
import { linkBook } from './links.ts';
import { asFault } from './mark.ts';

export interface LinkSpec {
  readonly port: string;
  readonly device: string;
  readonly hook: BpfHook;
}

export interface LinkActual {
  readonly hook: string;
  readonly ifindex: number;
  readonly programId: number;
}

/** "link/swp1@tcx-ingress"; the pin is named by the port's id, since bpffs refuses dots. */
export function linkRef(spec: Pick<LinkSpec, 'port' | 'hook'>): Ref {
  return `link/${spec.port}@${spec.hook}`;
}

export interface LinkDriverInput {
  readonly kernel: Kernel;
  readonly datapath: Datapath;
  readonly ids: Ids;
  readonly maxPorts: number;
  readonly clock: Clock;
}

/** All links are looked at once in this time, some of them in each of so many turns. */
const lookMs = 1000;
const turns = 10;

export function linkDriver(input: LinkDriverInput): Driver<LinkSpec, LinkActual> {
  const { kernel, datapath, ids, maxPorts, clock } = input;
  const folder = join(datapath.pins, 'links');
  const pins = pinsIn(folder, ids);
  const book = linkBook(kernel.netlink());
  /** Names of the devices that were looked up, by index: reading all devices for one is dear. */
  const seen = new Map<number, string>();
  /** Those that were last seen to be in force. */
  const there = new Set<Ref>();
  const read = (ref: Ref): [Ref, LinkActual][] => {
    const pin = pins.ifAny(ref);
    if (pin === undefined) return [];
    return asFault(ref, () => {
      using link = kernel.bpf.openLink(pin);
      const info = link?.info();
      // A severed link (its device is gone) is as good as none.
      if (info === undefined || info.ifindex === 0) return [];
      there.add(ref);
      return [[ref, { hook: nameOf(ref).split('@')[1] ?? '', ifindex: info.ifindex, programId: info.programId }]];
    });
  };
  return {
    kind: 'link',
    read: (refs) => {
      const list = refs === 'all' ? kernel.bpf.pins(folder).map((pin) => pins.refOf(pin)) : refs;
      return Promise.resolve(new Map(list.flatMap(read)));
    },
    diff(spec, actual) {
      const index = book.byName(spec.device)?.index;
      if (index !== actual.ifindex) return 'replace';
      seen.set(index, spec.device);
      return datapath.programOf(spec.hook).id === actual.programId ? 'same' : 'update';
    },
    claims: (spec) => [`hook ${spec.device} ${spec.hook}`],
    held: ({ hook, ifindex }) => [`hook ${seen.get(ifindex) ?? book.byIndex(ifindex)?.name} ${hook}`],
    put: (batch) => {
      for (const [ref, spec] of batch) {
        asFault(ref, () => put(kernel, datapath, pins.of(ref, ids.id('port', spec.port, maxPorts)), ref, spec));
        there.add(ref);
      }
      return Promise.resolve();
    },
    drop: (refs) => {
      for (const ref of refs) {
        const pin = pins.ifAny(ref);
        if (pin !== undefined) asFault(ref, () => kernel.bpf.unpin(pin));
        there.delete(ref);
      }
      return Promise.resolve();
    },
    watch: (dirty) =>
      lookInTurn(there, clock, (ref) => {
        if (inForce(ref, read)) return;
        there.delete(ref);
        dirty(ref);
      }),
  };
}

/** Calls for each of the refs once in lookMs: the kernel tells nobody that a program is taken off its hook. */
function lookInTurn(refs: ReadonlySet<Ref>, clock: Clock, look: (ref: Ref) => void): Disposable {
  let round: Ref[] = [];
  return every(clock, lookMs / turns, () => {
    if (round.length === 0) round = [...refs];
    for (const ref of round.splice(0, Math.ceil(refs.size / turns))) look(ref);
  });
}

function inForce(ref: Ref, read: (ref: Ref) => readonly unknown[]): boolean {
  try {
    return read(ref).length > 0;
  } catch (error) {
    if (error instanceof FaultError) return false;
    throw error;
  }
}

function pinsIn(folder: string, ids: Ids) {
  const of = (ref: Ref, id: number): string => join(folder, `${id}@${nameOf(ref).split('@')[1]}`);
  return {
    of,
    /** Undefined where the port has no id, and so no pin. A pin whose port has lost its name is "#<id>". */
    ifAny(ref: Ref): string | undefined {
      const [port = ''] = nameOf(ref).split('@');
      const stale = /^#(\d+)$/.exec(port)?.[1];
      const id = stale === undefined ? ids.find('port', port) : Number(stale);
      return id === undefined ? undefined : of(ref, id);
    },
    refOf(pin: string): Ref {
      const [id, hook] = pin.split('@');
      return `link/${ids.name('port', Number(id)) ?? `#${id}`}@${hook}`;
    },
  };
}

function put(kernel: Kernel, datapath: Datapath, pin: string, ref: Ref, spec: LinkSpec): void {
  const program = datapath.programOf(spec.hook);
  const device = kernel.netlink().link(spec.device);
  if (device === undefined) throw new FaultError('no-device', ref, `no device ${spec.device}`, true);
  using old = kernel.bpf.openLink(pin);
  if (old !== undefined) {
    if (updated(old, device.index, () => old.update(program))) return;
    kernel.bpf.unpin(pin);
  }
  using link = kernel.bpf.attach(program, device.index, spec.hook);
  link.pin(pin);
}

/** Whether the link of this device took the program; false where it belongs to a device that is gone. */
function updated(link: BpfLink, ifindex: number, update: () => void): boolean {
  if (link.info().ifindex !== ifindex) return false;
  try {
    update();
    return true;
  } catch (error) {
    if (error instanceof KernelError && error.code === 'ENOLINK') return false;
    throw error;
  }
}
