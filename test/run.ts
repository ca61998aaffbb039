// The suite: `npm test`, `npm run test:long`. In order: the checks (check.ts), the unit tests, the tests of whole
// switches (test/lab), those of them that time things one after the other, and whether anything was left behind. One
// summary for all of it, node's own, comes last.
//
//   node test/run.ts [--long] [FILE...]      --long also runs what takes minutes (tests see
//                                            MIDPLANE_TEST_LONG=1); FILEs are run alone
import { spawnSync } from 'node:child_process';
import { globSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { compose } from 'node:stream';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';
import { fileURLToPath } from 'node:url';
import { leftSince, mark, takeInventory } from './leftovers.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const flags = process.argv.slice(2);
const chosen = flags
  .filter((flag) => !flag.startsWith('--'))
  .map((file) => fileURLToPath(new URL(file, `file://${root}`)));

interface Group {
  readonly name: string;
  readonly files: readonly string[];
  /** Test files at the same time. */
  readonly concurrency: number;
  /** Of a test. */
  readonly timeoutMs: number;
  /** Of a file: what still runs then is ended, whatever keeps it. */
  readonly fileTimeoutMs: number;
}

const long = flags.includes('--long');
/** After this the whole suite is ended, with what has not run as failures. */
const suiteTimeoutMs = long ? 43_200_000 : 2_700_000;

function find(...patterns: readonly string[]): string[] {
  return globSync(patterns, { cwd: root }).map((file) => `${root}${file}`);
}

/** Tests of whole switches that time what they see, fill the machine, or use the lab's own instance. */
const alone =
  'changes drift flood guests-abuse guests-cgroup2 guests-limits image lab lossless slow soak start takeover'
    .split(' ')
    .map((name) => `test/lab/${name}.test.ts`);

function groups(): readonly Group[] {
  const lab = find('test/lab/**/*.test.ts');
  const single = find(...alone);
  const units = find('src/**/*.test.ts', 'test/**/*.test.ts').filter((file) => !lab.includes(file));
  const wanted = (files: readonly string[]): string[] =>
    files.filter((file) => chosen.length === 0 || chosen.includes(file)).toSorted();
  const whole = { timeoutMs: long ? 7_200_000 : 300_000, fileTimeoutMs: long ? 14_400_000 : 600_000 };
  const all = [
    {
      name: 'unit tests',
      files: wanted(units),
      concurrency: availableParallelism(),
      timeoutMs: long ? 7_200_000 : 240_000,
      fileTimeoutMs: long ? 14_400_000 : 300_000,
    },
    {
      name: 'lab tests',
      files: wanted(lab.filter((file) => !single.includes(file))),
      concurrency: long ? 1 : availableParallelism(),
      ...whole,
    },
    {
      name: 'lab tests, one by one',
      files: wanted(single),
      concurrency: 1,
      ...whole,
    },
  ];
  return chosen.length === 0 ? all : all.filter((group) => group.files.length > 0);
}

type Events = ReturnType<typeof run>;
type Event = Events extends AsyncIterable<infer E> ? E : never;

// The runner's closing lines, which are summed over the groups.
const totals = { tests: 0, suites: 0, pass: 0, fail: 0, cancelled: 0, skipped: 0, todo: 0 };

/** The group's events, without its own closing lines. Afterwards it has failed if it ran nothing or skipped everything.
 * */
async function* runGroup(group: Group, signal: AbortSignal): AsyncGenerator<unknown> {
  const { name, files, concurrency, timeoutMs: timeout, fileTimeoutMs } = group;
  const before = { ...totals };
  if (files.length > 0) {
    const env = {
      ...process.env,
      MIDPLANE_TEST_LONG: long ? '1' : '',
      MIDPLANE_TEST_FILE_TIMEOUT_MS: String(fileTimeoutMs),
    };
    const execArgv = ['--import', `${root}test/watchdog.ts`];
    for await (const event of run({ files: [...files], concurrency, timeout, cwd: root, env, execArgv, signal })) {
      if (!closing(event)) yield event;
    }
  }
  const ran = totals.tests - before.tests;
  if (ran === 0) yield failure(name, 'no test was found');
  else if (ran === totals.skipped - before.skipped) yield failure(name, `all ${ran} tests were skipped`);
}

/** Whether the event belongs to the end of a whole run; its numbers go into the totals. */
function closing(event: Event): boolean {
  if (event.type === 'test:diagnostic' && event.data.nesting === 0) {
    const [, word, count] = /^(tests|suites|pass|fail|cancelled|skipped|todo) (\d+)$/.exec(event.data.message) ?? [];
    if (word !== undefined) totals[word as keyof typeof totals] += Number(count);
    return word !== undefined || event.data.message.startsWith('duration_ms');
  }
  return event.type === 'test:summary' && event.data.file === undefined;
}

/** A failed test of the suite itself. */
function failure(name: string, message: string): unknown {
  totals.tests++;
  totals.fail++;
  const error = new Error(message);
  error.stack = message;
  const data = { name, nesting: 0, testNumber: totals.tests, details: { duration_ms: 0, type: 'test', error } };
  return { type: 'test:fail', data };
}

async function* suite(): AsyncGenerator<unknown> {
  const begun = performance.now();
  const check = spawnSync(process.execPath, [`${root}test/check.ts`], { stdio: ['ignore', 'inherit', 'inherit'] });
  if (check.status !== 0) yield failure('checks', 'a check failed: see above');
  const id = String(process.pid);
  process.env[mark] = id;
  const before = takeInventory(id);
  const signal = AbortSignal.timeout(suiteTimeoutMs);
  for (const group of groups()) yield* runGroup(group, signal);
  const left = await leftSince(before, id);
  if (left.length > 0) yield failure('nothing is left behind', `left behind:\n${left.join('\n')}`);
  for (const [word, count] of Object.entries({ ...totals, duration_ms: performance.now() - begun })) {
    yield { type: 'test:diagnostic', data: { nesting: 0, message: `${word} ${count}`, level: 'info' } };
  }
  process.exitCode = totals.fail + totals.cancelled > 0 ? 1 : 0;
}

compose(suite, new spec()).pipe(process.stdout);
