import { z } from 'zod';
import { ipAddress } from '../../config/types.ts';

const port = z.int().min(1).max(65535);
/** RFC 1035 label: it becomes a part of the service's DNS name. */
const name = z.string().regex(/^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$/, 'not a DNS label');

const endpoint = z.strictObject({
  address: ipAddress.meta({ description: 'where it answers' }),
  port: port.meta({ description: 'port it listens on' }),
  labels: z.record(z.string(), z.string()).default({}).meta({ description: 'what subsets choose by' }),
  weight: z.int().min(1).max(1000).default(1).meta({ description: 'share of the traffic, against the others' }),
  guest: z.string().optional().meta({ description: 'guest whose health decides' }),
});

const notUdp = (text: string): boolean => !/^udp(-|$)/i.test(text);
const noUdp = 'the router serves no UDP';

const service = z.strictObject({
  port: port.optional().meta({ description: 'port that clients use (default: that of its endpoints)' }),
  protocol: z
    .enum(['HTTP', 'HTTP2', 'GRPC', 'TCP', 'auto'])
    .optional()
    .meta({ description: 'what is spoken on the port (default: HTTP); auto: what its first bytes say, within 100 ms' }),
  'app-protocol': z
    .string()
    .regex(
      /^([a-z0-9.-]{1,253}\/)?[A-Za-z0-9][A-Za-z0-9-]{0,62}$/,
      'not a protocol like "https" or "kubernetes.io/h2c"',
    )
    .refine(notUdp, noUdp)
    .optional()
    .meta({
      description: 'the same as Kubernetes says it: kubernetes.io/h2c, kubernetes.io/ws, https, grpc, mongo ...',
    }),
  'port-name': z
    .string()
    .regex(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/, 'not the name of a port')
    .refine(notUdp, noUdp)
    .optional()
    .meta({ description: 'the same by the name of the port, as Istio reads it: http-web, grpc-api, tcp-db ...' }),
  address: ipAddress.optional().meta({ description: 'address of its own, that clients connect to' }),
  endpoints: z.record(name, endpoint).default({}).meta({ description: 'places that answer, beside the guests' }),
});

/** Section `services`: names that guests and fixed endpoints answer for. */
export const servicesSchema = z
  .record(name, service)
  .default({})
  .meta({ description: 'services and their endpoints', examples: [{ web: { port: 80, address: '10.10.0.80' } }] });

export type Services = z.infer<typeof servicesSchema>;
