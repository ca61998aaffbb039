// The same work for every proxy: hosts and path prefixes, the requests that hit them, and the bodies behind them.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** How many routes there are: each of `hosts` hosts has `prefixes` of them. */
export interface Work {
  readonly hosts: number;
  readonly prefixes: number;
}

export const hundred: Work = { hosts: 10, prefixes: 10 };
export const hostName = (i: number): string => `api${i}.bench.example`;
export const prefix = (i: number): string => `/service${i}`;

/** Body sizes by the path's last element. */
export const bodies = { tiny: 5, '10k': 10 * 1024, '1m': 1024 * 1024 } as const;
export type Body = keyof typeof bodies;

/** What a browser sends, so that a head has about 450 bytes. */
const fields = [
  'User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0',
  'Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8',
  'Accept-Language: en-US,en;q=0.5',
  'Accept-Encoding: gzip, deflate, br, zstd',
  'Cookie: session=6f1c0c4e9a6b4f0c8e1d2a3b4c5d6e7f; theme=dark',
  'X-Request-Id: 0f8fad5b-d9cb-469f-a165-70867728950e',
] as const;

/** 200 requests, two paths a route, as a script of wrk. */
export function wrkScript(folder: string, work: Work, body: Body, more: readonly string[] = []): string {
  const requests: string[] = [];
  const count = Math.max(200, work.hosts * work.prefixes);
  for (let i = 0; i < count; i += 1) {
    const path = `${prefix(Math.floor(i / work.hosts) % work.prefixes)}/items/${i % 2}/${body}`;
    requests.push(
      `GET ${path} HTTP/1.1\r\nHost: ${hostName(i % work.hosts)}\r\n${[...fields, ...more].join('\r\n')}\r\n\r\n`,
    );
  }
  const list = requests.map((text) => JSON.stringify(text)).join(',\n');
  const file = join(folder, `${body}-${count}-${more.length}.lua`);
  writeFileSync(
    file,
    `local list = {\n${list}\n}\nlocal at = 0\nfunction request()\n  at = at % #list + 1\n  return list[at]\nend\n`,
  );
  return file;
}
