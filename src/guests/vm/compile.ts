// A VM is: its tap, marked, and the machine itself, which starts once its port is up.
import { createHash } from 'node:crypto';
import type { Problem } from '../../config/problem.ts';
import type { Ref, Resource } from '../../engine/resource.ts';
import type { Derived, Look } from '../../engine/slice.ts';
import { checkGuest, deriveGuests, gatewaysOf, macOfGuest, mainAddress } from '../attach.ts';
import type { Guest, Health } from '../schema.ts';
import type { GuestSpec } from '../supervise.ts';
import { imagePath, ownImage, type Vm, type Vms } from './schema.ts';
import { networkConfig, type SeedText } from './seed.ts';

const owner = 'vms';

/** What a running machine is made of: any change of it is a stop and a start. */
export interface Machine {
  readonly kernel?: string;
  readonly initrd?: string;
  readonly cmdline?: string;
  /** Path of the image that its disk is laid over. */
  readonly image?: string;
  /** Bytes; absent: the image's own size. */
  readonly disk?: number;
  readonly cpus: number;
  /** Bytes. */
  readonly memory: number;
  readonly accel: Vm['accel'];
  readonly mac: string;
  readonly mtu?: number;
  readonly uuid: string;
  /** User that the machine's process runs as. */
  readonly uid: number;
  readonly seed: SeedText;
}

export interface VmSpec extends GuestSpec {
  readonly name: string;
  /** "10.0.0.5/24": nobody else may have them. */
  readonly address: readonly string[];
  readonly machine: Machine;
  readonly health?: Health;
}

/** Ref of a VM: "vm/db1". */
export const vmRef = (name: string): Ref => `vm/${name}`;

export function compileVms(vms: Vms, look: Look): readonly Resource[] {
  return Object.entries(vms).flatMap(([name, vm]) => compileVm(name, vm, look));
}

function compileVm(name: string, vm: Vm, look: Look): readonly Resource[] {
  const machine = machineOf(name, vm, look);
  const { mtu } = vm.port;
  const tap = { type: 'tap', owner: machine.uid, ...(mtu === undefined ? {} : { mtu }) };
  const at = mainAddress(vm);
  const spec: VmSpec = {
    name,
    address: vm.address,
    machine,
    restart: vm.restart,
    ...(at === undefined ? {} : { at }),
    ...(vm.health === undefined ? {} : { health: vm.health }),
  };
  const netdev: Ref = `netdev/${name}`;
  return [
    { ref: netdev, owner, spec: tap, needs: [] },
    // The port is up last, with all its policy: no guest starts before that.
    { ref: vmRef(name), owner, spec, needs: [netdev, `admin/${name}`] },
  ];
}

function machineOf(name: string, vm: Vm, look: Look): Machine {
  const own = vm.image === ownImage;
  const kernel = own ? 'vmlinuz' : vm.kernel;
  const initrd = own ? 'initrd' : vm.initrd;
  const { mtu } = vm.port;
  const gateways = gatewaysOf({ ...vm, gateway: vm.gateway }, look);
  const mac = macOfGuest(look.baseMac, name);
  const network = {
    mac,
    address: vm.address,
    gateways,
    dns: vm.dns ?? gateways,
    ...(mtu === undefined ? {} : { mtu }),
  };
  return {
    ...(kernel === undefined ? {} : { kernel: imagePath(kernel) }),
    ...(initrd === undefined ? {} : { initrd: imagePath(initrd) }),
    ...(vm.cmdline === undefined ? {} : { cmdline: vm.cmdline }),
    ...(own || vm.image === undefined ? {} : { image: imagePath(vm.image) }),
    ...(vm.disk === undefined ? {} : { disk: vm.disk }),
    cpus: vm.cpus,
    memory: vm.memory,
    accel: vm.accel,
    mac,
    ...(mtu === undefined ? {} : { mtu }),
    uuid: uuidOf(look.baseMac, name),
    uid: uidOf(look.baseMac, name),
    seed: {
      hostname: vm['cloud-init'].hostname ?? name,
      network: networkConfig(network),
      userData: vm['cloud-init']['user-data'] ?? '#cloud-config\n{}\n',
    },
  };
}

const digest = (baseMac: string, name: string, what: string): Buffer =>
  createHash('sha256').update(`${what} ${baseMac} ${name}`).digest();

/** Below 2^31 and above what people, services, container engines and functions get. */
const firstUid = 2_110_000_000;

/** A user of its own for each VM of a machine: nobody else may open its tap or its files. */
export function uidOf(baseMac: string, name: string): number {
  return firstUid + digest(baseMac, name, 'uid').readUIntBE(0, 3);
}

/** The same for as long as the switch and the name are: guests know their machine by it (RFC 9562, version 8). */
function uuidOf(baseMac: string, name: string): string {
  const bytes = digest(baseMac, name, 'uuid').subarray(0, 16);
  bytes[6] = 0x80 | ((bytes[6] ?? 0) & 0x0f);
  bytes[8] = 0x80 | ((bytes[8] ?? 0) & 0x3f);
  const hex = bytes.toString('hex');
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
}

const asGuest = (vm: Vm): Guest => ({ ...vm, environment: {} });

/** Ports and endpoints of the VMs. A tap has no namespace behind it that frames could be given to. */
export function deriveVms(vms: Vms): Derived {
  return deriveGuests(Object.fromEntries(Object.entries(vms).map(([name, vm]) => [name, asGuest(vm)])), true);
}

export function checkVms(vms: Vms, look: Look): readonly Problem[] {
  return Object.entries(vms).flatMap(([name, vm]) => [
    ...checkGuest(owner, name, asGuest(vm), look),
    ...checkBoot(name, vm, look),
  ]);
}

/** What it starts from must be there, once. */
function checkBoot(name: string, vm: Vm, look: Look): readonly Problem[] {
  const wrong = (key: string, message: string): Problem => look.problem([owner, name, key], message);
  const { image, kernel, initrd, cmdline, disk } = vm;
  if (image === undefined && kernel === undefined) {
    const hint = `image: ${ownImage}`;
    return [look.problem([owner, name], 'has neither an image nor a kernel to start', hint)];
  }
  const problems: Problem[] = [];
  const own = image === ownImage;
  if (own && kernel !== undefined) problems.push(wrong('kernel', `${ownImage} has a kernel of its own`));
  if (kernel === undefined && initrd !== undefined) problems.push(wrong('initrd', 'is of use to a kernel only'));
  if (kernel === undefined && !own && cmdline !== undefined) {
    problems.push(wrong('cmdline', 'is of use to a kernel only'));
  }
  if (disk !== undefined && (own || image === undefined))
    problems.push(wrong('disk', 'there is no image to make it of'));
  return problems;
}
