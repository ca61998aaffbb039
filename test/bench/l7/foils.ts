// The router and the proxies that it is compared with. All have the same routes, one worker, keep-alive pools and an
// access log on the same file system, and each has a core to itself.
import { spawnSync } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, openSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { envoyBinary } from '../../lab/envoy.ts';
import type { Pki } from '../../fake/pki.ts';
import { type Proxy, startOn } from '../proxies.ts';
import { type Work, bodies, hostName, prefix } from './work.ts';

/** In PEM; `both` has the chain and the key. */
export interface CertificateFiles {
  readonly chain: string;
  readonly key: string;
  readonly both: string;
}

export function certificate(authority: Pki, name: string, names: string): CertificateFiles {
  const { chain, key, chainFile, keyFile } = authority.issue(name, names);
  const both = join(authority.folder, `${name}.pem`);
  writeFileSync(both, `${chain}\n${key}`, { mode: 0o600 });
  return { chain: chainFile, key: keyFile, both };
}

/** What is spoken on both sides of a proxy; where nothing is said HTTP/1.1 in the clear. */
export interface Spoken {
  readonly http2?: boolean;
  readonly http2Behind?: boolean;
  /** Clients come by TLS. */
  readonly tls?: CertificateFiles;
  /** Besides, clients have to show a certificate of this authority, whose URI the upstream is told; and so do proxy
   * and upstream to each other. */
  readonly mutual?: { readonly ca: string; readonly upstream: CertificateFiles; readonly upstreamUri: string };
}

export interface FoilInput extends Spoken {
  readonly folder: string;
  readonly port: number;
  readonly upstreamPort: number;
  readonly core: string;
  readonly work: Work;
}

export type Start = (o: FoilInput) => Promise<Proxy>;

const each = <T>(n: number, make: (i: number) => T): T[] => Array.from({ length: n }, (_, i) => make(i));

const nginxHead = (folder: string): string => `user root; daemon off; worker_processes 1; pid ${folder}/nginx.pid;
error_log ${folder}/error.log warn; worker_rlimit_nofile 65536;
events { worker_connections 32768; }
`;
const nginxPaths = (folder: string): string =>
  ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => `${name}_temp_path ${folder}/${name};`).join('\n');

type Command = readonly string[];

function nginx(command: Command, folder: string, text: string, core: string, port: number): Promise<Proxy> {
  const file = join(folder, 'nginx.conf');
  writeFileSync(file, text);
  return startOn(core, [...command, '-p', folder, '-e', join(folder, 'error.log'), '-c', file], port);
}

export type StartUpstream = (folder: string, port: number, core: string, spoken?: Spoken) => Promise<Proxy>;

/** The server behind all of them: bodies out of memory. With `mutual` only for whom the proxy says that it knows. */
export const startBodies: StartUpstream = (folder, port, core, { http2Behind, mutual } = {}) => {
  const own = join(folder, 'bodies');
  mkdirSync(own, { recursive: true });
  for (const [name, size] of Object.entries(bodies)) writeFileSync(join(own, name), 'x'.repeat(size));
  const secured =
    mutual === undefined
      ? ''
      : `ssl_certificate ${mutual.upstream.chain}; ssl_certificate_key ${mutual.upstream.key}; ssl_protocols TLSv1.3;
    ssl_verify_client on; ssl_client_certificate ${mutual.ca};
    if ($http_x_forwarded_client_cert !~ "URI=spiffe://") { return 403; }`;
  const listens = `${http2Behind === true ? ' http2' : ''}${mutual === undefined ? '' : ' ssl'}`;
  const text = `${nginxHead(own)}
http {
  ${nginxPaths(own)}
  access_log off; keepalive_requests 1000000000; sendfile on; tcp_nopush on;
  open_file_cache max=100; open_file_cache_valid 1h;
  server {
    listen 127.0.0.1:${port} backlog=4096${listens};
    ${secured}
    location ~ /tiny$ { return 200 "hello"; }
    location ~ /(10k|1m)$ { alias ${own}/$1; }
    location / { return 200 "hello"; }
  }
}`;
  return nginx(['nginx'], own, text, core, port);
};

/** The server of gRPC behind all of them. */
export const startCalls: StartUpstream = (_, port, core) =>
  startOn(core, [process.execPath, join(import.meta.dirname, 'calls.ts'), String(port)], port);

/** Buffers such that a body of 1 MB is not written to a file. */
export const startNginx =
  (name: string, command: Command): Start =>
  ({ folder, port, upstreamPort, core, work, http2, tls }) => {
    const own = join(folder, name);
    mkdirSync(own, { recursive: true });
    const listens = `${http2 === true ? ' http2' : ''}${tls === undefined ? '' : ' ssl'}`;
    const certificate =
      tls === undefined ? '' : `ssl_certificate ${tls.chain}; ssl_certificate_key ${tls.key}; ssl_protocols TLSv1.3;`;
    const locations = each(
      work.prefixes,
      (i) => `location ${prefix(i)}/ { proxy_pass http://up; proxy_http_version 1.1; proxy_set_header Connection ""; }`,
    ).join('\n      ');
    const servers = each(
      work.hosts,
      (i) =>
        `server { listen 127.0.0.1:${port}${i === 0 ? ' backlog=4096' : ''}${listens};\n` +
        `    server_name ${hostName(i)};\n      ${locations} }`,
    ).join('\n  ');
    const text = `${nginxHead(own)}
http {
  ${nginxPaths(own)}
  access_log ${own}/access.log combined buffer=64k flush=1s;
  keepalive_requests 1000000000; tcp_nodelay on; server_names_hash_max_size 8192; server_names_hash_bucket_size 128;
  proxy_buffer_size 16k; proxy_buffers 16 64k; proxy_busy_buffers_size 128k; proxy_max_temp_file_size 0;
  upstream up { server 127.0.0.1:${upstreamPort}; keepalive 64; keepalive_requests 1000000000; }
  ${certificate}
  ${servers}
}`;
    return nginx(command, own, text, core, port);
  };

/** It writes a line a request to its standard output, which is a file here. */
export const startHaproxy =
  (splice: boolean): Start =>
  async ({ folder, port, upstreamPort, core, work, http2, http2Behind, tls }) => {
    const own = join(folder, splice ? 'haproxy-splice' : 'haproxy');
    mkdirSync(own, { recursive: true });
    const secured = tls === undefined ? '' : ` ssl crt ${tls.both} ssl-min-ver TLSv1.3`;
    const listens = `${http2 === true ? ' proto h2' : ''}${secured}`;
    const map = each(work.hosts, (h) => each(work.prefixes, (p) => `${hostName(h)}${prefix(p)}/ up`)).flat();
    writeFileSync(join(own, 'routes.map'), `${map.join('\n')}\n`);
    const file = join(own, 'haproxy.cfg');
    writeFileSync(
      file,
      `global
  nbthread 1
  maxconn 4000
  log stdout format raw local0 info
${splice ? '' : '  nosplice\n'}defaults
  mode http
  log global
  option httplog
  option dontlognull
  option http-keep-alive
${splice ? '  option splice-auto\n' : ''}  http-reuse always
  timeout connect 5s
  timeout client 60s
  timeout server 60s
frontend in
  bind 127.0.0.1:${port} backlog 4096${listens}
  use_backend %[base,map_beg(${own}/routes.map,none)]
backend none
  http-request return status 404
backend up
  server s1 127.0.0.1:${upstreamPort} pool-max-conn 64${http2Behind === true ? ' proto h2' : ''}
`,
    );
    const log = openSync(join(own, 'access.log'), 'a', 0o640);
    try {
      return await startOn(core, ['haproxy', '-db', '-f', file], port, log);
    } finally {
      closeSync(log);
    }
  };

function envoyTls(side: 'Downstream' | 'Upstream', { chain, key }: CertificateFiles, mutual: Spoken['mutual']): object {
  const certificate = { certificate_chain: { filename: chain }, private_key: { filename: key } };
  const type = `type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.${side}TlsContext`;
  const name = { san_type: 'URI', matcher: { exact: mutual?.upstreamUri } };
  const validation = {
    trusted_ca: { filename: mutual?.ca },
    ...(side === 'Upstream' && { match_typed_subject_alt_names: [name] }),
  };
  // Where nothing is said it asks upstreams for TLS 1.2 at most.
  const versions = { tls_minimum_protocol_version: 'TLSv1_3', tls_maximum_protocol_version: 'TLSv1_3' };
  const config = {
    '@type': type,
    common_tls_context: {
      tls_params: versions,
      tls_certificates: [certificate],
      ...(mutual && { validation_context: validation }),
    },
    ...(mutual && side === 'Downstream' && { require_client_certificate: true }),
  };
  return { name: 'envoy.transport_sockets.tls', typed_config: config };
}

/** With a plain static bootstrap, one worker. */
export const startEnvoy: Start = ({ folder, port, upstreamPort, core, work, tls, mutual, http2Behind }) => {
  const socket = (n: number) => ({ socket_address: { address: '127.0.0.1', port_value: n } });
  const type = (name: string): string => `type.googleapis.com/envoy.extensions.${name}`;
  const log = { '@type': type('access_loggers.file.v3.FileAccessLog'), path: join(folder, 'envoy-access.log') };
  const routes = each(work.prefixes, (i) => ({ match: { prefix: `${prefix(i)}/` }, route: { cluster: 'up' } }));
  const hosts = each(work.hosts, (i) => ({ name: hostName(i), domains: [hostName(i)], routes }));
  const manager = {
    '@type': type('filters.network.http_connection_manager.v3.HttpConnectionManager'),
    stat_prefix: 'bench',
    access_log: [{ name: 'file', typed_config: log }],
    route_config: { virtual_hosts: hosts },
    http_filters: [{ name: 'router', typed_config: { '@type': type('filters.http.router.v3.Router') } }],
    ...(mutual && { forward_client_cert_details: 'SANITIZE_SET', set_current_client_cert_details: { uri: true } }),
  };
  const filter = { name: 'envoy.filters.network.http_connection_manager', typed_config: manager };
  const chain = { filters: [filter], ...(tls && { transport_socket: envoyTls('Downstream', tls, mutual) }) };
  const endpoint = { endpoint: { address: socket(upstreamPort) } };
  const http2 = {
    '@type': type('upstreams.http.v3.HttpProtocolOptions'),
    explicit_http_config: { http2_protocol_options: {} },
  };
  const options = { 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': http2 };
  const cluster = {
    name: 'up',
    load_assignment: { cluster_name: 'up', endpoints: [{ lb_endpoints: [endpoint] }] },
    ...(http2Behind === true && { typed_extension_protocol_options: options }),
    ...(tls && mutual && { transport_socket: envoyTls('Upstream', tls, mutual) }),
  };
  const bootstrap = {
    static_resources: {
      listeners: [{ name: 'in', address: socket(port), filter_chains: [chain] }],
      clusters: [cluster],
    },
  };
  const file = join(folder, 'envoy.json');
  writeFileSync(file, JSON.stringify(bootstrap));
  const baseId = String(100_000 + (process.pid % 100_000));
  const args = ['-c', file, '--concurrency', '1', '--base-id', baseId, '--drain-time-s', '1', '-l', 'error'];
  return startOn(core, [envoyBinary, ...args], port);
};

/** The in-process router with one worker, in a process of its own so that its time can be told from ours. */
export const startOurs: Start = (o) => {
  const script = join(import.meta.dirname, 'router.ts');
  return startOn(o.core, [process.execPath, script, JSON.stringify(o)], o.port);
};

/** First line of what a program says of its version. */
export function versionOf(command: readonly string[]): string {
  const [program = '', ...args] = command;
  if (program.includes('/') && !existsSync(program)) return 'not installed';
  const { stdout, stderr } = spawnSync(program, args, { encoding: 'utf8' });
  return `${stdout}${stderr}`.trim().split('\n')[0] ?? '';
}
