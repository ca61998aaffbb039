// How a function's process comes into being: into its cgroup first, then its namespaces, then, without a way back, its
// own uid with no capability, and only then the module (native/launch/function.c).
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { closeSync, constants, mkdirSync, openSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { stripTypeScriptTypes } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Folders } from '../../engine/slice.ts';
import type { FunctionSpec } from './compile.ts';
import { beatMs } from './heartbeat.ts';

const harnessFile = fileURLToPath(new URL('./host.ts', import.meta.url));
/** native/launch/function.c, compiled. */
export const launcher = fileURLToPath(new URL('../../../native/build/function', import.meta.url));
let harness: string | undefined;

/** Log lines are kept up to this size while the daemon lives, and up to eight times of it while it does not. */
export const maxLogBytes = 2 ** 20;

/** Files of a function in the run folder. */
export interface Places {
  readonly record: string;
  readonly log: string;
  readonly heartbeat: string;
  readonly source: string;
}

export const functionsFolder = (run: string): string => join(run, 'functions');

export function placesOf(run: string, name: string): Places {
  const base = join(functionsFolder(run), name);
  return { record: `${base}.json`, log: `${base}.log`, heartbeat: `${base}.heartbeat`, source: base };
}

/** The harness as JavaScript: what every function would do at its start is done once. */
function harnessText(): string {
  harness ??= quietly(() => stripTypeScriptTypes(readFileSync(harnessFile, 'utf8')));
  return harness;
}

/** Without the warning that the call is experimental: the Node that makes it is pinned. */
function quietly<T>(call: () => T): T {
  const before = process.emitWarning.bind(process);
  process.emitWarning = () => undefined;
  try {
    return call();
  } finally {
    process.emitWarning = before;
  }
}

/** Writes module, harness and settings into a folder named by their content; gives that folder. */
export function writeSource(places: Places, spec: FunctionSpec): string {
  const { port, timeoutMs, environment, dns } = spec;
  const files = {
    'host.mjs': harnessText(),
    [moduleName(spec)]: spec.source,
    'settings.json': JSON.stringify({ port, timeoutMs, beatMs, environment }),
    'resolv.conf': dns.map((server) => `nameserver ${server}\n`).join(''),
    // Where the Node that runs them is mounted.
    node: '',
  };
  const hash = createHash('sha256').update(JSON.stringify(files)).digest('hex').slice(0, 32);
  const folder = join(places.source, hash);
  const fresh = `${folder}.new`;
  rmSync(places.source, { recursive: true, force: true });
  mkdirSync(places.source, { recursive: true, mode: 0o700 });
  mkdirSync(fresh, { mode: 0o755 });
  for (const [name, text] of Object.entries(files)) writeFileSync(join(fresh, name), text, { mode: 0o644 });
  renameSync(fresh, folder);
  return folder;
}

const moduleName = (spec: FunctionSpec): string => (spec.typescript ? 'module.mts' : 'module.mjs');

export interface Launch {
  readonly spec: FunctionSpec;
  readonly places: Places;
  /** Where writeSource has put it. */
  readonly source: string;
  /** Of its cgroup. */
  readonly join: readonly string[];
  readonly uid: number;
  readonly folders: Folders;
}

/** The private mount namespace has neither the switch's state nor its sockets: where the run folder was there are only
 * the function's own files, and the Node that runs them, since its own folder may be closed to the function's user. */
function argumentsOf({ spec, folders, source, join: files, uid }: Launch): readonly string[] {
  const base = dirname(folders.run);
  // Buffers and the code of the runtime itself live outside of the heap.
  const heap = Math.max(24, Math.floor((spec.memory / 2 ** 20) * 0.5));
  const shut = [
    files.join(' '),
    `/run/netns/${spec.netns}`,
    folders.state,
    source,
    base,
    process.execPath,
    String(uid),
  ];
  const node = [join(base, 'node'), '--permission', '--allow-net', `--allow-fs-read=${base}/*`];
  const quiet = [`--max-old-space-size=${heap}`, '--disable-warning=ExperimentalWarning'];
  const module = ['host.mjs', moduleName(spec), 'settings.json'].map((name) => join(base, name));
  return [...shut, ...node, ...quiet, ...module];
}

/** Starts it; gives its pid. `ended` is called when it ends while we live. Errors of the steps are in its log. */
export function launch(input: Launch, ended: (why: string) => void): number | undefined {
  const { places } = input;
  const log = openSync(places.log, constants.O_WRONLY | constants.O_CREAT | constants.O_APPEND, 0o600);
  const heartbeat = openSync(places.heartbeat, 'w', 0o600);
  try {
    const stdio = ['ignore', log, log, heartbeat] as const;
    const child = spawn(launcher, argumentsOf(input), { cwd: '/', detached: true, stdio: [...stdio], env: {} });
    child.once('error', (error) => ended(error.message));
    child.once('exit', (code, name) => ended(name === null ? `exit code ${code ?? 0}` : `ended by ${name}`));
    child.unref();
    return child.pid;
  } finally {
    closeSync(log);
    closeSync(heartbeat);
  }
}
