// The commands, and what each starts.
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import yargs from 'yargs';
import { hideBin } from 'yargs/helpers';
import { printProblem } from './config/problem.ts';
import { openDaemon, takeDown } from './daemon.ts';
import { ProblemsError } from './engine/boot.ts';
import { createLog } from './lib/log.ts';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const objects = join(root, 'native', 'build');

async function run(argv: { config: string; manifests?: string; state?: string; instance: string; trace?: boolean }) {
  const log = createLog('midplane', 'info');
  const { config, instance, manifests } = argv;
  const state = argv.state ?? join('/var/lib/midplane', instance);
  try {
    const trace = argv.trace ?? false;
    const daemon = await openDaemon({
      config,
      state,
      instance,
      log,
      objects,
      trace,
      ...(manifests ? { manifests } : {}),
    });
    const keepAlive = setInterval(() => undefined, 2 ** 30);
    log.info({ revision: daemon.engine.running().number, instance }, 'ready');
    const end = (signal: string): void => {
      log.info({ signal }, 'ending; forwarding and guests stay');
      clearInterval(keepAlive);
      daemon.disposeAsync().then(
        () => process.exit(0),
        (error: unknown) => {
          log.fatal({ error }, 'could not end');
          process.exit(2);
        },
      );
    };
    process.once('SIGTERM', () => end('SIGTERM')).once('SIGINT', () => end('SIGINT'));
  } catch (error) {
    if (!(error instanceof ProblemsError)) throw error;
    for (const problem of error.problems) process.stderr.write(`${printProblem(problem)}\n`);
    process.exitCode = 1;
  }
}

async function down(argv: { state?: string | undefined; instance: string }): Promise<void> {
  const state = argv.state ?? join('/var/lib/midplane', argv.instance);
  const faults = await takeDown({ state, instance: argv.instance, objects });
  for (const fault of faults) process.stderr.write(`${fault.what}: ${fault.why}\n`);
  process.exit(faults.length > 0 ? 2 : 0);
}

await yargs(hideBin(process.argv))
  .scriptName('midplane')
  .command(
    'run',
    'Runs the switch in this network namespace',
    (y) =>
      y
        .option('config', { type: 'string', demandOption: true, describe: 'the document' })
        .option('manifests', { type: 'string', describe: 'folder of Gateway API and Istio manifests' })
        .option('state', { type: 'string', describe: 'state folder' })
        .option('instance', { type: 'string', default: 'main', describe: 'name of this switch on the machine' })
        .option('trace', { type: 'boolean', hidden: true }),
    (argv) => run(argv),
  )
  .command(
    'down',
    'Takes forwarding and guests of an instance away',
    (y) =>
      y
        .option('state', { type: 'string', describe: 'state folder' })
        .option('instance', { type: 'string', default: 'main', describe: 'name of the switch on the machine' }),
    (argv) => down(argv),
  )
  .demandCommand(1, 'Name a command.')
  .strict()
  .parseAsync();
