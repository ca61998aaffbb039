import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Overlay } from '../worker/overlay.ts';
import type { Cluster } from '../../mesh/snapshot.ts';
import type { Engine } from '../transport.ts';
import { Upstreams } from './upstream.ts';

test('what a server says is remembered with its endpoint, whatever else changes', () => {
  let ids = 0;
  const engine = { endpoint: () => (ids += 1), dropEndpoint() {}, endpointIdle() {} } as Partial<Engine> as Engine;
  const upstreams = new Upstreams(engine, () => 0);
  const list = [1, 2].map((port) => ({ address: '127.0.0.1', port, weight: 1, healthy: true, name: `e${port}` }));
  const declared = new Overlay<Cluster>(new Map(), false);
  declared.set('a', { key: 'a', protocol: 'HTTP/1.1', connectTimeoutMs: 1000, policy: 'round-robin' });
  upstreams.apply(declared, new Overlay(new Map(), false));
  upstreams.endpoints({ cluster: 'a', version: '1', list });
  const backends = () => [...upstreams.cluster('a').backends.values()];
  upstreams.keeps(backends()[0]!, 5);
  upstreams.endpoints({ cluster: 'a', version: '2', list: list.map((e) => ({ ...e, weight: 2 })) });
  assert.deepEqual(
    backends().map((b) => b.idleMs),
    [4000, undefined],
  );
  upstreams.keeps(backends()[0]!, 0);
  assert.equal(backends()[0]!.idleMs, 0);
});
