// Everything that judges the tree without running it, side by side: `npm run check`. Prints each with its time, the
// output of those that fail, and exits 1 if one did.
import { spawn } from 'node:child_process';
import { delimiter, dirname } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));

interface Check {
  readonly name: string;
  readonly command: readonly [string, ...string[]];
  /** Says what it finds and fails nothing. */
  readonly advisory?: boolean;
}

const checks: readonly Check[] = [
  { name: 'types', command: ['tsc', '--noEmit', '-p', 'tsconfig.json'] },
  { name: 'lint', command: ['oxlint', '--type-aware', '--deny-warnings', '--report-unused-disable-directives'] },
  { name: 'format', command: ['oxfmt', '--check', 'src', 'test'] },
  // Advisory while parts still arrive that others will use.
  { name: 'unused', command: ['knip', '--no-progress', '--no-config-hints'] },
  { name: 'native', command: ['make', '-s', '-C', 'native', 'check'] },
];

interface Outcome {
  readonly ok: boolean;
  readonly output: string;
  readonly seconds: number;
}

/** Runs the command in the checkout, its tools and this very Node first on PATH. */
function run([program, ...args]: Check['command']): Promise<Outcome> {
  const begun = performance.now();
  const path = [dirname(process.execPath), `${root}node_modules/.bin`, process.env['PATH'] ?? ''].join(delimiter);
  const child = spawn(program, args, {
    cwd: root,
    env: { ...process.env, PATH: path },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text) => (output += text));
  return new Promise((resolve) => {
    const end = (ok: boolean): void => resolve({ ok, output, seconds: (performance.now() - begun) / 1000 });
    child.on('error', (error) => {
      output += error.message;
      end(false);
    });
    child.on('close', (code) => end(code === 0));
  });
}

const results = await Promise.all(
  checks.map(async ({ name, command, advisory = false }) => {
    const { ok, output, seconds } = await run(command);
    const word = ok ? 'ok  ' : advisory ? 'note' : 'FAIL';
    const findings = output.split('\n').filter((line) => line.trim() !== '').length;
    console.log(`check ${word} ${name} ${seconds.toFixed(1)} s${!ok && advisory ? ` (${findings} lines)` : ''}`);
    if (!ok && (!advisory || process.argv.includes('--all'))) console.log(output.trimEnd());
    return ok || advisory;
  }),
);
process.exitCode = results.every((good) => good) ? 0 : 1;
