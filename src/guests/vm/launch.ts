// How a VM's QEMU comes into being: into its cgroup first, then QEMU, which takes its files and then its own uid. All
// by exec: the pid stays the one that we spawned. It has no pipe to us, so it lives when we do not.
import { spawn } from 'node:child_process';
import { accessSync, closeSync, constants, openSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { FaultError } from '../../engine/faults.ts';
import { asFault } from '../../engine/kinds/mark.ts';
import type { Ref } from '../../engine/resource.ts';
import { openTap } from '../../kernel/net/tap.ts';
import { accelOf } from './accel.ts';
import type { VmSpec } from './compile.ts';
import type { VmPlaces } from './files.ts';
import { type Accel, type Board, boardOf, machineArgs } from './machine.ts';

const script = `for file in $PROCS; do echo $$ > "$file" || exit 1; done
ulimit -c 0
exec setpriv --no-new-privs "$@"`;

const path = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** Board and path of the QEMU for this machine's processors. Fault 'not-supported' where it is not installed. */
export function findQemu(ref: Ref): { board: Board; program: string } {
  const board = boardOf(process.arch);
  if (board === undefined) throw new FaultError('not-supported', ref, `no VMs on ${process.arch}`);
  const program = path
    .split(delimiter)
    .map((folder) => join(folder, board.program))
    .find(isProgram);
  if (program === undefined) throw new FaultError('not-supported', ref, `${board.program} is not installed`);
  return { board, program };
}

function isProgram(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** What the VM will run by. Fault 'not-supported' for `accel: kvm` where it does not work. */
export async function chooseAccel(ref: Ref, spec: VmSpec, folder: string): Promise<Accel> {
  const { accel } = spec.machine;
  if (accel === 'tcg') return accel;
  const { board, program } = findQemu(ref);
  const verdict = await accelOf(folder, board, program);
  if (accel === 'kvm' && verdict.accel !== 'kvm') throw new FaultError('not-supported', ref, `no KVM: ${verdict.why}`);
  return verdict.accel;
}

export interface Launch {
  readonly ref: Ref;
  readonly spec: VmSpec;
  readonly places: VmPlaces;
  readonly accel: Accel;
  /** cgroup.procs files. */
  readonly procs: readonly string[];
}

/** By which QEMU inherits the tap. */
const tapFd = 3;

/** Starts QEMU; gives its pid, undefined where it could not even be spawned. `ended` is called when it ends while we
 * live. What QEMU says is in its log. */
export function launch(input: Launch, ended: (why: string) => void): number | undefined {
  const { ref, spec, places } = input;
  const { board, program } = findQemu(ref);
  const args = machineArgs(spec.name, spec.machine, places, { board, accel: input.accel, tapFd });
  const tap = asFault(ref, () => openTap(spec.name));
  try {
    const log = openSync(places.qemuLog, constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC, 0o600);
    try {
      const child = spawn('/bin/sh', ['-c', script, 'sh', program, ...args], {
        cwd: '/',
        detached: true,
        stdio: ['ignore', log, log, tap],
        env: { PATH: path, PROCS: input.procs.join(' ') },
      });
      child.once('error', (error) => ended(error.message));
      child.once('exit', (code, name) => ended(name === null ? `exit code ${code ?? 0}` : `ended by ${name}`));
      child.unref();
      return child.pid;
    } finally {
      closeSync(log);
    }
  } finally {
    closeSync(tap);
  }
}
