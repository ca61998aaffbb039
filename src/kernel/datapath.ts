// The forwarding core as loaded: its programs and tables, pinned under /sys/fs/bpf/midplane/<instance>.
import { mkdirSync, readdirSync, rmdirSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Bpf, BpfHook, BpfMap, BpfProgram } from './bpf.ts';
import { ageModes, encodeAgeArgs } from './abi.ts';
import { devices } from './ebpf/devices.ts';
import { telling } from './ebpf/writing.ts';

/** N of each pinned map, raised when its key or value changes, so that one changed map never costs the others. What
 * `fdb_count` counts are rows of `fdb`: theirs are raised together. */
export const mapVersions = {
  port: 2,
  port_vlan: 1,
  dev: 1,
  dev_near: 1,
  flood: 1,
  bd: 1,
  xdp_port: 1,
  port_state: 1,
  local: 1,
  fdb: 1,
  fdb_epoch: 1,
  fdb_count: 1,
  counters: 2,
} as const;

export type MapName = Exclude<keyof typeof mapVersions, 'dev_near' | 'fdb_epoch'>;

export interface Datapath extends Disposable {
  /** Folder of the pins. */
  readonly pins: string;
  /** By name; what is written to `dev` and `fdb` is seen by the fast path's shorter ways to them, too. */
  readonly maps: ReadonlyMap<string, BpfMap>;
  map(name: MapName): BpfMap;
  programOf(hook: BpfHook): BpfProgram;
  /** What emit() did with the last frame, one map a hook; written only where `trace` was asked for. */
  readonly trace: { readonly tcx: BpfMap; readonly xdp: BpfMap };
  /** The program that takes old addresses out of the fdb. */
  readonly age: BpfProgram;
}

export interface DatapathInput {
  readonly bpf: Bpf;
  /** Folder of switch.tcx.bpf.o and switch.xdp.bpf.o. */
  readonly objects: string;
  readonly instance: string;
  readonly bpffs?: string;
  /** Records what the program did with the last frame, for tests. */
  readonly trace?: boolean;
}

const noMac = new Uint8Array(6);
const noPorts = Array.from({ length: 16 }, () => 0n);

/** Loads both objects; pinned maps are adopted, with everything in them. */
export function openDatapath(input: DatapathInput): Datapath {
  const pins = join(input.bpffs ?? '/sys/fs/bpf', 'midplane', input.instance);
  mkdirSync(join(pins, 'maps'), { recursive: true });
  const paths = Object.entries(mapVersions).map(([name, n]) => [name, join(pins, 'maps', `${name}@v${n}`)] as const);
  const rodata = { trace_on: Uint8Array.of(input.trace === true ? 1 : 0) };
  const formerPins = former(join(pins, 'maps'));
  const load = (hook: string) => {
    const file = join(input.objects, `switch.${hook}.bpf.o`);
    return input.bpf.load({ file, pins: Object.fromEntries(paths), former: formerPins, rodata });
  };
  const tcx = load('tcx');
  const xdp = load('xdp');
  const program = (object: typeof tcx, name: string): BpfProgram => {
    const found = object.programs.get(name);
    if (found === undefined) throw new Error(`the object has no program ${name}`);
    return found;
  };
  const programs: Record<BpfHook, BpfProgram> = {
    'tcx-ingress': program(tcx, 'switch_ingress'),
    'tcx-egress': program(tcx, 'switch_egress'),
    xdp: program(xdp, 'switch_xdp'),
  };
  const mapOf = (object: typeof tcx, name: string): BpfMap => {
    const map = object.maps.get(name);
    if (map === undefined) throw new Error(`the object has no map ${name}`);
    return map;
  };
  const ageing = program(tcx, 'fdb_age');
  const nothing = encodeAgeArgs({
    mode: ageModes.nothing,
    olderThan: 0,
    bd: 0,
    removed: 0,
    mac: noMac,
    ports: noPorts,
  });
  const written = new Map([
    ['dev', devices(mapOf(tcx, 'dev'), mapOf(tcx, 'dev_near'))],
    // The walk that takes nothing out makes the fast path look again.
    ['fdb', telling(mapOf(tcx, 'fdb'), () => ageing.testRun({ ctx: nothing }))],
  ]);
  dropOldPins(join(pins, 'maps'), new Set(paths.map(([, path]) => path)));
  return {
    pins,
    maps: new Map([...tcx.maps, ...written]),
    map: (name) => written.get(name) ?? mapOf(tcx, name),
    programOf: (hook) => programs[hook],
    trace: { tcx: mapOf(tcx, 'trace'), xdp: mapOf(xdp, 'trace') },
    age: ageing,
    [Symbol.dispose]() {
      tcx.close();
      xdp.close();
    },
  };
}

/** Takes an instance's pins away, and the folder of all instances where it was the last. */
export function removePins(pins: string): void {
  rmSync(pins, { recursive: true, force: true });
  try {
    rmdirSync(dirname(pins));
  } catch (error) {
    if (!['ENOTEMPTY', 'ENOENT'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
  }
}

/** Pins of maps in another version than this program's, by the maps' names. */
function former(folder: string): Record<string, string> {
  const pins = readdirSync(folder).map((pin) => [pin.split('@')[0] ?? '', pin] as const);
  const others = pins.filter(
    ([name, pin]) => name in mapVersions && pin !== `${name}@v${mapVersions[name as MapName]}`,
  );
  return Object.fromEntries(others.map(([name, pin]) => [name, join(folder, pin)]));
}

/** Pins of older versions: their successors hold the state now. */
function dropOldPins(folder: string, current: ReadonlySet<string>): void {
  for (const name of readdirSync(folder)) {
    if (!current.has(join(folder, name))) rmSync(join(folder, name));
  }
}
