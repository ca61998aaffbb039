// TLS 1.3 that ends at the proxy: a connection for each request (wrk resumes sessions where it can), requests on
// connections that stay, bodies in bulk.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pki } from '../../fake/pki.ts';
import { load } from '../load.ts';
import { type Bench, type Group, interleave, median, type Row, short } from '../row.ts';
import { cheaper, foils, openField } from './speed.ts';
import { hundred, wrkScript } from './work.ts';

const roundSeconds = 2;
const rounds = 15;

function certificate(folder: string): { chain: string; key: string; both: string } {
  using authority = pki();
  const { chain, key } = authority.issue('bench', 'DNS:bench.example');
  const files = { chain: join(folder, 'chain.pem'), key: join(folder, 'key.pem'), both: join(folder, 'both.pem') };
  writeFileSync(files.chain, chain);
  writeFileSync(files.key, key, { mode: 0o600 });
  writeFileSync(files.both, `${chain}\n${key}`, { mode: 0o600 });
  return files;
}

async function run(bench: Bench): Promise<readonly Row[]> {
  await using field = await openField(bench, foils(bench), hundred, { tls: certificate });
  const { folder } = field;
  const ways = [
    {
      what: 'a connection for each request',
      script: wrkScript(folder, hundred, 'tiny', ['Connection: close']),
      connections: 16,
    },
    { what: 'tiny bodies, connections stay', script: wrkScript(folder, hundred, 'tiny'), connections: 32 },
    { what: '1 MB bodies, connections stay', script: wrkScript(folder, hundred, '1m'), connections: 8 },
  ];
  const rows: Row[] = [];
  for (const { what, script, connections } of ways) {
    const rps: Record<string, number[]> = {};
    const sides = Object.fromEntries(
      Object.entries(field.proxies).map(([name, proxy]) => [
        name,
        async () => {
          const before = proxy.cpuSeconds();
          const { requests, seconds } = await load(proxy.port, roundSeconds, { script, connections, tls: true });
          (rps[name] ??= []).push(requests / seconds);
          return ((proxy.cpuSeconds() - before) / requests) * 100_000;
        },
      ]),
    );
    for (const side of Object.values(sides)) await side();
    const cpu = await interleave(bench, `CPU-s per 100k, ${what}`, sides, rounds);
    for (const name of Object.keys(sides)) {
      if (name === 'ours') continue;
      const both = `requests/s ${short(median(rps['ours'] ?? []))} and ${short(median(rps[name] ?? []))}`;
      rows.push(cheaper(`TLS: ${what}, against ${name}`, cpu['ours'] ?? [], cpu[name] ?? [], both));
    }
  }
  return rows;
}

export const tls: Group = { name: 'tls', what: 'TLS 1.3 that ends at the proxy', run };
