// CPU time of a proxy for a request, which has a core to itself; load and upstream share the other, so requests a
// second say what those two leave room for: they are printed, not judged.
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { envoyBinary } from '../../lab/envoy.ts';
import { load, loadCore } from '../load.ts';
import { needPackages, type Proxy } from '../proxies.ts';
import { type Bench, type Group, interleave, median, type Row, short } from '../row.ts';
import { currentNginx } from './builds.ts';
import { interval } from './interval.ts';
import {
  type Spoken,
  type Start,
  type StartUpstream,
  startBodies,
  startEnvoy,
  startHaproxy,
  startNginx,
  startOurs,
  versionOf,
} from './foils.ts';
import { type Body, hundred, type Work, wrkScript } from './work.ts';
import { freePort } from '../../fake/port.ts';

export const proxyCore = '1';
const roundSeconds = 2;
/** Pairs behind each interval. */
const rounds = 15;
export interface Field extends AsyncDisposable {
  readonly folder: string;
  readonly upstream: number;
  readonly proxies: Readonly<Record<string, Proxy>>;
}

/** The foils that are there, with their versions said. */
export function foils(bench: Bench): Record<string, Start> {
  needPackages({ nginx: 'nginx', wrk: 'wrk', haproxy: 'haproxy' }, (line) => bench.say(line));
  const starts: Record<string, Start> = { ours: startOurs, nginx: startNginx('nginx', ['nginx']) };
  const current = currentNginx(bench);
  if (current !== undefined) starts['nginx (current)'] = startNginx('nginx-current', current);
  starts['HAProxy'] = startHaproxy(true);
  starts['HAProxy (nosplice)'] = startHaproxy(false);
  if (existsSync(envoyBinary)) starts['Envoy'] = startEnvoy;
  else bench.say('Envoy is not installed (native/envoy.sh): not compared');
  const versions = [
    ['nginx', '-v'],
    [...(current ?? ['nginx']), '-v'],
    ['haproxy', '-v'],
    [envoyBinary, '--version'],
  ];
  for (const command of versions) bench.say(versionOf(command));
  return starts;
}

/** Starts the upstream and proxies before it. */
export async function openField(
  bench: Bench,
  starts: Readonly<Record<string, Start>>,
  work: Work,
  spoken: Spoken = {},
  startUpstream: StartUpstream = startBodies,
): Promise<Field> {
  await using stack = new AsyncDisposableStack();
  const folder = mkdtempSync(join(tmpdir(), `${bench.prefix}-l7-`));
  stack.defer(() => rmSync(folder, { recursive: true, force: true }));
  const upstream = await freePort();
  stack.use(await startUpstream(folder, upstream, loadCore, spoken));
  const proxies: Record<string, Proxy> = {};
  for (const [name, start] of Object.entries(starts)) {
    const input = { folder, port: await freePort(), upstreamPort: upstream, core: proxyCore, work, ...spoken };
    proxies[name] = stack.use(await start(input));
  }
  const kept = stack.move();
  return { folder, upstream, proxies, [Symbol.asyncDispose]: () => kept.disposeAsync() };
}

/** How many times the CPU of ours a foil takes: the interval's lower bound is what is judged. */
export function cheaper(
  figure: string,
  ours: readonly number[],
  foil: readonly number[],
  more = '',
  what = 'requests',
): Row {
  const times = foil.map((value, i) => value / (ours[i] ?? Number.NaN));
  const { low, high } = interval(times);
  return {
    figure,
    ours: median(ours),
    foil: median(foil),
    ratio: median(times),
    min: low,
    max: high,
    unit: `CPU-s per 100k ${what}; foil / ours, 95%`,
    ...(more === '' ? {} : { note: more }),
  };
}

const sizes: readonly (readonly [Body, number])[] = [
  ['tiny', 32],
  ['10k', 32],
  ['1m', 8],
];

async function speed(bench: Bench): Promise<readonly Row[]> {
  const starts = foils(bench);
  await using field = await openField(bench, starts, hundred);
  const rows: Row[] = [];
  for (const [body, connections] of sizes) {
    const script = wrkScript(field.folder, hundred, body);
    const rps: Record<string, number[]> = {};
    const sides = Object.fromEntries(
      Object.entries(field.proxies).map(([name, proxy]) => [
        name,
        async () => {
          const before = proxy.cpuSeconds();
          const { requests, seconds } = await load(proxy.port, roundSeconds, { script, connections });
          (rps[name] ??= []).push(requests / seconds);
          return ((proxy.cpuSeconds() - before) / requests) * 100_000;
        },
      ]),
    );
    for (const side of Object.values(sides)) await side();
    const cpu = await interleave(bench, `CPU-s per 100k requests, ${body}`, sides, rounds);
    for (const name of Object.keys(sides)) {
      if (name === 'ours') continue;
      const both = `requests/s ${short(median(rps['ours'] ?? []))} and ${short(median(rps[name] ?? []))}`;
      rows.push(cheaper(`HTTP/1.1, ${body} bodies, against ${name}`, cpu['ours'] ?? [], cpu[name] ?? [], both));
    }
  }
  return rows;
}

/** The same requests over few and over many routes. */
async function scale(bench: Bench): Promise<readonly Row[]> {
  needPackages({ nginx: 'nginx', wrk: 'wrk' }, (line) => bench.say(line));
  const works = { few: { hosts: 10, prefixes: 1 }, many: { hosts: 1000, prefixes: 1 } };
  await using few = await openField(bench, { ours: startOurs }, works.few);
  await using many = await openField(bench, { ours: startOurs }, works.many);
  const side = (field: Field, work: Work) => async (): Promise<number> => {
    const proxy = field.proxies['ours']!;
    const script = wrkScript(field.folder, work, 'tiny');
    const before = proxy.cpuSeconds();
    const { requests } = await load(proxy.port, roundSeconds, { script, connections: 32 });
    return ((proxy.cpuSeconds() - before) / requests) * 100_000;
  };
  const sides = { few: side(few, works.few), many: side(many, works.many) };
  for (const one of Object.values(sides)) await one();
  const cpu = await interleave(bench, 'CPU-s per 100k requests', sides, rounds);
  return [cheaper('1,000 routes over 1,000 hosts (ours) against 10 (foil)', cpu.many, cpu.few)];
}

export const l7: Group = {
  name: 'l7',
  what: 'HTTP/1.1 keep-alive, 200 paths over 100 routes, heads of 450 bytes',
  run: async (bench) => [...(await speed(bench)), ...(await scale(bench))],
};
