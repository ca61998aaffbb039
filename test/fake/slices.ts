// Two toy slices and a first document for the engine in memory.
import { z } from 'zod';
import { FaultError } from '../../src/engine/faults.ts';
import { command, type AnySlice } from '../../src/engine/slice.ts';
import { table } from '../../src/lib/table.ts';

const vlanName = z.union([
  z
    .string()
    .regex(/^[a-z][a-z0-9-]*$/)
    .meta({ description: 'name of a VLAN' }),
  z.number().int().min(1).max(4094),
]);

export const portSchema = z.record(
  z.string().regex(/^[a-z][a-z0-9-]{0,14}$/, 'a port is named like swp1'),
  z.strictObject({
    mtu: z
      .int()
      .min(68)
      .max(9216)
      .default(1500)
      .meta({ description: 'largest frame', examples: ['9000'] }),
    description: z.string().max(255).optional().meta({ description: 'what it is for' }),
    shutdown: z.boolean().optional().meta({ description: 'keep it down' }),
    speed: z.enum(['auto', '1G', '10G']).optional(),
    vlan: z
      .strictObject({
        access: vlanName.optional().meta({ names: 'vlans', description: 'the untagged VLAN' }),
        trunk: z.array(vlanName).optional().meta({ names: 'vlans', description: 'tagged VLANs' }),
      })
      .optional(),
  }),
);

export const vlanSchema = z.record(
  z.string().regex(/^[a-z][a-z0-9-]*$/),
  z.strictObject({
    id: z.int().min(1).max(4094).meta({ description: 'VLAN id' }),
    address: z.array(z.string().regex(/^[0-9a-f.:]+\/\d+$/, 'an address with its prefix length')).optional(),
    key: z.string().optional().meta({ secret: true }),
  }),
);

const portRow = z.object({ name: z.string(), mtu: z.number() });

export const portsSlice: AnySlice = {
  name: 'ports',
  schema: portSchema.meta({ description: 'physical and virtual ports' }),
  commands: [
    command({
      path: 'show ports',
      help: 'ports and their state',
      args: z.object({ port: z.string().optional().meta({ description: 'one port' }) }),
      data: z.array(portRow),
      role: 'viewer',
      complete: (_arg, read) => Object.keys(read.running(portSchema)),
      run: async ({ port }, read) => {
        const ports = Object.entries(read.running(portSchema)).map(([name, p]) => ({ name, mtu: p.mtu }));
        if (port === undefined) return ports;
        const one = ports.filter((row) => row.name === port);
        if (one.length === 0) throw new FaultError('not-found', `port ${port}`, 'there is no such port');
        return one;
      },
      render: (rows, columns) =>
        table(
          [{ title: 'Port' }, { title: 'MTU', align: 'right' }],
          rows.map((r) => [r.name, String(r.mtu)]),
          columns,
        ),
    }),
    command({
      path: 'show ports counters',
      help: 'counters of ports',
      args: z.object({}),
      data: z.object({ rx: z.bigint() }),
      role: 'viewer',
      run: async () => ({ rx: 2n ** 60n }),
      render: (data) => `rx ${data.rx}\n`,
    }),
    command({
      path: 'clear counters',
      help: 'counters to zero',
      args: z.object({}),
      data: z.object({}),
      role: 'operator',
      run: async () => ({}),
      render: () => 'cleared\n',
    }),
  ],
};

export const vlansSlice: AnySlice = {
  name: 'vlans',
  schema: vlanSchema.meta({ description: 'named VLANs' }),
  commands: [
    command({
      path: 'monitor vlans',
      help: 'watch VLANs',
      args: z.object({ count: z.number().int().default(3) }),
      data: z.object({ tick: z.number() }),
      role: 'viewer',
      async *run({ count }, _read, signal) {
        for (let tick = 1; tick <= count && !signal.aborted; tick += 1) {
          yield { tick };
          await new Promise((resolve) => setTimeout(resolve, 5));
        }
      },
      render: (data) => `tick ${data.tick}\n`,
    }),
    command({
      path: 'show lines',
      help: 'many lines',
      args: z.object({ lines: z.number().int().max(10_000).default(100) }),
      data: z.array(z.string()),
      role: 'viewer',
      run: async ({ lines }) => Array.from({ length: lines }, (_, i) => `line ${i + 1}`),
      render: (data) => data.map((line) => `${line}\n`).join(''),
    }),
  ],
};

export const firstDocument = `# the switch
ports:
  swp1: { mtu: 9000 } # uplink
  swp2:
    vlan: { trunk: [web, 20] }
vlans:
  web: { id: 10, address: [10.10.0.1/24], key: hush }
`;
