import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Problem } from '../../config/problem.ts';
import type { Look } from '../../engine/slice.ts';
import { checkServices, registryOf } from './compile.ts';
import { declaredProtocol } from './protocol.ts';
import { servicesSchema } from './schema.ts';

const said = (portName: string, port = 80) => declaredProtocol(port, { portName });

test('names of ports: each row of the table of Istio, with a suffix, in any letter case; all else is found out', () => {
  const rows: readonly (readonly [name: string, protocol: string, ...more: ('http2' | 'grpcWeb' | 'tls')[]])[] = [
    ['http', 'HTTP'],
    ['http2', 'HTTP', 'http2'],
    ['https', 'TCP', 'tls'],
    ['tcp', 'TCP'],
    ['tls', 'TCP', 'tls'],
    ['grpc', 'HTTP', 'http2'],
    ['grpc-web', 'HTTP', 'http2', 'grpcWeb'],
    ['mongo', 'TCP'],
    ['mysql', 'TCP'],
    ['redis', 'TCP'],
    ['web', 'auto'],
    ['httpx', 'auto'],
    ['constructor', 'auto'],
    ['', 'auto'],
  ];
  for (const [name, protocol, ...more] of rows) {
    const wanted = { protocol, ...Object.fromEntries(more.map((each) => [each, true])) };
    assert.deepEqual(said(name), wanted, name);
    assert.deepEqual(said(`${name}-a-b`), wanted, name);
    assert.deepEqual(said(name.toUpperCase()), wanted, name);
  }
  for (const port of [25, 53, 3306, 27017]) {
    assert.deepEqual(said('db', port), { protocol: 'TCP' }, 'a server that speaks first');
    assert.deepEqual(said('http', port), { protocol: 'HTTP' }, 'a name goes before the port');
  }
});

test('appProtocol: names of Kubernetes and of Istio; it goes before the name of the port', () => {
  const app = (appProtocol: string) => declaredProtocol(80, { appProtocol, portName: 'tcp' });
  assert.deepEqual(app('kubernetes.io/h2c'), { protocol: 'HTTP', http2: true });
  assert.deepEqual(app('kubernetes.io/ws'), { protocol: 'HTTP' });
  assert.deepEqual(app('kubernetes.io/wss'), { protocol: 'TCP', tls: true });
  assert.deepEqual(app('https'), { protocol: 'TCP', tls: true });
  assert.deepEqual(app('grpc'), { protocol: 'HTTP', http2: true });
  assert.deepEqual(app('grpc-web'), { protocol: 'HTTP', http2: true, grpcWeb: true });
  assert.deepEqual(app('example.com/own'), { protocol: 'auto' });
  assert.deepEqual(said('kubernetes.io/h2c'), { protocol: 'auto' }, 'no name of a port');
});

test('a service says it in one way, and never UDP', () => {
  const look = Object.assign(() => ({}), {
    problem: (path: readonly string[], message: string): Problem => {
      return { file: '', line: 1, column: 1, path: path.join('.'), message };
    },
  }) as unknown as Look;
  const twice = servicesSchema.parse({ a: { port: 80, protocol: 'HTTP', 'port-name': 'http' }, b: { port: 80 } });
  assert.deepEqual(
    checkServices(twice, look).map((p) => p.path),
    ['services.a.protocol'],
  );
  assert.deepEqual(registryOf(twice).get('default/b')?.ports, [{ port: 80, protocol: 'HTTP' }]);
  for (const wrong of [{ 'port-name': 'udp-dns' }, { 'app-protocol': 'udp' }, { 'app-protocol': 'a b' }])
    assert.equal(servicesSchema.safeParse({ a: { port: 80, ...wrong } }).success, false);
});
