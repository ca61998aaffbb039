// TLS 1.3 that ends at the proxy: handshakes and nothing else, new and resumed, by one client for all (dialer.ts);
// requests on connections that stay, bodies in bulk; and who is who on both sides, with a word of it to the upstream.
import { spawn, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { pki, type Pki } from '../../fake/pki.ts';
import { load, loadCore } from '../load.ts';
import type { Proxy } from '../proxies.ts';
import { type Bench, type Group, interleave, median, type Row, short } from '../row.ts';
import { nextNginx } from './builds.ts';
import type { Dialled, Job } from './dialer.ts';
import { certificate, type Start, startNginx } from './foils.ts';
import { cheaper, type Field, foils, openField } from './speed.ts';
import { type Body, hostName, hundred, prefix, wrkScript } from './work.ts';

const roundSeconds = 1;
const rounds = 9;
const next = 'nginx (OpenSSL 3.5)';

/** A proxy's CPU time for one of what it has done, and how many there were a second. */
interface Measured {
  readonly cpu: number;
  readonly rate: number;
}

type Measure = (proxy: Proxy) => Promise<Measured>;

interface Dialer extends AsyncDisposable {
  measure(proxy: Proxy, job: Omit<Job, 'port' | 'seconds'>): Promise<Measured>;
}

/** Of one job at a time. */
function openDialer(): Dialer {
  const command = ['-c', loadCore, process.execPath, join(import.meta.dirname, 'dialer.ts')];
  const child = spawn('taskset', command, { stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const say = async (text: string): Promise<string> => {
    child.stdin.write(`${text}\n`);
    const line = await lines.next();
    if (line.done === true) throw new Error('the client of TLS has ended');
    return line.value;
  };
  return {
    async measure(proxy, job) {
      await say(JSON.stringify({ ...job, port: proxy.port, seconds: roundSeconds }));
      const before = proxy.cpuSeconds();
      const { count, seconds } = JSON.parse(await say('go')) as Dialled;
      return { cpu: (proxy.cpuSeconds() - before) / count, rate: count / seconds };
    },
    async [Symbol.asyncDispose]() {
      const gone = new Promise((resolve) => child.once('exit', resolve));
      if (child.exitCode === null) {
        child.stdin.end();
        await gone;
      }
    },
  };
}

/** What each side's TLS is. */
function libraries(newer: readonly string[] | undefined): Readonly<Record<string, string>> {
  const of = (program: string, ...args: readonly string[]): string => {
    const { stdout, stderr } = spawnSync(program, args, { encoding: 'utf8' });
    const text = `${stdout}${stderr}`;
    return (
      (/unning (?:with|on) (?:OpenSSL version : )?(OpenSSL [\d.]+)/.exec(text) ?? /(OpenSSL [\d.]+)/.exec(text))?.[1] ??
      ''
    );
  };
  const [loader = '', ...rest] = newer ?? [];
  return {
    ours: `OpenSSL ${process.versions.openssl}`,
    nginx: of('nginx', '-V'),
    ...(newer && { [next]: of(loader, ...rest, '-V') }),
    HAProxy: of('haproxy', '-vv'),
    Envoy: 'BoringSSL',
  };
}

/** Splicing is nothing that TLS can do, and the wheel's nginx is built to be small, with an OpenSSL between the two. */
function sidesOf(bench: Bench, newer: readonly string[] | undefined): Record<string, Start> {
  const { ours, nginx, 'HAProxy (nosplice)': HAProxy, Envoy } = foils(bench);
  const sides = { ours, nginx, [next]: newer && startNginx('nginx-next', newer), HAProxy, Envoy };
  return Object.fromEntries(Object.entries(sides).flatMap(([name, start]) => (start ? [[name, start]] : [])));
}

interface Way {
  readonly what: string;
  readonly unit: string;
  readonly measure: Measure;
  /** Default: all. */
  readonly against?: readonly string[];
}

async function rowsOf(bench: Bench, field: Field, way: Way, library: Readonly<Record<string, string>>): Promise<Row[]> {
  const { what, unit, measure, against } = way;
  const rates: Record<string, number[]> = {};
  const sides = Object.fromEntries(
    Object.entries(field.proxies)
      .filter(([name]) => name === 'ours' || against === undefined || against.includes(name))
      .map(([name, proxy]) => [
        name,
        async () => {
          const { cpu, rate } = await measure(proxy);
          (rates[name] ??= []).push(rate);
          return cpu * 100_000;
        },
      ]),
  );
  if (Object.keys(sides).length < 2) return [];
  for (const side of Object.values(sides)) await side();
  const cpu = await interleave(bench, `CPU-s per 100k ${unit}, ${what}`, sides, rounds);
  const both = (of: (name: string) => string, name: string): string => `${of('ours')} and ${of(name)}`;
  return Object.keys(sides).flatMap((name) => {
    if (name === 'ours') return [];
    const perSecond = both((side) => short(median(rates[side] ?? [])), name);
    const note = `${unit}/s ${perSecond}; ${both((side) => library[side] ?? '', name)}`;
    return [cheaper(`TLS: ${what}, against ${name}`, cpu['ours'] ?? [], cpu[name] ?? [], note, unit)];
  });
}

function handshakes(dialer: Dialer, ca: string): Way[] {
  const unit = 'handshakes';
  const asked = { host: hostName(0), path: `${prefix(0)}/items/0/tiny`, ca, connections: 16 };
  const measure =
    (kind: Job['kind'], group: string): Measure =>
    (proxy) =>
      dialer.measure(proxy, { ...asked, kind, group });
  return [
    { what: 'new handshakes, X25519', unit, measure: measure('new', 'X25519') },
    { what: 'resumed handshakes, X25519', unit, measure: measure('resumed', 'X25519') },
    // What browsers ask for first; only OpenSSL from 3.5 on has it.
    {
      what: 'new handshakes, X25519MLKEM768',
      unit,
      measure: measure('new', 'X25519MLKEM768'),
      against: [next],
    },
  ];
}

function requests(folder: string): Way[] {
  const way = (what: string, body: Body, connections: number): Way => ({
    what,
    unit: 'requests',
    measure: async (proxy) => {
      const before = proxy.cpuSeconds();
      const script = wrkScript(folder, hundred, body);
      const { requests: count, seconds } = await load(proxy.port, roundSeconds, { script, connections, tls: true });
      return { cpu: (proxy.cpuSeconds() - before) / count, rate: count / seconds };
    },
  });
  return [way('tiny bodies, connections stay', 'tiny', 32), way('1 MB bodies, connections stay', '1m', 8)];
}

/** Each side shows a certificate, and the upstream answers only where it is told the client's URI. */
async function mutual(
  bench: Bench,
  sides: Readonly<Record<string, Start>>,
  authority: Pki,
  dialer: Dialer,
): Promise<Row[]> {
  const uri = (name: string): string => `spiffe://bench.example/${name}`;
  const { ours, Envoy } = sides;
  if (ours === undefined || Envoy === undefined) return [];
  const upstream = certificate(authority, 'upstream', `URI:${uri('upstream')}`);
  const gateway = certificate(authority, 'gateway', `DNS:${hostName(0)},URI:${uri('gateway')}`);
  const { chain: cert, key } = authority.issue('client', `URI:${uri('client')}`);
  const spoken = { tls: gateway, mutual: { ca: authority.caFile, upstream, upstreamUri: uri('upstream') } };
  await using field = await openField(bench, { ours, Envoy }, hundred, spoken);
  const asked = { host: hostName(0), path: `${prefix(0)}/items/0/tiny`, ca: authority.ca, cert, key };
  const measure: Measure = (proxy) =>
    dialer.measure(proxy, { ...asked, kind: 'requests', group: 'X25519', connections: 32 });
  const what = 'certificates on both sides, the client named to the upstream';
  return await rowsOf(bench, field, { what, unit: 'requests', measure }, libraries(undefined));
}

async function run(bench: Bench): Promise<readonly Row[]> {
  using authority = pki();
  await using dialer = openDialer();
  const newer = nextNginx(bench);
  const sides = sidesOf(bench, newer);
  const library = libraries(newer);
  const rows: Row[] = [];
  {
    const own = certificate(authority, 'bench', `DNS:${hostName(0)}`);
    await using field = await openField(bench, sides, hundred, { tls: own });
    for (const way of [...handshakes(dialer, authority.ca), ...requests(field.folder)]) {
      rows.push(...(await rowsOf(bench, field, way, library)));
    }
  }
  return [...rows, ...(await mutual(bench, sides, authority, dialer))];
}

export const tls: Group = { name: 'tls', what: 'TLS 1.3 that ends at the proxy', run };
