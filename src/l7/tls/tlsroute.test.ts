// TLSRoutes at listeners where TLS ends: by the name that the client says, and in the clear to the backends.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import tls from 'node:tls';
import { serveManifests } from '../../../test/fake/l7-manifests.ts';
import { upstream } from '../../../test/fake/l7.ts';
import { pki } from '../../../test/fake/pki.ts';
import { freePort } from '../../../test/fake/port.ts';
import { startRouter } from '../router.ts';

const ours = pki();
after(() => ours[Symbol.dispose]());
const wild = ours.issue('wild', 'DNS:*.a.test');
const own = ours.issue('own', 'DNS:db.a.test');

function secret(name: string, { chain, key }: { readonly chain: string; readonly key: string }): string {
  const data = JSON.stringify({ 'tls.crt': chain, 'tls.key': key });
  return `---\napiVersion: v1\nkind: Secret\nmetadata: { name: ${name} }\ntype: kubernetes.io/tls\nstringData: ${data}\n`;
}

const listener = (name: string, port: number, hostname: string, certificate: string): string =>
  `{ name: ${name}, port: ${port}, protocol: TLS, hostname: "${hostname}", tls: { mode: Terminate, certificateRefs: [{ name: ${certificate} }] } }`;

const route = (kind: string, name: string, parent: string, backend: string, hostnames: string): string => `---
apiVersion: gateway.networking.k8s.io/v1alpha2
kind: ${kind}
metadata: { name: ${name} }
spec: { parentRefs: [{ name: edge, sectionName: ${parent} }],${hostnames} rules: [{ backendRefs: [{ name: ${backend}, port: 1 }] }] }
`;

/** The name of its certificate and what it says to "hello"; "closed": nothing. */
async function ask(port: number, servername: string): Promise<string> {
  const socket = tls.connect({ port, host: '127.0.0.1', ca: ours.ca, servername });
  const answer = await new Promise<string>((resolve) => {
    socket.on('error', () => undefined).on('close', () => resolve('closed'));
    socket.on('data', (piece: Buffer) =>
      resolve(`${String(socket.getPeerCertificate().subject.CN)}: ${piece.toString()}`),
    );
    socket.write('hello');
  });
  socket.destroy();
  return answer;
}

test('TLS ends here, and the TLSRoute of the name that the client says has what is in it', async () => {
  await using stack = new AsyncDisposableStack();
  const names = ['x', 'any', 'db'] as const;
  const backends = await Promise.all(
    names.map((name) => upstream((socket, piece) => void socket.write(`${name} ${piece.toString()}`))),
  );
  for (const backend of backends) stack.use(backend);
  const endpoint = (i: number): object => ({ one: { address: '127.0.0.1', port: backends[i]!.port } });
  const services = Object.fromEntries(
    names.map((name, i) => [name, { protocol: 'TCP', port: 1, endpoints: endpoint(i) }]),
  );
  const router = stack.use(startRouter({ workers: 1 }));
  assert.ok(await router.started());
  const port = await freePort();
  const gateway = `apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: { name: edge }
spec:
  gatewayClassName: midplane
  listeners: [${listener('wild', port, '*.a.test', 'wild')}, ${listener('db', port, 'db.a.test', 'own')}]
${secret('wild', wild)}${secret('own', own)}`;
  const routes =
    route('TLSRoute', 'x', 'wild', 'x', ' hostnames: [x.a.test, db.a.test],') +
    route('TLSRoute', 'deep', 'wild', 'any', ' hostnames: ["*.any.a.test"],');
  await serveManifests(router, gateway + routes, services);
  assert.equal(await ask(port, 'x.a.test'), 'wild: x hello');
  assert.equal(backends[0]!.seen[0], 'hello', 'in the clear');
  assert.equal(await ask(port, 'y.a.test'), 'closed', 'no route has it');
  assert.equal(await ask(port, 'db.a.test'), 'closed', 'the listener that owns a name has no route');
  assert.equal(await ask(port, 'b.test'), 'closed', 'no listener has it');
  // A name is as well one of a wider route, and of a TCPRoute, which takes what its listener has.
  const wider = route('TLSRoute', 'any', 'wild', 'any', ' hostnames: ["*.a.test"],');
  await serveManifests(router, gateway + routes + wider + route('TCPRoute', 'db', 'db', 'db', ''), services);
  const seen = await Promise.all(['x', 'y', 'deep.any', 'db'].map((name) => ask(port, `${name}.a.test`)));
  // The certificate of *.a.test is none of deep.any.a.test, for the client; it is the listener's, for the router.
  assert.deepEqual(seen, ['wild: x hello', 'wild: any hello', 'closed', 'own: db hello']);
  assert.equal(await ask(port, 'z.a.test'), 'wild: any hello');
});
