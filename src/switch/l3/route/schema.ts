// routes: { 0.0.0.0/0: { via: [192.0.2.0] }, 10.9.0.0/16: { blackhole: true } }
import { z } from 'zod';
import { ipAddress, prefix } from '../../../config/types.ts';

const route = z
  .strictObject({
    via: z.array(ipAddress).min(1).optional().meta({ description: 'next hops; several share the load' }),
    device: z.string().optional().meta({ description: 'port or SVI that the next hop is reached by' }),
    blackhole: z.boolean().default(false).meta({ description: 'drops what goes there' }),
    metric: z.int().min(0).max(4_294_967_295).default(0).meta({ description: 'lower is preferred' }),
  })
  .refine(
    (r) => r.blackhole !== (r.via !== undefined || r.device !== undefined),
    'has either next hops or blackhole: true',
  );

export const routesSchema = z.record(prefix, route).default({}).meta({ description: 'static routes by prefix' });

export type Routes = z.infer<typeof routesSchema>;
