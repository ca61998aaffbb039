// HTTP/1.1 through a proxy that has a core to itself; load and upstream share the other. What a proxy can do beyond
// that core is not seen in requests a second: compare the CPU seconds too.
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { envoyBinary } from '../lab/envoy.ts';
import { freePort } from '../fake/l7.ts';
import { connections, constantRate, type Latency, load, loadCore } from './load.ts';
import { needPackages, type Proxy, startEnvoyProxy, startNginxProxy, startOurs, startUpstream } from './proxies.ts';
import { alone, type Bench, compared, type Group, interleave, median, pairs, type Row, short } from './row.ts';

const roundSeconds = 3;
const proxyCore = '1';

export const l7: Group = { name: 'l7', what: 'HTTP/1.1 keep-alive through a proxy, wrk', run: runL7 };
export const latency: Group = {
  name: 'latency',
  what: 'what a proxy adds at half load, constant rate',
  run: runLatency,
};

interface Field extends AsyncDisposable {
  readonly folder: string;
  /** Of the upstream itself. */
  readonly direct: number;
  readonly proxies: Readonly<Record<string, Proxy>>;
}

type StartProxy = typeof startOurs;

/** Starts an upstream and proxies before it, and gives each its first second: its compiler's and its pool's. */
async function openField(bench: Bench, starts: Readonly<Record<string, StartProxy>>): Promise<Field> {
  needPackages({ nginx: 'nginx', wrk: 'wrk' }, (line) => bench.say(line));
  await using stack = new AsyncDisposableStack();
  const folder = mkdtempSync(join(tmpdir(), `${bench.prefix}-l7-`));
  stack.defer(() => rmSync(folder, { recursive: true, force: true }));
  const direct = await freePort();
  stack.use(await startUpstream(folder, direct, loadCore));
  const proxies: Record<string, Proxy> = {};
  for (const [name, start] of Object.entries(starts)) {
    if (name === 'Envoy' && !existsSync(envoyBinary)) {
      bench.say('Envoy is not installed (native/envoy.sh): not compared');
      continue;
    }
    const input = { folder, port: await freePort(), upstreamPort: direct, core: proxyCore };
    proxies[name] = stack.use(await start(input));
    await load(input.port, 1);
  }
  const kept = stack.move();
  return { folder, direct, proxies, [Symbol.asyncDispose]: () => kept.disposeAsync() };
}

async function runL7(bench: Bench): Promise<readonly Row[]> {
  await using field = await openField(bench, { ours: startOurs, nginx: startNginxProxy, Envoy: startEnvoyProxy });
  const { proxies } = field;
  const cpu: Record<string, number[]> = {};
  const rate = async (port: number): Promise<number> => {
    const { requests, seconds } = await load(port, roundSeconds);
    return requests / seconds;
  };
  const sides: Record<string, () => Promise<number>> = { direct: () => rate(field.direct) };
  for (const [name, proxy] of Object.entries(proxies)) {
    sides[name] = async () => {
      const before = proxy.cpuSeconds();
      const { requests, seconds } = await load(proxy.port, roundSeconds);
      (cpu[name] ??= []).push(((proxy.cpuSeconds() - before) / requests) * 100_000);
      return requests / seconds;
    };
  }
  const rps = await interleave(bench, 'requests/s', sides);
  const ours = { rps: rps['ours'] ?? [], cpu: cpu['ours'] ?? [] };
  const rows = Object.keys(proxies)
    .filter((name) => name !== 'ours')
    .flatMap((name) => [
      compared(`${connections} connections, tiny body, against ${name}`, 'requests/s', ours.rps, rps[name] ?? []),
      compared(`CPU of the proxy, against ${name}`, 's per 100k requests', ours.cpu, cpu[name] ?? []),
    ]);
  return [alone('the upstream itself, without a proxy', 'requests/s', rps['direct'] ?? []), ...rows];
}

const micro = 'us added';

/** At half of what Envoy can do here, the same rate for both. */
async function runLatency(bench: Bench): Promise<readonly Row[]> {
  await using field = await openField(bench, { ours: startOurs, Envoy: startEnvoyProxy });
  const { ours, Envoy } = field.proxies;
  if (ours === undefined || Envoy === undefined) return [];
  const measure = constantRate(field.folder);
  const { requests, seconds } = await load(Envoy.port, roundSeconds);
  const half = Math.round(requests / seconds / 2);
  const ports = { direct: field.direct, ours: ours.port, Envoy: Envoy.port };
  const got: Record<keyof typeof ports, Latency[]> = { direct: [], ours: [], Envoy: [] };
  const p50 = (name: keyof typeof ports) => async (): Promise<number> => {
    const one = await measure(ports[name], half, roundSeconds);
    got[name].push(one);
    return one.p50;
  };
  const sides = { direct: p50('direct'), ours: p50('ours'), Envoy: p50('Envoy') };
  await interleave(bench, `p50 at ${half} requests/s, us`, sides, pairs + 2);
  const added = (name: 'ours' | 'Envoy', key: keyof Latency): number[] =>
    got[name].map((one, i) => one[key] - (got.direct[i]?.[key] ?? Number.NaN));
  const rows = (['p50', 'p99'] as const).map((key) => {
    const direct = median(got.direct.map((one) => one[key]));
    const note = `${half} requests/s; direct ${short(direct)} us`;
    return { ...compared(`${key}, against Envoy`, micro, added('ours', key), added('Envoy', key)), note };
  });
  return rows;
}
