// HTTP/1.1 through a proxy that has a core to itself; load and upstream share the other. What a proxy can do beyond
// that core is not seen here: compare the CPU seconds too.
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { envoyBinary } from '../lab/envoy.ts';
import { freePort } from '../fake/l7.ts';
import { needPackages, type Proxy, startEnvoyProxy, startNginxProxy, startOurs, startUpstream } from './proxies.ts';
import { type Bench, compared, type Group, interleave, type Row } from './row.ts';

const connections = 32;
const roundSeconds = 3;
const loadCore = '0';
const proxyCore = '1';

export const l7: Group = { name: 'l7', what: 'HTTP/1.1 keep-alive through a proxy, wrk', run: runL7 };

async function runL7(bench: Bench): Promise<readonly Row[]> {
  needPackages({ nginx: 'nginx', wrk: 'wrk' }, (line) => bench.say(line));
  await using stack = new AsyncDisposableStack();
  const folder = mkdtempSync(join(tmpdir(), `${bench.prefix}-l7-`));
  stack.defer(() => rmSync(folder, { recursive: true, force: true }));
  const upstreamPort = await freePort();
  stack.use(await startUpstream(folder, upstreamPort, loadCore));
  const input = async () => ({ folder, port: await freePort(), upstreamPort, core: proxyCore });
  const proxies: Record<string, Proxy> = {
    ours: stack.use(await startOurs(await input())),
    nginx: stack.use(await startNginxProxy(await input())),
  };
  if (existsSync(envoyBinary)) proxies['Envoy'] = stack.use(await startEnvoyProxy(await input()));
  else bench.say('Envoy is not installed (native/envoy.sh): not compared');
  const cpu: Record<string, number[]> = {};
  const sides = Object.fromEntries(
    Object.entries(proxies).map(([name, proxy]) => [
      name,
      async () => {
        const before = proxy.cpuSeconds();
        const { requests, seconds } = await load(proxy.port, roundSeconds);
        (cpu[name] ??= []).push(((proxy.cpuSeconds() - before) / requests) * 100_000);
        return requests / seconds;
      },
    ]),
  );
  // The first second of each is its compiler's and its pool's.
  for (const proxy of Object.values(proxies)) await load(proxy.port, 1);
  const rps = await interleave(bench, 'requests/s', sides);
  return Object.keys(proxies)
    .filter((name) => name !== 'ours')
    .flatMap((name) => [
      compared(
        `${connections} connections, tiny body, against ${name}`,
        'requests/s',
        rps['ours'] ?? [],
        rps[name] ?? [],
      ),
      compared(`CPU of the proxy, against ${name}`, 's per 100k requests', cpu['ours'] ?? [], cpu[name] ?? []),
    ]);
}

/** Runs wrk. Throws when an answer was no 2xx or a connection broke. */
async function load(port: number, seconds: number): Promise<{ requests: number; seconds: number }> {
  const args = ['-c', loadCore, 'wrk', '-t1', `-c${connections}`, `-d${seconds}s`, `http://127.0.0.1:${port}/`];
  const child = spawn('taskset', args, { timeout: (seconds + 10) * 1000, killSignal: 'SIGKILL' });
  let text = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (data: Buffer) => (text += data.toString()));
  await new Promise<void>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', () => resolve());
  });
  const [, requests, took] = /(\d+) requests in ([\d.]+)s/.exec(text) ?? [];
  if (requests === undefined || took === undefined || /Non-2xx|Socket errors/.test(text))
    throw new Error(`wrk: ${text}`);
  return { requests: Number(requests), seconds: Number(took) };
}
