// Manifests with certificates, through the router, to the clients that everybody has.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { after, test } from 'node:test';
import tls from 'node:tls';
import { startRouter } from '../../src/l7/router.ts';
import type { Router } from '../../src/l7/router.ts';
import { upstream, patienceMs } from '../fake/l7.ts';
import { pki } from '../fake/pki.ts';
import type { Issued } from '../fake/pki.ts';
import { serveManifests } from '../fake/l7-manifests.ts';
import { freePort } from '../fake/port.ts';

const skip = existsSync('/usr/bin/curl') && existsSync('/usr/bin/openssl') ? false : 'no curl, no openssl';
const ours = pki();
after(() => ours[Symbol.dispose]());
const text = JSON.stringify;

interface Words {
  readonly port: number;
  readonly backend: number;
  readonly certificate: Issued;
  /** Whom clients must be known to, and who is revoked. */
  readonly people?: { readonly ca: string; readonly crl: string };
}

function manifests({ port, certificate, people }: Words): string {
  const validation = people === undefined ? '' : ', frontendValidation: { caCertificateRefs: [{ name: people }] }';
  const map =
    people === undefined
      ? ''
      : `apiVersion: v1
kind: ConfigMap
metadata: { name: people }
data: { ca.crt: ${text(people.ca)}, ca.crl: ${text(people.crl)} }
---
`;
  return `${map}apiVersion: v1
kind: Secret
metadata: { name: a }
type: kubernetes.io/tls
stringData: { tls.crt: ${text(certificate.chain)}, tls.key: ${text(certificate.key)} }
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: { name: edge }
spec:
  gatewayClassName: midplane
  listeners:
    - { name: a, port: ${port}, protocol: HTTPS, hostname: a.test, tls: { certificateRefs: [{ name: a }]${validation} } }
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: { name: web }
spec: { parentRefs: [{ name: edge }], rules: [{ backendRefs: [{ name: web, port: 80 }] }] }
`;
}

/** What a commit of these manifests does to the router. */
async function apply(router: Router, words: Words): Promise<void> {
  const endpoints = { one: { address: '127.0.0.1', port: words.backend } };
  await serveManifests(router, manifests(words), { web: { port: 80, endpoints } });
}

function curl(port: number, ...args: readonly string[]): Promise<string> {
  const fixed = ['-s', '--max-time', '10', '--cacert', ours.caFile, '--resolve', `a.test:${port}:127.0.0.1`];
  return new Promise((resolve) => {
    execFile('/usr/bin/curl', [...fixed, ...args, `https://a.test:${port}/`], (error, out) =>
      resolve(error === null ? out : `curl ${error.code}`),
    );
  });
}

test(
  'from manifests to curl: HTTP/1.1 and HTTP/2, a new certificate, clients that must be known',
  { skip },
  async () => {
    await using up = await upstream();
    const port = await freePort();
    await using router = startRouter({ workers: 2, ackMs: patienceMs });
    assert.equal(await router.started(), true);
    const words = { port, backend: up.port, certificate: ours.issue('a', 'DNS:a.test') };
    await apply(router, words);
    assert.equal(await curl(port, '--http1.1', '-w', ' %{http_version}'), 'ok 1.1');
    assert.equal(await curl(port, '--http2', '-w', ' %{http_version}'), 'ok 2');
    assert.equal(up.seen.join('\n').match(/\r\nx-forwarded-proto: https\r\n/g)?.length, 2);
    assert.equal(await curl(port, '--tls-max', '1.1'), 'curl 35');

    const to = { port, host: '127.0.0.1', ca: ours.ca, servername: 'a.test' };
    const liar = tls.connect({ ...to, ALPNProtocols: ['h2'] });
    let heard = '';
    liar.on('data', (piece: Buffer) => (heard += piece.toString()));
    liar.write('GET / HTTP/1.1\r\nHost: a.test\r\n\r\n');
    await once(liar, 'close');
    assert.equal(heard, '', 'who agreed on HTTP/2 is not answered in HTTP/1.1');

    const socket = tls.connect(to);
    let said = '';
    socket.on('data', (piece: Buffer) => (said += piece.toString()));
    const ask = async () => {
      said = '';
      socket.write('GET / HTTP/1.1\r\nHost: a.test\r\n\r\n');
      while (!/\r\n\r\n/.test(said)) await new Promise((resolve) => socket.once('data', resolve));
      return said.slice(9, 12);
    };
    assert.equal(await ask(), '200');
    await apply(router, { ...words, certificate: ours.issue('fresh', 'DNS:a.test') });
    const issued = await curl(port, '-v', '-o', '/dev/null', '--stderr', '-');
    assert.match(issued, /subject: CN=fresh/);
    assert.equal(await ask(), '200');

    const known = ours.issue('known', 'URI:spiffe://td/known');
    const revoked = ours.issue('revoked', 'URI:spiffe://td/revoked');
    await apply(router, { ...words, people: { ca: ours.ca, crl: ours.revoke(revoked) } });
    const as = ({ chainFile, keyFile }: Issued) => curl(port, '--cert', chainFile, '--key', keyFile);
    assert.equal(await as(known), 'ok');
    assert.match(await curl(port), /^curl (35|55|56)$/);
    assert.match(await as(revoked), /^curl (35|55|56)$/);
    assert.equal(await ask(), '421');
    socket.destroy();
  },
);
