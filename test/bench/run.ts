// The benchmarks: `npm run bench`. Both sides of a ratio are measured in the same run, in turns; what is printed are
// medians. Progress goes to standard error, the table or the JSON to standard output.
//
//   node test/bench/run.ts [--only NAME]... [--rounds N] [--json] [--save]
//
// --rounds is for a look: so few say nothing sure. --save makes the figures of `packet` the baseline that later runs
// are compared with.
import { loadavg } from 'node:os';
import { parseArgs } from 'node:util';
import { leftSince, mark, takeInventory } from '../leftovers.ts';
import { change } from './change.ts';
import { forward } from './forward.ts';
import { guests } from './guests.ts';
import { changes } from './l7/changes.ts';
import { latency } from './l7/latency.ts';
import { grpc, http2 } from './l7/http2.ts';
import { l7 } from './l7/speed.ts';
import { tls } from './l7/tls.ts';
import { idleConnections } from './l7/idle.ts';
import { lab } from './lab.ts';
import { mesh } from './mesh.ts';
import { packet } from './packet.ts';
import { routes } from './routes.ts';
import { type Bench, type Group, type Row, short } from './row.ts';
import { xdp } from './xdp.ts';

const groups: readonly Group[] = [
  forward,
  packet,
  xdp,
  l7,
  tls,
  http2,
  grpc,
  latency,
  changes,
  idleConnections,
  mesh,
  routes,
  change,
  lab,
  guests,
];
const limitMs = 40 * 60_000;
// One process that wants a core the whole time.
const busyLoad = 1;

const legend = "ratio: ours / foil; min and max: of the pairs' ratios, without a foil of the figure itself";

const { values: flags } = parseArgs({
  options: {
    only: { type: 'string', multiple: true },
    rounds: { type: 'string' },
    json: { type: 'boolean', default: false },
    save: { type: 'boolean', default: false },
  },
});

interface Result {
  readonly group: string;
  /** Load average of the last minute when the group began. */
  readonly load: number;
  readonly seconds: number;
  readonly rows: readonly Row[];
  readonly error?: string;
}

async function runGroup(group: Group, bench: Bench): Promise<Result> {
  const [load = 0] = loadavg();
  const busy = load > busyLoad ? ': the machine is busy, take these figures as unquiet' : '';
  bench.say(`${group.name}: ${group.what} (load average ${load.toFixed(2)}${busy})`);
  const begun = performance.now();
  const passed = (): number => (performance.now() - begun) / 1000;
  try {
    const rows = await group.run(bench);
    bench.say(`${group.name}: ${passed().toFixed(0)} s`);
    return { group: group.name, load, seconds: passed(), rows };
  } catch (error) {
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    bench.say(`${group.name} failed: ${text}`);
    return { group: group.name, load, seconds: passed(), rows: [], error: text };
  }
}

function table({ group, load, rows, error }: Result): string {
  const head = ['figure', 'ours', 'foil', 'ratio', 'min', 'max', 'unit', ''];
  const cells = rows.map(({ figure, ours, foil, ratio, min, max, unit, note }) => [
    figure,
    short(ours),
    foil === undefined ? '' : short(foil),
    ratio === undefined ? '' : ratio.toFixed(2),
    ratio === undefined ? short(min) : min.toFixed(2),
    ratio === undefined ? short(max) : max.toFixed(2),
    unit,
    note ?? '',
  ]);
  const widths = head.map((word, i) => Math.max(word.length, ...cells.map((row) => row[i]?.length ?? 0)));
  const pad = (text: string, i: number): string =>
    i >= 1 && i <= 5 ? text.padStart(widths[i] ?? 0) : text.padEnd(widths[i] ?? 0);
  const lines = [head, ...cells].map((row) => row.map(pad).join('  ').trimEnd());
  const title = `${group} (load average ${load.toFixed(2)}${load > busyLoad ? ', busy' : ''})`;
  return [title, ...(error === undefined ? lines : [`failed: ${error.split('\n')[0] ?? ''}`]), ''].join('\n');
}

/** What is still there that this run made. Others may use the machine at the same time: theirs is not counted. */
async function leftBehind(before: ReturnType<typeof takeInventory>, id: string): Promise<readonly string[]> {
  const left = await leftSince(before, id);
  return left.filter((line) => line.startsWith('process:') || line.includes(`-${id}`));
}

async function main(): Promise<void> {
  const unknown = (flags.only ?? []).find((name) => !groups.some((group) => group.name === name));
  if (unknown !== undefined) throw new Error(`no group ${unknown}: ${groups.map((group) => group.name).join(', ')}`);
  const rounds = flags.rounds === undefined ? undefined : Number(flags.rounds);
  if (rounds !== undefined && !(Number.isInteger(rounds) && rounds > 0)) throw new Error('--rounds: 1 or more');
  const id = String(process.pid);
  process.env[mark] = id;
  const before = takeInventory(id);
  const ending = new AbortController();
  const timer = setTimeout(() => ending.abort(new Error(`${limitMs / 60_000} minutes are over`)), limitMs);
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => ending.abort(new Error(signal)));
  const bench: Bench = {
    say: (line) => void process.stderr.write(`${line}\n`),
    signal: ending.signal,
    prefix: `mpt-bench-${id}`,
    save: flags.save,
    ...(rounds !== undefined && { rounds }),
  };
  const results: Result[] = [];
  for (const group of groups) {
    if (flags.only !== undefined && !flags.only.includes(group.name)) continue;
    if (ending.signal.aborted) break;
    results.push(await runGroup(group, bench));
  }
  clearTimeout(timer);
  const left = await leftBehind(before, id);
  for (const line of left) bench.say(`left behind: ${line}`);
  process.stdout.write(
    flags.json
      ? `${JSON.stringify({ at: new Date().toISOString(), results, left }, undefined, 2)}\n`
      : `${legend}\n\n${results.map(table).join('\n')}\n`,
  );
  process.exitCode = left.length > 0 || results.some((result) => result.error !== undefined) ? 1 : 0;
}

await main();
