// Certificates in manifests: what listeners and clusters make of them, and what a check says of bad ones.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { pki } from '../../../test/fake/pki.ts';
import type { Issued } from '../../../test/fake/pki.ts';
import { readManifests } from '../../config/manifest.ts';
import { printProblem } from '../../config/problem.ts';
import { buildSnapshots } from '../manifest/build.ts';
import { checkManifests, unknownKind } from '../manifest/kinds.ts';
import { renderManifests } from '../manifest/show.ts';
import { printSnapshot } from '../print.ts';
import { registryOf } from '../registry/compile.ts';
import { servicesSchema } from '../registry/schema.ts';

const ours = pki();
after(() => ours[Symbol.dispose]());
const a = ours.issue('a', 'DNS:a.test');
const other = ours.issue('other', 'DNS:b.test');
const base64 = (text: string) => Buffer.from(text).toString('base64');

function secret(name: string, data: Readonly<Record<string, string>>, type = 'kubernetes.io/tls'): string {
  const lines = Object.entries(data).map(([key, text]) => `  ${key}: ${base64(text)}\n`);
  return `apiVersion: v1\nkind: Secret\nmetadata: { name: ${name} }\ntype: ${type}\ndata:\n${lines.join('')}---\n`;
}

const pair = ({ chain, key }: Issued) => ({ 'tls.crt': chain, 'tls.key': key });

function read(text: string) {
  const { manifests, problems } = readManifests([{ file: 'm.yaml', bytes: Buffer.from(text) }]);
  const all = [...problems, ...manifests.flatMap((m) => unknownKind(m) ?? []), ...checkManifests(manifests)];
  return { manifests, problems: all.map(printProblem) };
}

function build(text: string) {
  const { manifests, problems } = read(text);
  assert.deepEqual(problems, []);
  const services = registryOf(
    servicesSchema.parse({ web: { port: 80, endpoints: { one: { address: '10.10.0.21', port: 8080 } } } }),
  );
  const built = buildSnapshots({ manifests, services, gatewayAddress: '10.10.0.1', health: () => true });
  const [router, ...others] = built.snapshots;
  assert.ok(router !== undefined);
  // Keys go to the router alone, and to nobody's eyes.
  for (const { secrets } of others) assert.deepEqual(secrets, []);
  const shown = `${printSnapshot(router)}${renderManifests(built.status)}`;
  assert.doesNotMatch(shown, /BEGIN/);
  return { router, shown };
}

const route = `apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: { name: web }
spec:
  parentRefs: [{ name: edge }]
  hostnames: [a.test, closed.a.test]
  rules: [{ backendRefs: [{ name: web, port: 80 }] }]
---
`;

const gateway = (listeners: string, more = '') => `apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: { name: edge }
spec:
  gatewayClassName: midplane
  listeners:
${listeners}${more}---
`;

test('listeners of a Gateway: each name has its routes, and another host is another connection', () => {
  const map = `apiVersion: v1\nkind: ConfigMap\nmetadata: { name: people }\ndata: { ca.crt: ${JSON.stringify(ours.ca)} }\n---\n`;
  const { router, shown } = build(
    secret('a', pair(a)) +
      map +
      route +
      gateway(`    - { name: open, port: 443, protocol: HTTPS, hostname: "*.test", tls: { certificateRefs: [{ name: a }] } }
    - name: closed
      port: 443
      protocol: HTTPS
      hostname: closed.a.test
      tls: { certificateRefs: [{ name: a }], frontendValidation: { caCertificateRefs: [{ name: people }] } }
    - { name: gone, port: 444, protocol: HTTPS, tls: { certificateRefs: [{ name: gone }] } }
    - { name: foreign, port: 445, protocol: HTTPS, tls: { certificateRefs: [{ name: x, namespace: other }] } }
`),
  );
  assert.equal(
    printSnapshot(router),
    `listener 10.10.0.1:443 HTTPS
  tls closed.a.test: default/a from TLSv1.2, clients must be known to configmap/default/people
    host closed.a.test
      httproute/default/web/0/0: path prefix "" -> default/web/80*1
    host *.test
      misdirected: always -> reply 421 "connect by the name of this host"
  tls *.test: default/a from TLSv1.2
    host a.test
      httproute/default/web/0/0: path prefix "" -> default/web/80*1
    host *.test
    host closed.a.test
      misdirected: always -> reply 421 "connect by the name of this host"
cluster default/web/80 round-robin
`,
  );
  assert.deepEqual(
    router.secrets.map((s) => s.name),
    ['configmap/default/people', 'default/a'],
  );
  assert.match(shown, /gone +not ResolvedRefs: InvalidCertificateRef, Accepted, not Programmed: Invalid/);
  assert.match(shown, /there is no Secret default\/gone/);
  assert.match(shown, /foreign +not ResolvedRefs: RefNotPermitted, Accepted, not Programmed: Invalid/);
});

test('who must be verified is not let in unverified: an authority that is missing shuts the listener', () => {
  const { router, shown } = build(
    secret('a', pair(a)) +
      route +
      gateway(
        '    - { name: https, port: 443, protocol: HTTPS, tls: { certificateRefs: [{ name: a }] } }\n',
        '  tls: { frontend: { default: { validation: { caCertificateRefs: [{ name: none }] } } } }\n',
      ),
  );
  assert.deepEqual(router.listeners, []);
  assert.match(shown, /InvalidCACertificateRef/);
});

test('servers of an Istio Gateway, and a DestinationRule for TLS to upstreams', () => {
  const text = (rule: string) => `${secret('a', pair(a))}${secret('a-cacert', { cacert: ours.ca }, 'Opaque')}
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: { name: shop }
spec:
  servers:
    - port: { number: 443, name: https, protocol: HTTPS }
      hosts: ["a.test"]
      tls: { mode: MUTUAL, credentialName: a, minProtocolVersion: TLSV1_3 }
    - { port: { number: 444, name: none, protocol: HTTPS }, hosts: ["a.test"], tls: { mode: SIMPLE, credentialName: b } }
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: web }
spec:
  hosts: [a.test]
  gateways: [shop]
  http: [{ route: [{ destination: { host: web, port: { number: 80 } } }] }]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: { name: web }
spec: { host: web, trafficPolicy: { tls: ${rule} } }
`;
  const mutual = build(
    text('{ mode: MUTUAL, credentialName: a, sni: web.test, subjectAltNames: ["spiffe://td/web"] }'),
  );
  assert.equal(
    printSnapshot(mutual.router),
    `listener 10.10.0.1:443 HTTPS
  tls a.test: default/a from TLSv1.3, clients must be known to default/a-cacert
    host a.test
      virtualservice/default/web/0/0: always -> default/web/80*1
cluster default/web/80 round-robin tls web.test: spiffe://td/web trusted by default/a-cacert, shows default/a
`,
  );
  assert.match(mutual.shown, /there is no Secret default\/b with a certificate and its key/);
  const missing = build(text('{ mode: MUTUAL, credentialName: c }'));
  assert.match(printSnapshot(missing.router), /-> none\/default\/web\/80\*1\n$/);
  assert.match(missing.shown, /there is no Secret default\/c/);
});

test('a BackendTLSPolicy: whom the router takes for a Service', () => {
  const policy = (validation: string) => `${secret('people', { 'ca.crt': ours.ca }, 'Opaque')}${route}${gateway(
    '    - { name: http, port: 80, protocol: HTTP }\n',
  )}apiVersion: gateway.networking.k8s.io/v1
kind: BackendTLSPolicy
metadata: { name: web }
spec:
  targetRefs: [{ kind: Service, name: web }]
  validation: ${validation}
`;
  const own = '{ caCertificateRefs: [{ kind: Secret, name: people }], hostname: web.test }';
  assert.match(
    build(policy(own)).shown,
    /cluster default\/web\/80 round-robin tls web\.test: web\.test trusted by default\/people\n/,
  );
  const uri =
    '{ wellKnownCACertificates: System, hostname: web.test, subjectAltNames: [{ type: URI, uri: "spiffe://td/web" }] }';
  assert.match(build(policy(uri)).shown, /tls web\.test: spiffe:\/\/td\/web trusted by the system\n/);
  const gone = build(policy('{ caCertificateRefs: [{ kind: ConfigMap, name: gone }], hostname: web.test }'));
  assert.match(gone.shown, /-> none\/default\/web\/80\*1\n/);
  assert.match(gone.shown, /there is no ConfigMap default\/gone with ca\.crt/);
  assert.match(read(policy('{ hostname: web.test }')).problems.join(), /one of caCertificateRefs and wellKnown/);
  const bare = '{ wellKnownCACertificates: System, hostname: web.test, subjectAltNames: [{ type: URI }] }';
  assert.match(read(policy(bare)).problems.join(), /subjectAltNames\.0: uri is missing/);
});

test('what is wrong with a certificate or a key is said with its place, and nothing of the key', () => {
  const encrypted = execFileSync(
    '/usr/bin/openssl',
    ['pkcs8', '-topk8', '-in', a.keyFile, '-passout', 'pass:secret', '-v2', 'aes-256-cbc'],
    { cwd: ours.folder, encoding: 'utf8' },
  );
  const weak = 'req -x509 -newkey rsa:1024 -nodes -subj /CN=weak -days 2 -keyout weak.key -out weak.crt';
  execFileSync('/usr/bin/openssl', weak.split(' '), { cwd: ours.folder, stdio: 'ignore' });
  const file = (name: string) => execFileSync('cat', [join(ours.folder, name)], { encoding: 'utf8' });
  const cases: readonly (readonly [Readonly<Record<string, string>>, RegExp])[] = [
    [{ 'tls.crt': a.chain }, /^m\.yaml:4:7: Secret default\/x: type: .*tls\.key is missing$/],
    [
      { 'tls.crt': 'nothing', 'tls.key': a.key },
      /^m\.yaml:6:12: Secret default\/x: data.*holds no certificate as PEM$/,
    ],
    [{ 'tls.crt': a.key, 'tls.key': a.key }, /has a block PRIVATE KEY: certificates are expected$/],
    [{ 'tls.crt': a.chain.replace('MII', 'AAA'), 'tls.key': a.key }, /certificate 1 can't be read$/],
    [{ 'tls.crt': a.chain, 'tls.key': 'nothing' }, /^m\.yaml:7:12: .*holds no private key as PEM that can be read$/],
    [{ 'tls.crt': a.chain, 'tls.key': encrypted }, /the key is encrypted/],
    [{ 'tls.crt': a.chain, 'tls.key': other.key }, /^m\.yaml:7:12: .*the key is not that of the certificate$/],
    [{ 'tls.crt': `${a.chain}${'#'.repeat(70_000)}`, 'tls.key': a.key }, /is larger than 65536 bytes$/],
    [{ 'tls.crt': a.chain.repeat(11), 'tls.key': a.key }, /more than 10 certificates in its chain$/],
    [{ 'tls.crt': file('weak.crt'), 'tls.key': file('weak.key') }, /OpenSSL refuses it: ee key too small$/],
    [{ ...pair(a), 'ca.crt': 'nothing' }, /holds no certificate as PEM$/],
    [{ ...pair(a), 'ca.crl': ours.ca }, /holds no revocation list as PEM that can be read$/],
  ];
  for (const [data, what] of cases) {
    const { problems } = read(secret('x', data));
    assert.equal(problems.length, 1, problems.join('; '));
    assert.match(problems[0] ?? '', what);
    assert.doesNotMatch(problems[0] ?? '', /BEGIN/);
  }
  assert.deepEqual(read(secret('x', pair(a))).problems, []);
  assert.deepEqual(read(secret('x', { cert: a.chain, key: a.key, cacert: ours.ca }, 'Opaque')).problems, []);
});

test('what is not done is refused by name', () => {
  const istio = (tls: string) =>
    `apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: { name: g }\nspec: { servers: [{ port: { number: 1, protocol: HTTPS }, hosts: ["*"], tls: ${tls} }] }\n`;
  const cases: readonly (readonly [string, RegExp])[] = [
    [
      gateway('    - { name: a, port: 443, protocol: HTTPS, tls: { mode: Passthrough } }\n'),
      /is Terminate with protocol HTTPS/,
    ],
    [gateway('    - { name: a, port: 443, protocol: HTTPS }\n'), /tls\.certificateRefs is missing/],
    [istio('{ mode: ISTIO_MUTUAL }'), /PASSTHROUGH, SIMPLE, MUTUAL and OPTIONAL_MUTUAL are supported/],
    [istio('{ mode: SIMPLE, serverCertificate: /etc/a.pem }'), /credentialName is the way, which is not supported/],
    [istio('{ mode: SIMPLE, credentialName: a, minProtocolVersion: TLSV1_0 }'), /TLSV1_2 and TLSV1_3 are supported/],
    [istio('{ mode: SIMPLE, credentialName: a, cipherSuites: [x] }'), /cipherSuites is not supported/],
  ];
  for (const [text, what] of cases) assert.match(read(text).problems.join('\n'), what);
});

test('TLS that ends here before TCP: a TCPRoute by Gateway API, tcp of a VirtualService; nothing else shares its port', () => {
  const { router, shown } = build(
    secret('a', pair(a)) +
      gateway(`    - { name: db, port: 5432, protocol: TLS, hostname: db.test, tls: { certificateRefs: [{ name: a }] } }
    - { name: other, port: 5432, protocol: TLS, hostname: other.test, tls: { mode: Terminate, certificateRefs: [{ name: a }] } }
    - { name: bare, port: 5433, protocol: TLS, tls: { mode: Terminate } }
    - { name: ends, port: 5434, protocol: TLS, hostname: a.test, tls: { certificateRefs: [{ name: a }] } }
    - { name: through, port: 5434, protocol: TLS, hostname: through.test, tls: { mode: Passthrough } }
`) +
      `apiVersion: gateway.networking.k8s.io/v1alpha2
kind: TCPRoute
metadata: { name: db }
spec: { parentRefs: [{ name: edge, sectionName: db }], rules: [{ backendRefs: [{ name: web, port: 80 }] }] }
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: { name: legacy }
spec:
  servers:
    - { port: { number: 9443, name: tls, protocol: TLS }, hosts: ["*"], tls: { mode: SIMPLE, credentialName: a } }
    - { port: { number: 9000, name: grpc, protocol: GRPC }, hosts: ["*"] }
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: vs }
spec: { hosts: ["*"], gateways: [legacy], tcp: [{ route: [{ destination: { host: web } }] }] }
`,
  );
  assert.equal(
    printSnapshot(router),
    `listener 10.10.0.1:5432 TCPS
  tls other.test: default/a from TLSv1.2
  tls db.test: default/a from TLSv1.2
    tcproute/default/db/0: always -> default/web/80*1
listener 10.10.0.1:9000
listener 10.10.0.1:9443 TCPS
  tls *: default/a from TLSv1.2
    virtualservice/default/vs/tcp/0: always -> default/web/80*1
cluster default/web/80 round-robin
`,
  );
  assert.match(shown, /through .*ProtocolConflict/);
  assert.match(shown, /listener ends speaks TLS, and its tls\.mode is Terminate, on the same port/);
  assert.match(shown, /tls\.certificateRefs is missing: TLS ends here/);
});

test('TLS that ends here before TLSRoutes: each name has the route that names it best, with the TLS of its listener', () => {
  const kind = (name: string, of: string, spec: string) =>
    `apiVersion: gateway.networking.k8s.io/v1alpha2\nkind: ${of}\nmetadata: { name: ${name} }\nspec: { ${spec}, rules: [{ backendRefs: [{ name: web, port: 80 }] }] }\n---\n`;
  const { router, shown } = build(
    secret('a', pair(a)) +
      secret('b', pair(other)) +
      gateway(`    - { name: any, port: 5432, protocol: TLS, tls: { certificateRefs: [{ name: a }] } }
    - { name: wild, port: 5432, protocol: TLS, hostname: "*.b.test", tls: { certificateRefs: [{ name: b }] } }
`) +
      kind('x', 'TLSRoute', 'parentRefs: [{ name: edge }], hostnames: [x.test, x.b.test]') +
      kind('outside', 'TLSRoute', 'parentRefs: [{ name: edge, sectionName: any }], hostnames: [y.b.test, "*.test"]') +
      kind('rest', 'TLSRoute', 'parentRefs: [{ name: edge, sectionName: wild }]') +
      kind('tcp', 'TCPRoute', 'parentRefs: [{ name: edge }]'),
  );
  assert.equal(
    printSnapshot(router),
    `listener 10.10.0.1:5432 TCPS
  tls x.b.test: default/b from TLSv1.2
    tlsroute/default/x/0: always -> default/web/80*1
  tls y.b.test: default/b from TLSv1.2
    tlsroute/default/rest/0: always -> default/web/80*1
  tls x.test: default/a from TLSv1.2
    tlsroute/default/x/0: always -> default/web/80*1
  tls *.b.test: default/b from TLSv1.2
    tlsroute/default/rest/0: always -> default/web/80*1
  tls *.test: default/a from TLSv1.2
    tlsroute/default/outside/0: always -> default/web/80*1
  tls *: default/a from TLSv1.2
    tcproute/default/tcp/0: always -> default/web/80*1
cluster default/web/80 round-robin
`,
  );
  assert.match(shown, /TLSRoute default\/rest is older and has the listener/);
});
