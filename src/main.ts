// The commands, and what each starts.
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { createInterface } from 'node:readline/promises';
import yargs from 'yargs';
import { hideBin } from 'yargs/helpers';
import { runClient } from './cli/client.ts';
import { printProblem } from './config/problem.ts';
import { checkFiles } from './daemon/check.ts';
import { takeDown } from './daemon/down.ts';
import { openLog } from './daemon/log.ts';
import { openDaemon } from './daemon/open.ts';
import { objects, root, runFolder, stateFolder } from './daemon/places.ts';
import { planFile } from './daemon/ask.ts';
import { ProblemsError } from './engine/boot.ts';
import { openKernel } from './kernel/open.ts';
import { runLab } from './lab/lab.ts';
import { parseEndpoint } from './lib/endpoint.ts';
import { bootstrap } from './mesh/xds/bootstrap.ts';
import { FaultError } from './engine/faults.ts';
import { hashPassword } from './lib/password.ts';
import { newToken } from './lib/token.ts';

interface RunArguments {
  readonly config: string;
  readonly manifests?: string | undefined;
  readonly state?: string | undefined;
  readonly instance: string;
  readonly ssh?: string | undefined;
  readonly api?: string | undefined;
  readonly takeover?: boolean | undefined;
  readonly trace?: boolean | undefined;
}

/** Runs until SIGTERM or SIGINT; forwarding and guests stay. */
async function run(argv: RunArguments): Promise<void> {
  const daemonLog = openLog();
  const { log } = daemonLog;
  const { config, instance } = argv;
  const state = argv.state ?? stateFolder(instance);
  const optional = Object.fromEntries(
    (['manifests', 'ssh', 'api', 'takeover', 'trace'] as const).flatMap((key) =>
      argv[key] === undefined ? [] : [[key, argv[key]]],
    ),
  );
  try {
    const daemon = await openDaemon({ config, state, instance, log: daemonLog, ...optional });
    const keepAlive = setInterval(() => undefined, 2 ** 30);
    log.info({ revision: daemon.engine.running().number, instance }, 'ready');
    const end = async (signal: string): Promise<never> => {
      log.info({ signal }, 'ending; forwarding and guests stay');
      clearInterval(keepAlive);
      await daemon.disposeAsync();
      process.exit(0);
    };
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => void end(signal));
  } catch (error) {
    if (error instanceof FaultError) {
      process.stderr.write(`${error.message}\n`);
      process.exit(2);
    }
    if (!(error instanceof ProblemsError)) throw error;
    for (const problem of error.problems) process.stderr.write(`${printProblem(problem)}\n`);
    process.exit(1);
  }
}

async function down(argv: { state?: string | undefined; instance: string }): Promise<void> {
  const { instance } = argv;
  const faults = await takeDown({ state: argv.state ?? stateFolder(instance), instance, objects });
  for (const fault of faults) process.stderr.write(`${fault.what}: ${fault.why}\n`);
  process.exit(faults.length > 0 ? 2 : 0);
}

async function cli(argv: { instance: string; command?: string | undefined }): Promise<void> {
  const socketPath = join(runFolder(argv.instance), 'api.sock');
  const { stdin: input, stdout: output, stderr: errors } = process;
  const command = argv.command === undefined ? {} : { command: argv.command };
  process.exit(await runClient({ socketPath, input, output, errors, ...command }));
}

/** Asks for a password, or takes the first line of standard input, and prints its hash. */
async function hash(): Promise<void> {
  const lines = createInterface({ input: process.stdin, output: process.stderr, terminal: false });
  if (process.stdin.isTTY) process.stderr.write('Password: ');
  const first = await lines[Symbol.asyncIterator]().next();
  lines.close();
  if (first.done === true || first.value === '') {
    process.stderr.write('a password is needed\n');
    process.exit(1);
  }
  process.stdout.write(`${await hashPassword(first.value)}\n`);
}

async function lab(argv: { config: string; manifests: string; hosts: string }): Promise<void> {
  const ending = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => ending.abort());
  const say = (line: string): void => void process.stdout.write(`${line}\n`);
  const places = { kernel: openKernel(), root, objects };
  process.exit(await runLab({ ...argv, ...places, say, signal: ending.signal, random: (n) => randomBytes(n) }));
}

interface BootstrapArguments {
  readonly role: 'gateway' | 'sidecar';
  readonly id: string;
  readonly xds?: string | undefined;
  readonly instance: string;
}

function proxyBootstrap(argv: BootstrapArguments): void {
  const { role, id } = argv;
  const endpoint = argv.xds === undefined ? undefined : parseEndpoint(argv.xds);
  if (argv.xds !== undefined && endpoint === undefined) {
    process.stderr.write(`${argv.xds} is no ADDRESS:PORT\n`);
    process.exit(1);
  }
  const xds = endpoint ?? { path: join(runFolder(argv.instance), 'xds.sock') };
  process.stdout.write(bootstrap({ role, id, xds }));
}

/** Prints a new token for whoever will use it, and the hash that the document holds. */
function tokenAndHash(): void {
  const { token, hash: hashed } = newToken();
  process.stdout.write(`token: ${token}\nhash:  ${hashed}\n`);
}

const instance = { type: 'string', default: 'main', describe: 'name of the switch on this machine' } as const;
const state = { type: 'string', describe: 'state folder; default: /var/lib/midplane/INSTANCE' } as const;

await yargs(hideBin(process.argv))
  .scriptName('midplane')
  .command(
    'run',
    'Runs the switch in this network namespace, until SIGTERM',
    (y) =>
      y.options({
        config: { type: 'string', demandOption: true, describe: 'the document; a commit rewrites it' },
        manifests: { type: 'string', describe: 'folder of Gateway API and Istio manifests' },
        state,
        instance,
        ssh: { type: 'string', describe: 'ADDRESS:PORT of the SSH CLI, instead of ssh.listen in the document' },
        api: { type: 'string', describe: 'ADDRESS:PORT of the HTTP API, instead of api.listen in the document' },
        takeover: { type: 'boolean', describe: 'end the daemon that runs, and go on in its place' },
        trace: { type: 'boolean', hidden: true },
      }),
    (argv) => run(argv),
  )
  .command(
    'check <files..>',
    'Checks documents and manifests; needs no running switch',
    (y) =>
      y.positional('files', { type: 'string', array: true, demandOption: true, describe: 'documents and manifests' }),
    async (argv) => process.exit(await checkFiles(argv.files)),
  )
  .command(
    'plan <file>',
    'Says what a commit of the document would do to the running switch',
    (y) => y.positional('file', { type: 'string', demandOption: true, describe: 'the document' }).options({ instance }),
    async (argv) => process.exit(await planFile(argv.file, join(runFolder(argv.instance), 'api.sock'))),
  )
  .command(
    'cli',
    'Opens the CLI of the running switch, or runs one command or a script in it',
    (y) =>
      y.options({
        instance,
        command: {
          type: 'string',
          alias: 'c',
          describe: 'run this and end; exit code 0 done, 1 bad input, 2 fault, 3 no answer',
        },
      }),
    (argv) => cli(argv),
  )
  .command(
    'down',
    'Takes away what an ended switch left running: forwarding and guests',
    (y) => y.options({ state, instance }),
    (argv) => down(argv),
  )
  .command(
    'lab',
    'Runs a switch with hosts, guests and an Envoy in namespaces of this machine',
    (y) =>
      y.options({
        config: { type: 'string', default: join(root, 'configs/lab.yaml'), describe: 'the document' },
        manifests: { type: 'string', default: join(root, 'configs/lab/manifests'), describe: 'folder of manifests' },
        hosts: { type: 'string', default: join(root, 'configs/lab/hosts.yaml'), describe: 'the hosts' },
      }),
    (argv) => lab(argv),
  )
  .command('proxy', 'Prepares Envoy proxies that the switch programs', (y) =>
    y
      .command(
        'bootstrap',
        'Prints the bootstrap file of an Envoy',
        (z) =>
          z.options({
            role: { choices: ['gateway', 'sidecar'] as const, demandOption: true, describe: 'which routes it is told' },
            id: { type: 'string', demandOption: true, describe: 'its name in show proxies' },
            xds: { type: 'string', describe: 'ADDRESS:PORT of the manager; default: the unix socket of this instance' },
            instance,
          }),
        (argv) => proxyBootstrap(argv),
      )
      .demandCommand(1),
  )
  .command('hash-password', 'Asks for a password and prints its hash for the document', (y) => y, hash)
  .command('new-token', 'Makes a token of the HTTP API, and its hash for the document', (y) => y, tokenAndHash)
  .demandCommand(1, 'Name a command.')
  .strict()
  .parseAsync();
