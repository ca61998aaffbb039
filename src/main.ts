// The commands, and what each starts. Nothing is loaded before it is needed, and what was compiled once is kept.
import { enableCompileCache } from 'node:module';
import { join } from 'node:path';
import { parseArgs, type ParseArgsOptionDescriptor } from 'node:util';
import { objects, root, runFolder, stateFolder } from './daemon/places.ts';
import { shedCapabilities } from './daemon/privileges.ts';

// Beside the addon, and as trusted: the default is a folder in /tmp.
enableCompileCache(join(objects, 'compiled'));

const instance = { type: 'string', default: 'main', describe: 'name of the switch on this machine' } as const;
const state = { type: 'string', describe: 'state folder; default: /var/lib/midplane/INSTANCE' } as const;

const runOptions = {
  config: { type: 'string', demandOption: true, describe: 'the document; a commit rewrites it' },
  manifests: { type: 'string', describe: 'folder of Gateway API and Istio manifests' },
  state,
  instance,
  ssh: { type: 'string', describe: 'ADDRESS:PORT of the SSH CLI, instead of ssh.listen in the document' },
  api: { type: 'string', describe: 'ADDRESS:PORT of the HTTP API, instead of api.listen in the document' },
  takeover: { type: 'boolean', describe: 'take the place of the daemon that runs; it ends with exit code 0' },
  drain: {
    type: 'string',
    describe: 'with --takeover: how long the old daemon goes on with its L7 connections, for gateway.drain-timeout',
  },
  trace: { type: 'boolean', hidden: true },
  without: { type: 'string', array: true, hidden: true },
} as const;

interface RunArguments {
  readonly config: string;
  readonly manifests?: string | undefined;
  readonly state?: string | undefined;
  readonly instance: string;
  readonly ssh?: string | undefined;
  readonly api?: string | undefined;
  readonly takeover?: boolean | undefined;
  readonly drain?: string | undefined;
  readonly trace?: boolean | undefined;
  readonly without?: readonly string[] | undefined;
}

/** Arguments that are in order as they stand; undefined: there is something to explain, or to help with. */
function readRun(args: readonly string[]): RunArguments | undefined {
  const options: Record<string, ParseArgsOptionDescriptor> = {};
  for (const [name, option] of Object.entries(runOptions)) {
    options[name] = {
      type: option.type,
      multiple: 'array' in option,
      ...('default' in option ? { default: option.default } : {}),
    };
  }
  try {
    const { values } = parseArgs({ args: [...args], options });
    return typeof values['config'] === 'string' ? (values as unknown as RunArguments) : undefined;
  } catch {
    return undefined;
  }
}

async function run(argv: RunArguments): Promise<void> {
  // The daemon begins anew with fewer capabilities: what is loaded before that is loaded twice.
  const why = shedCapabilities(argv.without ?? []);
  if (why !== undefined) {
    process.stderr.write(`${why}\n`);
    process.exit(2);
  }
  const { runDaemon } = await import('./daemon/run.ts');
  const { config, instance } = argv;
  const optional = Object.fromEntries(
    (['manifests', 'ssh', 'api', 'trace'] as const).flatMap((key) =>
      argv[key] === undefined ? [] : [[key, argv[key]]],
    ),
  );
  const { parseDuration } = await import('./lib/units.ts');
  const { mostDrainMs } = await import('./mesh/manifest/slice.ts');
  const drainMs = argv.drain === undefined ? undefined : parseDuration(argv.drain);
  if (argv.drain !== undefined && (drainMs === undefined || drainMs > mostDrainMs)) {
    process.stderr.write(`--drain ${argv.drain}: give a time of at most a day, such as 30s\n`);
    process.exit(1);
  }
  const takeover = argv.takeover === true ? { takeover: drainMs === undefined ? {} : { drainMs } } : {};
  await runDaemon({ config, state: argv.state ?? stateFolder(instance), instance, ...optional, ...takeover });
}

async function check(argv: { files: readonly string[] }): Promise<never> {
  const { checkFiles } = await import('./daemon/once/check.ts');
  process.exit(await checkFiles(argv.files));
}

async function plan(argv: { file: string; instance: string }): Promise<never> {
  const { planFile } = await import('./daemon/once/ask.ts');
  process.exit(await planFile(argv.file, join(runFolder(argv.instance), 'api.sock')));
}

async function down(argv: { state?: string | undefined; instance: string }): Promise<never> {
  const { takeDown } = await import('./daemon/once/down.ts');
  const { instance } = argv;
  const faults = await takeDown({ state: argv.state ?? stateFolder(instance), instance, objects });
  for (const fault of faults) process.stderr.write(`${fault.what}: ${fault.why}\n`);
  process.exit(faults.length > 0 ? 2 : 0);
}

async function cli(argv: { instance: string; command?: string | undefined }): Promise<never> {
  const { runClient } = await import('./cli/client.ts');
  const socketPath = join(runFolder(argv.instance), 'api.sock');
  const { stdin: input, stdout: output, stderr: errors } = process;
  const command = argv.command === undefined ? {} : { command: argv.command };
  process.exit(await runClient({ socketPath, input, output, errors, ...command }));
}

/** Asks for a password, or takes the first line of standard input, and prints its hash. */
async function hash(): Promise<void> {
  const { createInterface } = await import('node:readline/promises');
  const { hashPassword } = await import('./lib/secret/password.ts');
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

async function lab(argv: { config: string; manifests: string; hosts: string }): Promise<never> {
  const { randomBytes } = await import('node:crypto');
  const { openKernel } = await import('./kernel/open.ts');
  const { runLab } = await import('./lab/lab.ts');
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

async function proxyBootstrap(argv: BootstrapArguments): Promise<void> {
  const { parseEndpoint } = await import('./lib/endpoint.ts');
  const { bootstrap } = await import('./mesh/xds/bootstrap.ts');
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
async function tokenAndHash(): Promise<void> {
  const { newToken } = await import('./lib/secret/token.ts');
  const { token, hash: hashed } = newToken();
  process.stdout.write(`token: ${token}\nhash:  ${hashed}\n`);
}

const takeoverHelp = [
  'With --takeover the new process has the place of the old one, which ends with exit code 0: the main process of a',
  'supervisor changes. Have it start the new one as a unit of its own, and restart on failure only.',
].join(' ');

// A start that needs no words does not load what has them.
const plain = process.argv[2] === 'run' ? readRun(process.argv.slice(3)) : undefined;
if (plain !== undefined) await run(plain);
else {
  const { default: yargs } = await import('yargs');
  const { hideBin } = await import('yargs/helpers');
  await yargs(hideBin(process.argv))
    .scriptName('midplane')
    .command(
      'run',
      'Runs the switch in this network namespace, until SIGTERM',
      (y) => y.options(runOptions).epilogue(takeoverHelp),
      (argv) => run(argv),
    )
    .command(
      'check <files..>',
      'Checks documents and manifests; needs no running switch',
      (y) =>
        y.positional('files', { type: 'string', array: true, demandOption: true, describe: 'documents and manifests' }),
      (argv) => check(argv),
    )
    .command(
      'plan <file>',
      'Says what a commit of the document would do to the running switch',
      (y) =>
        y.positional('file', { type: 'string', demandOption: true, describe: 'the document' }).options({ instance }),
      (argv) => plan(argv),
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
              role: {
                choices: ['gateway', 'sidecar'] as const,
                demandOption: true,
                describe: 'which routes it is told',
              },
              id: { type: 'string', demandOption: true, describe: 'its name in show proxies' },
              xds: {
                type: 'string',
                describe: 'ADDRESS:PORT of the manager; default: the unix socket of this instance',
              },
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
    .fail((message, error: Error | undefined, y) => {
      if (error !== undefined) throw error;
      y.showHelp();
      process.stderr.write(`\n${message}\n`);
      process.exit(1);
    })
    .parseAsync();
}
