import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fakeKernel } from '../../../../test/fake/kernel.ts';
import { autoXdp, refusedXdp } from './auto.ts';
import { portsSchema } from './schema.ts';

test('a network card gets XDP, a veth does not, and what refused it stays at tcx', () => {
  const kernel = fakeKernel();
  kernel.addDevice('eth1');
  kernel.addDevice('eth2');
  kernel.netlink().apply([{ op: 'link-add-veth', name: 'swp3', peer: 'far' }]);
  const links = new Map(
    kernel
      .netlink()
      .links()
      .map((link) => [link.name, link]),
  );
  const ports = portsSchema.parse({
    swp1: { device: 'eth1', vlan: { access: 10 } },
    swp2: { device: 'eth2', vlan: { access: 10 }, datapath: 'tcx' },
    swp3: { vlan: { access: 10 } },
    swp4: { vlan: { access: 10 } },
  });
  const refs = (refused: Iterable<string> = []): string[] =>
    autoXdp(ports, links, new Set(refused)).map((resource) => resource.ref);
  assert.deepEqual(refs(), ['row/xdp_port/swp1', 'link/swp1@xdp']);
  assert.deepEqual([...refusedXdp(['link/swp1@xdp', 'link/swp3@tcx-ingress', 'admin/eth1'])], ['swp1']);
  assert.deepEqual(refs(['swp1']), []);
});
