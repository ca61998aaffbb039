import assert from 'node:assert/strict';
import { test } from 'node:test';
import { snapshot } from '../../../test/fake/l7.ts';
import type { Cluster } from '../snapshot.ts';
import { openScopes } from './scopes.ts';

test('endpoints of what is gone are forgotten, also of clusters that proxies are not told of', async () => {
  const scopes = openScopes();
  const consumer = scopes.consumer('gateway');
  const list = [{ address: '10.0.0.1', port: 80, weight: 1, healthy: true, name: 'e' }];
  const told = (): string[] => [...(scopes.current('gateway')?.eds.keys() ?? [])];
  const tls = { tls: { names: [] } };
  const offer = (...clusters: Partial<Cluster>[]) => {
    const made = snapshot(80, [], clusters);
    return consumer.offer({ ...made, scope: 'gateway', version: `w${made.version}` });
  };
  for (const key of ['a', 'b', 'secured']) consumer.endpoints({ cluster: key, version: '1', list });
  await offer({ key: 'a' }, { key: 'b' }, { key: 'secured', ...tls });
  assert.deepEqual(told(), ['a', 'b']);
  await offer({ key: 'b' });
  await offer({ key: 'a' }, { key: 'b' }, { key: 'secured' });
  assert.deepEqual(told(), ['b']);
  consumer.endpoints({ cluster: 'a', version: '1', list });
  assert.deepEqual(told().toSorted(), ['a', 'b']);
});
