// nginx and HAProxy as plain proxies before one upstream, with what they refuse left as they ship it.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { accepts } from '../../fake/l7.ts';
import { freePort } from '../../fake/port.ts';

export interface Foil extends AsyncDisposable {
  readonly port: number;
}

const programs = { nginx: '/usr/sbin/nginx', haproxy: '/usr/sbin/haproxy' } as const;

/** Why a comparison can't run here, or false. */
export const foilsMissing: string | false =
  Object.values(programs)
    .find((file) => !existsSync(file))
    ?.concat(' is not installed: native/setup.sh') ?? false;

export async function startNginx(folder: string, upstreamPort: number): Promise<Foil> {
  const own = join(folder, `nginx-${upstreamPort}`);
  mkdirSync(own);
  const port = await freePort();
  const paths = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => `${name}_temp_path ${own}/${name};`);
  const file = join(own, 'nginx.conf');
  // The worker would leave root for a user that can't read the folder.
  const text = `
user root;
daemon off;
worker_processes 1;
pid ${own}/nginx.pid;
error_log ${own}/error.log warn;
events { worker_connections 512; }
http {
  ${paths.join('\n  ')}
  access_log off;
  upstream up { server 127.0.0.1:${upstreamPort}; keepalive 8; }
  server {
    listen 127.0.0.1:${port};
    location / {
      proxy_pass http://up;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $http_host;
    }
  }
}
`;
  writeFileSync(file, text);
  return start([programs.nginx, '-p', own, '-e', join(own, 'error.log'), '-c', file], port);
}

export async function startHaproxy(folder: string, upstreamPort: number): Promise<Foil> {
  const port = await freePort();
  const text = `
frontend in
  bind 127.0.0.1:${port}
  default_backend up
backend up
  server one 127.0.0.1:${upstreamPort}
`;
  return startHaproxyWith(join(folder, `haproxy-${upstreamPort}.cfg`), text, port);
}

/** HAProxy with sections of one's own; it is there when it accepts on the port of loopback. */
export function startHaproxyWith(file: string, sections: string, port: number): Promise<Foil> {
  const defaults = 'defaults\n  mode http\n  timeout connect 5s\n  timeout client 30s\n  timeout server 30s\n';
  writeFileSync(file, defaults + sections);
  return start([programs.haproxy, '-db', '-f', file], port);
}

async function start([program = '', ...args]: readonly string[], port: number): Promise<Foil> {
  const child = spawn(program, args, { stdio: ['ignore', 'ignore', 'pipe'] });
  const exited = once(child, 'exit');
  let errors = '';
  child.stderr.on('data', (data: Buffer) => (errors = (errors + data.toString()).slice(-2000)));
  const end = async (): Promise<void> => {
    child.kill('SIGTERM');
    const timer = setTimeout(() => child.kill('SIGKILL'), 3000);
    await exited;
    clearTimeout(timer);
  };
  for (let i = 0; i < 200 && child.exitCode === null; i += 1) {
    if (await accepts(port)) return { port, [Symbol.asyncDispose]: end };
    await sleep(50);
  }
  if (child.exitCode === null) await end();
  throw new Error(`${program}: accepts nothing on port ${port}\n${errors}`);
}
