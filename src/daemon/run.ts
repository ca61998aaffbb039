// `midplane run`: the daemon from start to end.
import { flushCompileCache } from 'node:module';
import { printProblem } from '../config/problem.ts';
import { ProblemsError } from '../engine/boot.ts';
import { FaultError } from '../engine/faults.ts';
import { KernelError } from '../kernel/errno.ts';
import { openLog } from './log.ts';
import { type DaemonInput, openDaemon } from './open.ts';

/** Runs until SIGTERM or SIGINT, or until another daemon has its place; forwarding and guests stay. Ends the process
 * where it can't come up: exit code 1 for a bad document, 2 for a fault. */
export async function runDaemon(input: Omit<DaemonInput, 'log'>): Promise<void> {
  const daemonLog = openLog();
  const { log } = daemonLog;
  try {
    const daemon = await openDaemon({ ...input, log: daemonLog });
    // Kept for the next start, also where this one is killed.
    flushCompileCache();
    const keepAlive = setInterval(() => undefined, 2 ** 30);
    log.info({ revision: daemon.engine.running().number, instance: input.instance }, 'ready');
    const end = async (why: string): Promise<never> => {
      log.info({ why }, 'ending; forwarding and guests stay');
      clearInterval(keepAlive);
      await daemon[Symbol.asyncDispose]();
      process.exit(0);
    };
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => void end(signal));
    void daemon.retired.then(() => end('handed over'));
  } catch (error) {
    if (error instanceof FaultError || error instanceof KernelError) {
      process.stderr.write(`${error.message}\n`);
      process.exit(2);
    }
    if (!(error instanceof ProblemsError)) throw error;
    for (const problem of error.problems) process.stderr.write(`${printProblem(problem)}\n`);
    process.exit(1);
  }
}
