import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Problem } from '../../config/problem.ts';
import type { Look } from '../../engine/slice.ts';
import { checkServices, registryOf } from './compile.ts';
import { serviceHosts } from './model.ts';
import { servicesSchema } from './schema.ts';
import { renderServices, servicesData } from './show.ts';

const services = servicesSchema.parse({
  web: {
    port: 80,
    address: '10.20.0.80',
    endpoints: {
      web2: { address: '10.10.0.12', port: 8080, guest: 'web2' },
      static: { address: 'FD00:10:0::1', port: 8080, labels: { version: 'v1' }, weight: 3 },
    },
  },
  only: { endpoints: { a: { address: '10.10.0.1', port: 9000 } } },
});

/** A look that makes Problems without places. */
const look = Object.assign(() => ({}), {
  manifests: () => [],
  problem: (path: readonly (string | number)[], message: string, hint?: string): Problem => {
    return { file: '', line: 1, column: 1, path: path.join('.'), message, ...(hint !== undefined && { hint }) };
  },
  file: () => undefined,
  instance: 'test',
}) as unknown as Look;

test('gRPC and HTTP2 are HTTP whose endpoints want HTTP/2', () => {
  for (const protocol of ['GRPC', 'HTTP2']) {
    const registry = registryOf(servicesSchema.parse({ rpc: { port: 9001, protocol } }));
    assert.deepEqual(registry.get('default/rpc')?.ports, [{ port: 9001, protocol: 'HTTP', http2: true }]);
  }
});

test('services, sorted, with the port of their endpoints where none is said', () => {
  const registry = registryOf(services);
  assert.deepEqual([...registry.keys()], ['default/only', 'default/web']);
  assert.deepEqual(registry.get('default/only')?.ports, [{ port: 9000, protocol: 'HTTP' }]);
  const web = registry.get('default/web');
  assert.deepEqual(
    web?.endpoints.map((e) => [e.name, e.address, e.guest]),
    [
      ['static', 'fd00:10::1', undefined],
      ['web2', '10.10.0.12', 'web2'],
    ],
  );
  assert.deepEqual(web && serviceHosts(web)[0], 'web');
});

test('a service needs a port, and an address of its own', () => {
  const wrong = servicesSchema.parse({
    none: {},
    several: { endpoints: { a: { address: '10.0.0.1', port: 1 }, b: { address: '10.0.0.1', port: 2 } } },
    one: { port: 80, address: '10.0.0.9' },
    two: { port: 80, address: '10.0.0.9' },
    three: { port: 81, address: '10.0.0.9' },
  });
  assert.deepEqual(
    checkServices(wrong, look).map((p) => p.path),
    ['services.none', 'services.several', 'services.two.address'],
  );
});

test('show services: health decides for guests, static entries are healthy', () => {
  const registry = registryOf(services);
  const state = (health?: (guest: string) => boolean) =>
    servicesData(registry, health, 'web')[0]?.endpoints.map((e) => e.state);
  assert.deepEqual(state(), ['healthy', 'unknown']);
  assert.deepEqual(
    state(() => false),
    ['healthy', 'unhealthy'],
  );
  assert.equal(
    renderServices(servicesData(registry, () => true)),
    [
      'Service  Address     Port  Proto  Endpoint  At                 State    Labels',
      'only     -           9000  HTTP   a         10.10.0.1:9000     healthy  -',
      'web      10.20.0.80  80    HTTP   static    [fd00:10::1]:8080  healthy  version=v1',
      '                                  web2      10.10.0.12:8080    healthy  -',
      '',
    ].join('\n'),
  );
});
