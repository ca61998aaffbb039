// What must always add up (contract E): per ingress port rx + own = handed + up + punt + drops; and per egress port the
// skbs that we say we sent are those that the host's device says it got.
import assert from 'node:assert/strict';
import { mapVersions } from '../../src/kernel/datapath.ts';
import { type PortCounters, readCounters } from '../../src/kernel/counters.ts';
import { kernel, type TestSwitch } from './switch.ts';

/** Counters of a port id, from the pinned map, whether the daemon lives or not. */
export function countersOf(instance: string, id: number): PortCounters {
  using map = kernel.bpf.openMap(`/sys/fs/bpf/midplane/${instance}/maps/counters@v${mapVersions.counters}`);
  assert.ok(map, 'the counters are pinned');
  return readCounters(map, id);
}

/** Fails where a term does not add up. Frames may be in flight: looks again for a short while. */
export async function checkInvariant(sw: TestSwitch): Promise<void> {
  let wrong: readonly string[] = [];
  for (let i = 0; i < 10; i += 1) {
    wrong = [...unbalanced(sw), ...unequal(sw)];
    if (wrong.length === 0) return;
    await new Promise((done) => setTimeout(done, 50));
  }
  assert.fail(`counters do not add up:\n${wrong.join('\n')}`);
}

function unbalanced(sw: TestSwitch): readonly string[] {
  return Object.entries(sw.portIds()).flatMap(([name, id]) => {
    const c = countersOf(sw.instance, id);
    const dropped = c.drop.reduce((sum, n) => sum + n, 0n);
    const [came, went] = [c.rx + c.own, c.handed + c.up + c.punt + dropped];
    return came === went
      ? []
      : [`${name}: rx ${c.rx} + own ${c.own} != handed ${c.handed} + up ${c.up} + drops ${dropped}`];
  });
}

function unequal(sw: TestSwitch): readonly string[] {
  const ids = sw.portIds();
  return sw.hosts.flatMap((host) => {
    const port = sw.portOf(host);
    const id = ids[port];
    if (id === undefined) return [];
    const nl = kernel.netlink(sw.lab.netnsOf(host));
    try {
      const got = nl.link('eth0')?.stats.rxPackets ?? -1;
      const sent = Number(countersOf(sw.instance, id).txSkbs);
      return got === sent ? [] : [`${host}: eth0 got ${got} frames, port ${port} sent ${sent}`];
    } finally {
      nl.close();
    }
  });
}
