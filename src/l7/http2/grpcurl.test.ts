// grpcurl, which knows of a server (of @grpc/grpc-js) what that says of itself, through the router: in the clear and
// over TLS.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { reflectingServer } from '../../../test/fake/grpc-reflect.ts';
import { serveManifests } from '../../../test/fake/l7-manifests.ts';
import { pki } from '../../../test/fake/pki.ts';
import { freePort } from '../../../test/fake/port.ts';
import { startRouter } from '../router.ts';

const program = fileURLToPath(new URL('../../../native/build/grpcurl', import.meta.url));
const skip = !existsSync(program) && 'grpcurl is missing: run native/setup.sh node test/run.ts';

interface Said {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

function grpcurl(...args: readonly string[]): Promise<Said> {
  return new Promise((resolve) => {
    execFile(program, ['-max-time', '10', ...args], { timeout: 15_000 }, (error, out, err) => {
      resolve({ code: error === null ? 0 : Number(error.code ?? -1), out, err });
    });
  });
}

const manifests = (plain: number, secure: number, secret: object): string => `
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: { name: edge }
spec:
  gatewayClassName: midplane
  listeners:
    - { name: plain, port: ${plain}, protocol: HTTP }
    - { name: secure, port: ${secure}, protocol: HTTPS, hostname: a.test, tls: { certificateRefs: [{ name: a }] } }
---
apiVersion: gateway.networking.k8s.io/v1
kind: GRPCRoute
metadata: { name: words }
spec:
  parentRefs: [{ name: edge }]
  rules:
    - matches: [{ method: { service: test.Words } }, { method: { service: grpc.reflection.v1alpha.ServerReflection } }]
      backendRefs: [{ name: words, port: 80 }]
---
apiVersion: v1
kind: Secret
metadata: { name: a }
type: kubernetes.io/tls
stringData: ${JSON.stringify(secret)}
`;

/** What a service is asked, by whichever way it is reached. */
async function judge(way: readonly string[]): Promise<void> {
  const ask = (...args: readonly string[]): Promise<Said> => grpcurl(...way.slice(0, -1), ...args);
  const to = way.at(-1)!;
  const word = JSON.stringify({ text: 'hallo', count: 3 });
  assert.deepEqual(await ask(to, 'list'), { code: 0, out: 'test.Words\n', err: '' });
  const described = await ask(to, 'describe', 'test.Words');
  assert.match(described.out, /service Words \{[^}]*rpc Repeat \( \.test\.Word \) returns \( stream \.test\.Word \);/);
  const { out } = await ask('-d', word, to, 'test.Words/Echo');
  assert.deepEqual(JSON.parse(out), { text: 'hallo', count: 3 });
  const streamed = await ask('-d', word, to, 'test.Words/Repeat');
  assert.deepEqual(
    streamed.out.match(/"count": \d/g),
    [1, 2, 3].map((i) => `"count": ${i}`),
  );
  const failed = await ask('-d', word, to, 'test.Words/Fail');
  assert.notEqual(failed.code, 0);
  assert.match(failed.err, /Code: FailedPrecondition\s+Message: not like this\s+Details:\s+1\)/);
  const detail = JSON.parse(/1\)\s*(\{[^}]*\})/.exec(failed.err)?.[1] ?? '{}') as Record<string, string>;
  assert.equal(detail['@type'], 'type.googleapis.com/test.Word');
  // It knows no such detail and shows the bytes: text 1, count 2.
  assert.equal(Buffer.from(detail['@value'] ?? '', 'base64').toString('latin1'), '\x0a\x05hallo\x10\x03');
  const missing = await ask(to, 'describe', 'other.Nothing');
  assert.match(missing.err, /Symbol not found: other\.Nothing/);
}

test(
  'grpcurl through the router: reflection, unary, a stream, an error with details; h2c and TLS',
  { skip },
  async () => {
    await using stack = new AsyncDisposableStack();
    const folder = mkdtempSync(join(tmpdir(), 'mpt-grpcurl-'));
    stack.defer(() => rmSync(folder, { recursive: true }));
    const ours = stack.use(pki());
    const { chain, key } = ours.issue('a', 'DNS:a.test');
    const authorities = join(folder, 'ca.pem');
    writeFileSync(authorities, ours.ca);
    const server = stack.use(await reflectingServer());
    const router = stack.use(startRouter({ workers: 1 }));
    assert.ok(await router.started());
    const [plain, secure] = [await freePort(), await freePort()];
    const endpoints = { one: { address: '127.0.0.1', port: server.port } };
    await serveManifests(router, manifests(plain, secure, { 'tls.crt': chain, 'tls.key': key }), {
      words: { port: 80, 'port-name': 'grpc', endpoints },
    });
    await judge(['-plaintext', `127.0.0.1:${plain}`]);
    await judge(['-cacert', authorities, '-servername', 'a.test', `127.0.0.1:${secure}`]);
    const stats = router.routeStats();
    assert.equal(stats.length, 5, 'two matches at two listeners, and none');
    for (const { route, requests } of stats) assert.equal(requests > 0, route !== '', route);
    // A name that no listener has: turned away, and counted where no route is.
    const wrong = await grpcurl('-cacert', authorities, `127.0.0.1:${secure}`, 'list');
    assert.notEqual(wrong.code, 0);
  },
);
