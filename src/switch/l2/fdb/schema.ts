// fdb: { ageing: 300s, static: { web: { "02:00:00:00:00:01": swp1 } } }
import { z } from 'zod';
import { duration, macAddress } from '../../../config/types.ts';
import { portName } from '../../l1/port/schema.ts';

export const fdbSchema = z
  .strictObject({
    ageing: duration
      .default(300_000)
      .meta({ description: 'a learned address is kept so long unseen', examples: ['300s'] }),
    static: z
      .record(z.string(), z.record(macAddress, portName.meta({ description: 'port of the address' })))
      .default({})
      .meta({ description: 'addresses that are not learned: VLAN, MAC address, port' }),
  })
  .default({ ageing: 300_000, static: {} })
  .meta({ description: 'forwarding database' });

export type FdbSection = z.infer<typeof fdbSchema>;

/** What the slice offers while it runs. */
export interface FdbLive {
  /** Forgets what was learned at these ports; how many addresses. */
  flush(ports: readonly string[]): number;
}
