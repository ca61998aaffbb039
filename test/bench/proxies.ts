// The proxies that the router is compared with, each alone on a core, with one worker, an access log and one route.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { accepts } from '../fake/l7.ts';
import { envoyBinary } from '../lab/envoy.ts';

export interface Proxy extends AsyncDisposable {
  readonly port: number;
  /** CPU seconds, user and system, of all its processes so far. */
  cpuSeconds(): number;
}

export interface ProxyInput {
  readonly folder: string;
  readonly port: number;
  readonly upstreamPort: number;
  readonly core: string;
}

/** Installs what is missing, without starting any service. Throws where it can't be had. */
export function needPackages(programs: Readonly<Record<string, string>>, say: (line: string) => void): void {
  const found = (program: string): boolean =>
    ['/usr/bin', '/usr/sbin', '/usr/local/bin', '/usr/local/sbin'].some((folder) => existsSync(join(folder, program)));
  const missing = Object.entries(programs).flatMap(([program, name]) => (found(program) ? [] : [name]));
  if (missing.length === 0) return;
  say(`installing ${missing.join(', ')}`);
  // invoke-rc.d asks this file whether a package may start its service.
  const policy = '/usr/sbin/policy-rc.d';
  const ours = !existsSync(policy);
  if (ours) writeFileSync(policy, '#!/bin/sh\nexit 101\n', { mode: 0o755 });
  try {
    const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
    const apt = (...args: string[]) => spawnSync('apt-get', args, { env, encoding: 'utf8', timeout: 120_000 });
    const install = ['install', '-q', '-y', '--no-install-recommends', ...missing];
    if (apt(...install).status === 0) return;
    apt('update', '-q');
    const { status, stderr } = apt(...install);
    if (status !== 0) throw new Error(`${missing.join(', ')} can't be installed: ${stderr}`);
  } finally {
    if (ours) rmSync(policy);
  }
}

const nginxHead = (folder: string): string => `
daemon off;
worker_processes 1;
pid ${folder}/nginx.pid;
error_log ${folder}/error.log warn;
events { worker_connections 1024; }
`;
const nginxPaths = (folder: string): string =>
  ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => `${name}_temp_path ${folder}/${name};`).join('\n');

/** An upstream that answers "hello" at once. */
export function startUpstream(folder: string, port: number, core: string): Promise<Proxy> {
  const own = join(folder, 'upstream');
  const text = `${nginxHead(own)}
http {
  ${nginxPaths(own)}
  access_log off;
  keepalive_requests 1000000000;
  server { listen 127.0.0.1:${port}; location / { default_type text/plain; return 200 "hello"; } }
}`;
  return startNginx(own, text, port, core);
}

export function startNginxProxy({ folder, port, upstreamPort, core }: ProxyInput): Promise<Proxy> {
  const own = join(folder, 'nginx');
  const text = `${nginxHead(own)}
http {
  ${nginxPaths(own)}
  access_log ${own}/access.log combined buffer=64k flush=1s;
  keepalive_requests 1000000000;
  upstream up { server 127.0.0.1:${upstreamPort}; keepalive 64; keepalive_requests 1000000000; }
  server {
    listen 127.0.0.1:${port};
    location / { proxy_pass http://up; proxy_http_version 1.1; proxy_set_header Connection ""; }
  }
}`;
  return startNginx(own, text, port, core);
}

function startNginx(folder: string, text: string, port: number, core: string): Promise<Proxy> {
  mkdirSync(folder, { recursive: true });
  const file = join(folder, 'nginx.conf');
  // The worker would leave root for a user that can't read the folder.
  writeFileSync(file, `user root;\n${text}`);
  return startOn(core, ['nginx', '-p', folder, '-e', join(folder, 'error.log'), '-c', file], port);
}

/** With a plain static bootstrap, one worker. */
export function startEnvoyProxy({ folder, port, upstreamPort, core }: ProxyInput): Promise<Proxy> {
  const socket = (n: number) => ({ socket_address: { address: '127.0.0.1', port_value: n } });
  const type = (name: string): string => `type.googleapis.com/envoy.extensions.${name}`;
  const manager = {
    '@type': type('filters.network.http_connection_manager.v3.HttpConnectionManager'),
    stat_prefix: 'bench',
    access_log: [
      {
        name: 'file',
        typed_config: { '@type': type('access_loggers.file.v3.FileAccessLog'), path: join(folder, 'envoy-access.log') },
      },
    ],
    route_config: {
      virtual_hosts: [{ name: 'all', domains: ['*'], routes: [{ match: { prefix: '/' }, route: { cluster: 'up' } }] }],
    },
    http_filters: [{ name: 'router', typed_config: { '@type': type('filters.http.router.v3.Router') } }],
  };
  const endpoint = { endpoint: { address: socket(upstreamPort) } };
  const bootstrap = {
    static_resources: {
      listeners: [
        {
          name: 'in',
          address: socket(port),
          filter_chains: [
            { filters: [{ name: 'envoy.filters.network.http_connection_manager', typed_config: manager }] },
          ],
        },
      ],
      clusters: [{ name: 'up', load_assignment: { cluster_name: 'up', endpoints: [{ lb_endpoints: [endpoint] }] } }],
    },
  };
  const file = join(folder, 'envoy.json');
  writeFileSync(file, JSON.stringify(bootstrap));
  const baseId = String(100_000 + (process.pid % 100_000));
  const args = ['-c', file, '--concurrency', '1', '--base-id', baseId, '--drain-time-s', '1', '-l', 'error'];
  return startOn(core, [envoyBinary, ...args], port);
}

/** The in-process router with one worker, in a process of its own so that its time can be told from ours. */
export function startOurs({ folder, port, upstreamPort, core }: ProxyInput): Promise<Proxy> {
  const script = join(import.meta.dirname, 'router.ts');
  const log = join(folder, 'router-access.log');
  return startOn(core, [process.execPath, script, String(port), String(upstreamPort), log], port);
}

/** Starts a command on a core and waits until it accepts. */
async function startOn(core: string, command: readonly string[], port: number): Promise<Proxy> {
  const child = spawn('taskset', ['-c', core, ...command], { stdio: ['ignore', 'ignore', 'pipe'] });
  let errors = '';
  child.stderr.on('data', (data: Buffer) => (errors = (errors + data.toString()).slice(-4000)));
  const pid = child.pid ?? 0;
  const dispose = (): Promise<void> => end(child);
  for (let i = 0; i < 200; i += 1) {
    if (await accepts(port)) return { port, cpuSeconds: () => cpuOf(pid), [Symbol.asyncDispose]: dispose };
    if (child.exitCode !== null) break;
    await sleep(50);
  }
  await dispose();
  throw new Error(`${command.join(' ')}: accepts nothing on port ${port}\n${errors}`);
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), 3000);
  await gone;
  clearTimeout(timer);
}

// USER_HZ, which is 100 on every architecture that Node runs on.
const ticks = 100;

/** The process and its children. proc(5): the fields behind the name are state ppid ...; utime and stime are the 12th
 * and 13th of them. */
function cpuOf(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const own = (Number(fields[11]) + Number(fields[12])) / ticks;
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean);
  return children.reduce((sum, child) => sum + cpuOf(Number(child)), own);
}
