// HTTP/2 of clients by prior knowledge, HTTP/1.1 to the upstream: CPU time of a proxy for a request.
import { hostName, hundred, prefix } from './work.ts';
import { load2 } from '../load.ts';
import { needPackages } from '../proxies.ts';
import { type Bench, type Group, interleave, median, type Row, short } from '../row.ts';
import { cheaper, foils, openField } from './speed.ts';

const roundSeconds = 2;
const rounds = 15;

async function run(bench: Bench): Promise<readonly Row[]> {
  needPackages({ h2load: 'nghttp2-client' }, (line) => bench.say(line));
  const { ours, nginx, HAProxy, Envoy } = foils(bench);
  const starts = Object.fromEntries(
    Object.entries({ ours, nginx, HAProxy, Envoy }).flatMap(([name, start]) =>
      start === undefined ? [] : [[name, start]],
    ),
  );
  await using field = await openField(bench, starts, hundred, { http2: true });
  const rps: Record<string, number[]> = {};
  const sides = Object.fromEntries(
    Object.entries(field.proxies).map(([name, proxy]) => [
      name,
      async () => {
        const before = proxy.cpuSeconds();
        const url = `http://127.0.0.1:${proxy.port}${prefix(0)}/items/0/tiny`;
        const { requests, seconds } = await load2(url, roundSeconds, hostName(0));
        (rps[name] ??= []).push(requests / seconds);
        return ((proxy.cpuSeconds() - before) / requests) * 100_000;
      },
    ]),
  );
  for (const side of Object.values(sides)) await side();
  const cpu = await interleave(bench, 'CPU-s per 100k requests, HTTP/2', sides, rounds);
  return Object.keys(sides)
    .filter((name) => name !== 'ours')
    .map((name) => {
      const both = `requests/s ${short(median(rps['ours'] ?? []))} and ${short(median(rps[name] ?? []))}`;
      return cheaper(`HTTP/2 to HTTP/1.1, tiny bodies, against ${name}`, cpu['ours'] ?? [], cpu[name] ?? [], both);
    });
}

export const http2: Group = { name: 'http2', what: 'HTTP/2 of clients, 8 connections of 32 streams, h2load', run };
