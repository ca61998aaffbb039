// Whether KVM works here. That /dev/kvm opens says little: a nested or paravirtual host may abort, or hang in the
// guest. So it is tried with a boot, once for each kernel, QEMU and processor.
import { spawn } from 'node:child_process';
import { accessSync, constants, mkdirSync, readFileSync, statSync } from 'node:fs';
import { cpus, release } from 'node:os';
import { dirname, join } from 'node:path';
import { writeDurably } from '../../engine/revision/disk.ts';
import { hashOf } from '../../engine/kinds/mark.ts';
import { type Accel, type Board, trialArgs } from './machine.ts';
import { imagePath } from './schema.ts';

export interface Verdict {
  readonly accel: Accel;
  /** Why it is not KVM; '' where it is. */
  readonly why: string;
}

/** A kernel that KVM runs is up within two seconds; one that hangs never is. */
const trialMs = 15_000;

/** What the image's first process says once drivers and all are there. */
const up = /^init: .* is up/m;

// A trial that hangs while the daemon is killed must not run for ever.
const script = 'ulimit -c 0; ulimit -t 60; exec "$@"';

/** Answers from the file in `folder` where the machine is the same as then, else tries. One trial at a time. */
export function accelOf(folder: string, board: Board, program: string): Promise<Verdict> {
  const file = join(folder, 'accel.json');
  const key = hashOf([release(), cpus()[0]?.model, program, statSync(program).mtimeMs]);
  const known = readVerdict(file, key);
  if (known !== undefined) return Promise.resolve(known);
  let trial = trials.get(file);
  if (trial === undefined) {
    trial = tryKvm(board, program).then((verdict) => {
      mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
      writeDurably(file, `${JSON.stringify({ key, ...verdict })}\n`);
      return verdict;
    });
    trials.set(file, trial);
    void trial.catch(() => undefined).finally(() => trials.delete(file));
  }
  return trial;
}

const trials = new Map<string, Promise<Verdict>>();

function readVerdict(file: string, key: string): Verdict | undefined {
  try {
    const { accel, why, key: of } = JSON.parse(readFileSync(file, 'utf8')) as Verdict & { key: string };
    return of === key ? { accel, why } : undefined;
  } catch (error) {
    if (error instanceof SyntaxError || (error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

async function tryKvm(board: Board, program: string): Promise<Verdict> {
  for (const [path, why] of [
    ['/dev/kvm', 'there is no /dev/kvm that may be used'],
    [imagePath('vmlinuz'), 'there is no kernel to try it with'],
  ] as const) {
    try {
      accessSync(path, path === '/dev/kvm' ? constants.R_OK | constants.W_OK : constants.R_OK);
    } catch {
      return { accel: 'tcg', why };
    }
  }
  const why = await trial(program, trialArgs(board, 'kvm', imagePath('vmlinuz'), imagePath('initrd')), trialMs);
  return why === undefined ? { accel: 'kvm', why: '' } : { accel: 'tcg', why };
}

/** Runs a QEMU until the system in it is up. Undefined: it was; else why not. */
export function trial(program: string, args: readonly string[], deadlineMs: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    const child = spawn('/bin/sh', ['-c', script, 'sh', program, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
    let said = '';
    let errors = '';
    const done = (why?: string): void => {
      clearTimeout(timer);
      child.kill('SIGKILL');
      resolve(why);
    };
    const timer = setTimeout(() => done(`the trial boot was not up in ${deadlineMs} ms`), deadlineMs);
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      said = (said + text).slice(-4096);
      if (up.test(said)) done();
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => (errors = (errors + text).slice(-4096)));
    child.once('error', (error) => done(error.message));
    child.once('close', (code, signal) => {
      const last = errors.trimEnd().split('\n').at(-1) ?? '';
      done(`the trial boot ended by ${signal ?? `exit code ${code ?? 0}`}${last === '' ? '' : `: ${last}`}`);
    });
  });
}
