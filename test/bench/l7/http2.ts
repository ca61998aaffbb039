// HTTP/2 of clients by prior knowledge, to upstreams that speak HTTP/1.1, HTTP/2 or gRPC: CPU time of a proxy for a
// request.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { load2 } from '../load.ts';
import { needPackages } from '../proxies.ts';
import { type Bench, type Group, interleave, median, type Row, short } from '../row.ts';
import { type Start, startCalls } from './foils.ts';
import { cheaper, type Field, foils, openField } from './speed.ts';
import { hostName, hundred, prefix } from './work.ts';

const roundSeconds = 2;
const rounds = 15;

/** Those of the foils that are there. */
function sidesOf(bench: Bench, names: readonly string[]): Record<string, Start> {
  needPackages({ h2load: 'nghttp2-client' }, (line) => bench.say(line));
  return Object.fromEntries(Object.entries(foils(bench)).filter(([name]) => name === 'ours' || names.includes(name)));
}

/** Rows of one kind of request by the path behind the first prefix. */
async function rowsOf(bench: Bench, field: Field, what: string, path: string, more: string[] = []): Promise<Row[]> {
  const rps: Record<string, number[]> = {};
  const sides = Object.fromEntries(
    Object.entries(field.proxies).map(([name, proxy]) => [
      name,
      async () => {
        const before = proxy.cpuSeconds();
        const url = `http://127.0.0.1:${proxy.port}${prefix(0)}/${path}`;
        const { requests, seconds } = await load2(url, roundSeconds, hostName(0), more);
        (rps[name] ??= []).push(requests / seconds);
        return ((proxy.cpuSeconds() - before) / requests) * 100_000;
      },
    ]),
  );
  for (const side of Object.values(sides)) await side();
  const cpu = await interleave(bench, `CPU-s per 100k requests, ${what}`, sides, rounds);
  return Object.keys(sides)
    .filter((name) => name !== 'ours')
    .map((name) => {
      const both = `requests/s ${short(median(rps['ours'] ?? []))} and ${short(median(rps[name] ?? []))}`;
      return cheaper(`${what}, against ${name}`, cpu['ours'] ?? [], cpu[name] ?? [], both);
    });
}

async function run(bench: Bench): Promise<readonly Row[]> {
  const sides = sidesOf(bench, ['nginx', 'HAProxy', 'Envoy']);
  const rows: Row[] = [];
  {
    await using field = await openField(bench, sides, hundred, { http2: true });
    rows.push(...(await rowsOf(bench, field, 'HTTP/2 to HTTP/1.1, tiny bodies', 'items/0/tiny')));
  }
  // nginx speaks no HTTP/2 to upstreams.
  delete sides['nginx'];
  await using field = await openField(bench, sides, hundred, { http2: true, http2Behind: true });
  return [...rows, ...(await rowsOf(bench, field, 'HTTP/2 to HTTP/2, tiny bodies', 'items/0/tiny'))];
}

export const http2: Group = { name: 'http2', what: 'HTTP/2 of clients, 8 connections of 32 streams, h2load', run };

/** gRPC on both sides: one message each way, a hundred of 1 KB back, a hundred of 1 KB there. */
async function runCalls(bench: Bench): Promise<readonly Row[]> {
  const sides = sidesOf(bench, ['Envoy']);
  await using field = await openField(bench, sides, hundred, { http2: true, http2Behind: true }, startCalls);
  const fields = ['-H', 'content-type: application/grpc', '-H', 'te: trailers'];
  const call = (what: string, path: string, messages: Buffer): Promise<Row[]> => {
    const file = join(field.folder, what);
    writeFileSync(file, messages);
    return rowsOf(bench, field, `gRPC, ${what}`, `Echo/${path}`, ['-d', file, ...fields]);
  };
  const hello = message('hello');
  const many = Buffer.concat(Array.from({ length: 100 }, () => message('x'.repeat(1024))));
  return [
    ...(await call('unary', 'unary', hello)),
    ...(await call('stream to the client', 'stream', hello)),
    ...(await call('stream to the server', 'unary', many)),
  ];
}

/** As gRPC frames it. */
function message(text: string): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(text.length, 1);
  return Buffer.concat([head, Buffer.from(text)]);
}

export const grpc: Group = { name: 'grpc', what: 'gRPC on both sides, 8 connections of 32 streams', run: runCalls };
