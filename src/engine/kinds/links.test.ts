import assert from 'node:assert/strict';
import { setImmediate as turn } from 'node:timers/promises';
import { test } from 'node:test';
import { fakeKernel } from '../../../test/fake/kernel.ts';
import type { Driver, Ref } from '../resource.ts';
import { adminDriver } from './admin.ts';
import { netdevDriver } from './netdev.ts';

async function look<S, A>(driver: Driver<S, A>, ref: Ref, spec: S): Promise<string> {
  const actual = (await driver.read([ref])).get(ref);
  return actual === undefined ? 'absent' : driver.diff(spec, actual);
}

test('an event of what was found as desired marks nothing; one of anything else does', async () => {
  const kernel = fakeKernel();
  kernel.addDevice('swp1');
  const [netdev, admin] = [netdevDriver(kernel, 'it'), adminDriver(kernel, 'it')];
  const dirty = new Set<string>();
  const mark = (ref: string): void => void dirty.add(ref);
  using stack = new DisposableStack();
  stack.use(netdev.watch?.(mark));
  stack.use(admin.watch?.(mark));
  const told = async (): Promise<readonly string[]> => {
    await turn();
    const refs = [...dirty].toSorted();
    dirty.clear();
    return refs;
  };
  const set = (change: { readonly mtu?: number; readonly up?: boolean }): void => {
    const [code] = kernel.netlink().apply([{ op: 'link-set', name: 'swp1', ...change }]);
    assert.equal(code, undefined);
  };
  const wanted = { type: 'external', mtu: 1400 } as const;
  await netdev.put([['netdev/swp1', wanted]]);
  await admin.put([['admin/swp1', { up: true }]]);
  assert.equal(await look(netdev, 'netdev/swp1', wanted), 'same');
  assert.equal(await look(admin, 'admin/swp1', { up: true }), 'same');
  await told();
  set({ mtu: 1400, up: true });
  assert.deepEqual(await told(), [], 'our own change, told late');
  set({ mtu: 1300 });
  assert.deepEqual(await told(), ['netdev/swp1']);
  assert.equal(await look(netdev, 'netdev/swp1', wanted), 'update');
  set({ mtu: 1300 });
  assert.deepEqual(await told(), ['netdev/swp1'], 'seen, and not mended yet');
  set({ mtu: 1400 });
  assert.deepEqual(await told(), ['netdev/swp1'], 'it was not found well since');
  assert.equal(await look(netdev, 'netdev/swp1', wanted), 'same');
  set({ up: false });
  assert.deepEqual(await told(), ['admin/swp1']);
  kernel.removeDevice('swp1');
  kernel.addDevice('swp1');
  assert.deepEqual(await told(), ['admin/swp1', 'netdev/swp1']);
});
