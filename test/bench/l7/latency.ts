// How late answers are at a rate that all of them can do, from when each request was due: what a proxy adds to the
// upstream, and its tail against the others'.
import { constantRate, type Latency, load } from '../load.ts';
import { type Bench, compared, type Group, interleave, median, type Row, short } from '../row.ts';
import { foils, openField } from './speed.ts';
import { hundred, wrkScript } from './work.ts';

const probeSeconds = 3;
/** Together a minute for each. */
const roundSeconds = 9;
const rounds = 7;

async function latencies(bench: Bench): Promise<readonly Row[]> {
  await using field = await openField(bench, foils(bench), hundred);
  const measure = constantRate(field.folder);
  const script = wrkScript(field.folder, hundred, 'tiny');
  const most: number[] = [];
  for (const [name, proxy] of Object.entries(field.proxies)) {
    if (name === 'ours') continue;
    const { requests, seconds } = await load(proxy.port, probeSeconds, { script, connections: 32 });
    most.push(requests / seconds);
  }
  const rate = Math.round(Math.min(...most) / 2);
  const ports = { direct: field.upstream, ...mapPorts(field.proxies) };
  const got: Record<string, Latency[]> = {};
  const sides = Object.fromEntries(
    Object.entries(ports).map(([name, port]) => [
      name,
      async () => {
        const one = await measure(port, rate, roundSeconds);
        (got[name] ??= []).push(one);
        return one.p99;
      },
    ]),
  );
  await interleave(bench, `p99 at ${rate} requests/s, us`, sides, rounds);
  const of = (name: string, key: keyof Latency): number[] => (got[name] ?? []).map((one) => one[key]);
  const added = (name: string, key: keyof Latency): number[] =>
    of(name, key).map((value, i) => value - (of('direct', key)[i] ?? Number.NaN));
  const note = `${rate} requests/s; upstream itself ${short(median(of('direct', 'p99')))} us`;
  const names = Object.keys(field.proxies).filter((name) => name !== 'ours');
  return [
    ...names.map((name) => ({ ...compared(`p99, against ${name}`, 'us', of('ours', 'p99'), of(name, 'p99')), note })),
    ...(['p50', 'p99'] as const).map((key) => ({
      ...compared(`${key} added, against Envoy`, 'us added', added('ours', key), added('Envoy', key)),
      note,
    })),
  ];
}

function mapPorts(proxies: Readonly<Record<string, { readonly port: number }>>): Record<string, number> {
  return Object.fromEntries(Object.entries(proxies).map(([name, { port }]) => [name, port]));
}

export const latency: Group = {
  name: 'latency',
  what: 'HTTP/1.1 at half of the slowest foil, constant rate, open loop',
  run: latencies,
};
