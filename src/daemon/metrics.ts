// What Prometheus is told of the forwarding core.
import type { Collector, Metric } from '../api/metrics.ts';
import type { Read } from '../engine/slice.ts';
import { dropReasons } from '../kernel/abi.ts';
import { type PortsLive, portsSchema } from '../switch/l1/port/schema.ts';

/** Counters and state of every port. */
export function portMetrics(read: Read): Collector {
  return () => {
    const live = read.live<PortsLive>('ports');
    const ports = Object.keys(read.running(portsSchema));
    const counters = ports.flatMap((port) => {
      const found = live?.counters(port);
      return found === undefined ? [] : [[port, found] as const];
    });
    const both = (rx: 'rx' | 'rxBytes', tx: 'tx' | 'txBytes') =>
      counters.flatMap(([port, c]) => [
        { labels: { port, direction: 'in' }, value: c[rx] },
        { labels: { port, direction: 'out' }, value: c[tx] },
      ]);
    const drops = counters.flatMap(([port, c]) =>
      Object.entries(dropReasons)
        .filter(([, i]) => (c.drop[i] ?? 0n) > 0n)
        .map(([reason, i]) => ({ labels: { port, reason }, value: c.drop[i] ?? 0n })),
    );
    const each = (key: 'fdbFull' | 'upSkipped') => counters.map(([port, c]) => ({ labels: { port }, value: c[key] }));
    const up = ports.map((port) => ({
      labels: { port },
      value: live?.statuses().get(port)?.state === 'up' ? 1 : 0,
    }));
    const metrics: Metric[] = [
      { name: 'midplane_port_packets_total', help: 'packets', type: 'counter', samples: both('rx', 'tx') },
      { name: 'midplane_port_bytes_total', help: 'bytes', type: 'counter', samples: both('rxBytes', 'txBytes') },
      { name: 'midplane_port_drops_total', help: 'dropped packets by reason', type: 'counter', samples: drops },
      {
        name: 'midplane_port_fdb_full_total',
        help: 'addresses not learned, since the table was full',
        type: 'counter',
        samples: each('fdbFull'),
      },
      {
        name: 'midplane_port_up_skipped_total',
        help: 'copies that up-limit kept from the switch itself',
        type: 'counter',
        samples: each('upSkipped'),
      },
      { name: 'midplane_port_up', help: '1 where the port forwards', type: 'gauge', samples: up },
    ];
    return metrics;
  };
}
