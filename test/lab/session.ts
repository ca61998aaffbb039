// A daemon in this process, for a few steps: run in the switch's namespace by tests that commit. Reads {daemon, steps}
// as JSON from stdin and prints the answers as one JSON line.
import { readFileSync } from 'node:fs';
import { createLog } from '../../src/lib/log.ts';
import { type DaemonInput, openDaemon } from '../../src/daemon.ts';
import { FaultError } from '../../src/engine/faults.ts';

export type Step =
  | { readonly commit: string }
  | { readonly command: string; readonly args: Record<string, unknown> }
  | { readonly waitMs: number };

interface Input {
  readonly daemon: Omit<DaemonInput, 'log'>;
  readonly steps: readonly Step[];
}

const { daemon: input, steps } = JSON.parse(readFileSync(0, 'utf8')) as Input;
const daemon = await openDaemon({ ...input, log: createLog('session', 'silent') });
const { engine } = daemon;
const answers: unknown[] = [];
for (const step of steps) answers.push(await run(step));
await daemon.disposeAsync();
process.stdout.write(`${JSON.stringify(answers)}\n`, () => process.exit(0));

async function run(step: Step): Promise<unknown> {
  if ('waitMs' in step) return new Promise((done) => setTimeout(() => done(null), step.waitMs));
  if ('commit' in step) return engine.commit({ document: step.commit }, { by: 'test' });
  const command = engine.commands.find((one) => one.path === step.command);
  if (command === undefined) return `no command ${step.command}`;
  try {
    const args: unknown = command.args.parse(step.args);
    const data: unknown = await command.run(args, engine.read, AbortSignal.timeout(30_000));
    return { data, text: command.render(data, 100) };
  } catch (error) {
    return error instanceof FaultError ? { fault: error.fault } : { error: String(error) };
  }
}
