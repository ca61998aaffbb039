// Who a client is by its certificate, as backends are told: the router beside a real Envoy with the same certificates.
import assert from 'node:assert/strict';
import https from 'node:https';
import { after, test } from 'node:test';
import tls from 'node:tls';
import { forward, host, route, snapshot, upstream } from '../../../test/fake/l7.ts';
import type { Upstream } from '../../../test/fake/l7.ts';
import { rig } from '../../../test/fake/l7-rig.ts';
import type { Rig } from '../../../test/fake/l7-rig.ts';
import { pki } from '../../../test/fake/pki.ts';
import type { Issued } from '../../../test/fake/pki.ts';
import { freePort } from '../../../test/fake/port.ts';
import { envoyMissing, startEnvoyOn } from '../../../test/lab/envoy.ts';
import type { Listener } from '../../mesh/snapshot.ts';
import { certificateLine } from './forwarded.ts';

const ours = pki();
after(() => ours[Symbol.dispose]());
const server = ours.issue('server', 'DNS:a.test,URI:spiffe://td/gateway');
const clients: Readonly<Record<string, Issued>> = {
  workload: ours.issue('workload', 'URI:spiffe://td/ns/a/sa/b'),
  both: ours.issue('both', 'DNS:one.test,DNS:two.test,URI:spiffe://td/one,URI:spiffe://td/two'),
  bare: ours.issue('bare', ''),
};

function serve(r: Rig, more: Partial<Listener> = {}): void {
  const base = snapshot(r.port, [], [{ key: 'a' }]);
  const client = { required: false, trust: 'trust' };
  r.apply({
    ...base,
    listeners: base.listeners.map((l) => ({
      ...l,
      protocol: 'HTTPS',
      tls: [{ host: '*', routes: 'all', certificates: ['server'], minimum: 'TLSv1.2', client }],
      ...more,
    })),
    routes: [...base.routes, { name: 'all', hosts: [host(['*'], route('all', forward('a')))] }],
    secrets: [
      { name: 'server', chain: server.chain, key: server.key },
      { name: 'trust', ca: ours.ca },
    ],
  });
}

type Backend = Upstream & { readonly heads: string[] };

/** Keeps the heads that come, in their order. */
async function backend(): Promise<Backend> {
  const heads: string[] = [];
  const up = await upstream((socket, piece) => {
    heads.push(piece.toString('latin1'));
    socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
  });
  return Object.assign(up, { heads });
}

/** What the backend is told, where the client itself says something of its own. */
async function told(up: Backend, port: number, who: Issued | undefined): Promise<string | undefined> {
  up.heads.length = 0;
  await new Promise<void>((resolve, reject) => {
    const own = who && { cert: who.chain, key: who.key };
    const lie = { 'x-forwarded-client-cert': 'By=me;Hash=0;URI=spiffe://td/admin' };
    const o = { port, host: '127.0.0.1', servername: 'a.test', ca: ours.ca, headers: lie, agent: false, ...own };
    https.get(o, (answer) => answer.resume().on('end', resolve)).on('error', reject);
  });
  const now = up.heads.join('');
  const found = [...now.matchAll(/^x-forwarded-client-cert: (.*)\r$/gim)].map(([, value]) => value);
  assert.ok(found.length <= 1, now);
  return found[0];
}

function envoyText(port: number, up: number): string {
  const file = (filename: string) => ({ filename });
  const certificate = { certificate_chain: file(server.chainFile), private_key: file(server.keyFile) };
  const context = {
    '@type': 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext',
    common_tls_context: { tls_certificates: [certificate], validation_context: { trusted_ca: file(ours.caFile) } },
  };
  const at = (port_value: number) => ({ socket_address: { address: '127.0.0.1', port_value } });
  const manager = {
    '@type': 'type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager',
    stat_prefix: 'x',
    forward_client_cert_details: 'SANITIZE_SET',
    set_current_client_cert_details: { subject: true, uri: true, dns: true },
    route_config: {
      virtual_hosts: [{ name: 'x', domains: ['*'], routes: [{ match: { prefix: '/' }, route: { cluster: 'a' } }] }],
    },
    http_filters: [
      {
        name: 'router',
        typed_config: { '@type': 'type.googleapis.com/envoy.extensions.filters.http.router.v3.Router' },
      },
    ],
  };
  const chain = {
    transport_socket: { name: 'tls', typed_config: context },
    filters: [{ name: 'http', typed_config: manager }],
  };
  const endpoints = [{ lb_endpoints: [{ endpoint: { address: at(up) } }] }];
  const cluster = { name: 'a', type: 'STATIC', load_assignment: { cluster_name: 'a', endpoints } };
  return JSON.stringify({
    static_resources: { listeners: [{ name: 'x', address: at(port), filter_chains: [chain] }], clusters: [cluster] },
  });
}

test('x-forwarded-client-cert is what Envoy says, and never what the client says', { skip: envoyMissing }, async () => {
  await using up = await backend();
  using r = await rig();
  serve(r);
  r.endpoints('a', [up.port]);
  const port = await freePort();
  await using envoy = await startEnvoyOn(ours.folder, envoyText(port, up.port), port);
  void envoy;
  const seen: Record<string, string | undefined> = {};
  for (const [name, who] of Object.entries(clients)) {
    seen[name] = await told(up, r.port, who);
    assert.equal(seen[name], await told(up, port, who), name);
  }
  assert.equal(await told(up, r.port, undefined), undefined, 'who shows no certificate');
  assert.equal(await told(up, port, undefined), undefined);
  assert.match(
    seen['workload'] ?? '',
    /^By=spiffe:\/\/td\/gateway;Hash=[0-9a-f]{64};Subject="CN=workload";URI=spiffe:\/\/td\/ns\/a\/sa\/b$/,
  );
  assert.match(seen['bare'] ?? '', /;URI=$/);
});

test('a resumed session is the same client; a listener says how much backends are told, and may say nothing', async () => {
  await using up = await backend();
  using r = await rig();
  serve(r, { forwardCertificate: ['DNS'] });
  r.endpoints('a', [up.port]);
  assert.match((await told(up, r.port, clients['both'])) ?? '', /^By=[^;]*;Hash=[^;]*;DNS=one\.test;DNS=two\.test$/);
  serve(r, { forwardCertificate: 'none' });
  assert.equal(await told(up, r.port, clients['both']), undefined);
  serve(r);
  const own = { cert: clients['workload']!.chain, key: clients['workload']!.key };
  const o = { port: r.port, host: '127.0.0.1', servername: 'a.test', ca: ours.ca, ...own };
  const ask = (session?: Buffer): Promise<Buffer> =>
    new Promise((resolve, reject) => {
      const socket = tls.connect({ ...o, ...(session && { session }) });
      let ticket: Buffer | undefined;
      socket.on('error', reject);
      socket.on('session', (s: Buffer) => (ticket = s));
      socket.on('data', () => socket.end());
      socket.on('close', () => resolve(ticket ?? Buffer.alloc(0)));
      socket.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
    });
  up.heads.length = 0;
  await ask(await ask());
  assert.equal(r.engine.stats().tlsResumed, 1);
  const lines = up.heads.join('').match(/^x-forwarded-client-cert: .*URI=spiffe:\/\/td\/ns\/a\/sa\/b\r$/gm) ?? [];
  assert.equal(lines.length, 2);
  assert.equal(lines[0], lines[1]);
});

test('no name of a certificate ends its value, its element or the field', () => {
  const of = (uri: string) => ({ hash: 'ab', subject: 'CN=x', uri: [uri], dns: [], by: [] });
  const said = (uri: string): string => certificateLine(of(uri), ['URI']).toString('latin1');
  assert.equal(said('spiffe://td/a'), 'x-forwarded-client-cert: Hash=ab;URI=spiffe://td/a\r\n');
  assert.equal(said('x;By=y,Hash=z'), 'x-forwarded-client-cert: Hash=ab;URI="x;By=y,Hash=z"\r\n');
  assert.equal(said('a"b\\c;'), 'x-forwarded-client-cert: Hash=ab;URI="a\\"b\\\\c;"\r\n');
  for (const wrong of ['a\r\nx: y', 'a\u0000b', 'caf\u00e9', 'x'.repeat(5000)])
    assert.equal(said(wrong), 'x-forwarded-client-cert: Hash=ab\r\n');
});
