// A VM as QEMU's command line. Pure: what is on the machine comes in as arguments.
import type { Machine } from './compile.ts';

export type Accel = 'kvm' | 'tcg';

/** What QEMU is called for this machine's processors, and what its boards and consoles are called. */
export interface Board {
  readonly program: string;
  readonly machine: string;
  readonly console: string;
}

/** The board for a processor architecture as Node names it; undefined where we know none. */
export function boardOf(arch: string): Board | undefined {
  if (arch === 'x64') return { program: 'qemu-system-x86_64', machine: 'q35', console: 'ttyS0' };
  if (arch === 'arm64') return { program: 'qemu-system-aarch64', machine: 'virt', console: 'ttyAMA0' };
  return undefined;
}

/** Files and sockets of one VM. */
export interface VmFiles {
  readonly qmp: string;
  readonly console: string;
  readonly consoleLog: string;
  readonly seed: string;
  /** Absent: it has no disk. */
  readonly overlay?: string;
}

/** Options separate by commas; one in a value is doubled. */
const quoted = (value: string): string => value.replaceAll(',', ',,');

const mebibytes = (bytes: number): number => Math.floor(bytes / 2 ** 20);

/** Translated code, MiB. QEMU would take an eighth of the host's memory. */
const translationMiB = 64;

/** Host memory that a VM's process needs at most beside the guest's own, bytes. */
export const overheadBytes = (translationMiB + 192) * 2 ** 20;

function accelArgs(accel: Accel): readonly string[] {
  return accel === 'kvm'
    ? ['-accel', 'kvm', '-cpu', 'host']
    : ['-accel', `tcg,tb-size=${translationMiB}`, '-cpu', 'max'];
}

/** What every QEMU of ours gets: no default devices, no file of settings, no display, no way to other programs. */
function baseArgs(board: Board, accel: Accel): readonly string[] {
  // Not elevateprivileges: the filter would forbid -runas, and there is nothing to regain after it.
  const sandbox = 'on,obsolete=deny,spawn=deny,resourcecontrol=deny';
  return [
    '-machine',
    board.machine,
    ...accelArgs(accel),
    '-nodefaults',
    '-no-user-config',
    '-display',
    'none',
    '-sandbox',
    sandbox,
  ];
}

function socketArgs(name: string, path: string, log?: string): readonly string[] {
  const logged = log === undefined ? '' : `,logfile=${quoted(log)},logappend=on`;
  return ['-chardev', `socket,id=${name},path=${quoted(path)},server=on,wait=off${logged}`];
}

function diskArgs(id: string, file: string, format: 'raw' | 'qcow2', readOnly: boolean): readonly string[] {
  const node = {
    driver: format,
    'node-name': id,
    'read-only': readOnly,
    file: { driver: 'file', filename: file, 'read-only': readOnly },
    ...(readOnly ? {} : { discard: 'unmap' }),
  };
  return ['-blockdev', JSON.stringify(node), '-device', `virtio-blk-pci,drive=${id}`];
}

/** The arguments. `tapFd` is the number by which QEMU inherits the tap. */
export function machineArgs(
  name: string,
  machine: Machine,
  files: VmFiles,
  o: { readonly board: Board; readonly accel: Accel; readonly tapFd: number },
): readonly string[] {
  const { kernel, initrd, cmdline = `console=${o.board.console} quiet` } = machine;
  const mtu = machine.mtu === undefined ? '' : `,host_mtu=${machine.mtu}`;
  return [
    ...baseArgs(o.board, o.accel),
    '-name',
    `guest=${name}`,
    '-uuid',
    machine.uuid,
    '-m',
    String(mebibytes(machine.memory)),
    '-smp',
    String(machine.cpus),
    // What it opens it opens before it gives up root; no instruction of the guest has run by then.
    '-runas',
    `${machine.uid}:${machine.uid}`,
    ...(kernel === undefined ? [] : ['-kernel', kernel, '-append', cmdline]),
    ...(initrd === undefined ? [] : ['-initrd', initrd]),
    '-netdev',
    `tap,id=net0,fd=${o.tapFd}`,
    // No boot ROM: the port is for the guest, not for a network boot.
    '-device',
    `virtio-net-pci,netdev=net0,mac=${machine.mac},romfile=${mtu}`,
    ...(files.overlay === undefined ? [] : diskArgs('disk', files.overlay, 'qcow2', false)),
    ...diskArgs('seed', files.seed, 'raw', true),
    '-device',
    'virtio-rng-pci',
    ...socketArgs('qmp', files.qmp),
    '-mon',
    'chardev=qmp,mode=control',
    ...socketArgs('console', files.console, files.consoleLog),
    '-serial',
    'chardev:console',
  ];
}

/** A trial: the same board and processor, a kernel, and the console on stdout. */
export function trialArgs(board: Board, accel: Accel, kernel: string, initrd: string): readonly string[] {
  const append = `console=${board.console} quiet panic=-1`;
  return [
    ...baseArgs(board, accel),
    '-no-reboot',
    '-m',
    '128',
    '-kernel',
    kernel,
    '-initrd',
    initrd,
    '-append',
    append,
    '-serial',
    'stdio',
  ];
}
