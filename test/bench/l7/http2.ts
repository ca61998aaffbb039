// HTTP/2 of clients by prior knowledge, HTTP/1.1 to the upstream: CPU time of a proxy for a request.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
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

/** gRPC on both sides: one message each way, and a hundred of 1 KB back. */
async function runCalls(bench: Bench): Promise<readonly Row[]> {
  needPackages({ h2load: 'nghttp2-client' }, (line) => bench.say(line));
  const { ours, Envoy } = foils(bench);
  const starts = { ...(ours && { ours }), ...(Envoy && { Envoy }) };
  await using field = await openField(bench, starts, hundred, { http2: true, calls: true });
  const message = join(field.folder, 'message');
  writeFileSync(message, Buffer.from([0, 0, 0, 0, 5, 104, 101, 108, 108, 111]));
  const more = ['-d', message, '-H', 'content-type: application/grpc', '-H', 'te: trailers'];
  const rows: Row[] = [];
  for (const kind of ['unary', 'stream']) {
    const sides = Object.fromEntries(
      Object.entries(field.proxies).map(([name, proxy]) => [
        name,
        async () => {
          const before = proxy.cpuSeconds();
          const url = `http://127.0.0.1:${proxy.port}${prefix(0)}/Echo/${kind}`;
          const { requests } = await load2(url, roundSeconds, hostName(0), more);
          return ((proxy.cpuSeconds() - before) / requests) * 100_000;
        },
      ]),
    );
    for (const side of Object.values(sides)) await side();
    const cpu = await interleave(bench, `CPU-s per 100k calls of gRPC, ${kind}`, sides, rounds);
    if (cpu['Envoy'] !== undefined) rows.push(cheaper(`gRPC, ${kind}, against Envoy`, cpu['ours'] ?? [], cpu['Envoy']));
  }
  return rows;
}

export const grpc: Group = { name: 'grpc', what: 'gRPC on both sides, 8 connections of 32 streams', run: runCalls };
