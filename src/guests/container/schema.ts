// containers: { web1: { image: nginx:1.27, port: { vlan: web }, address: [10.10.0.11/24], memory: 256M, cpus: 0.5,
//               service: { name: web, port: 80, labels: { version: v1 } } } }
import { z } from 'zod';
import { byteSize } from '../../config/types.ts';
import { guestFields, guestName } from '../schema.ts';

const words = z.array(z.string().max(32_768)).min(1).max(256);

const container = z.strictObject({
  image: z
    .string()
    .regex(/^[a-zA-Z0-9][a-zA-Z0-9._/:@-]{0,511}$/, 'not the name of an image')
    .meta({ description: 'OCI image, by name and tag or digest', examples: ['nginx:1.27'] }),
  command: words.optional().meta({ description: 'command and arguments; default: those of the image' }),
  entrypoint: words.optional().meta({ description: 'program in place of that of the image' }),
  memory: byteSize
    .refine((bytes) => bytes >= 8 * 2 ** 20, 'at least 8M')
    .prefault('256M')
    .meta({ description: 'memory at most' }),
  cpus: z
    .number()
    .min(0.01)
    .max(1024)
    .default(1)
    .meta({ description: 'CPUs at most', examples: [0.5] }),
  pids: z.int().min(1).max(100_000).default(100).meta({ description: 'processes and threads at most' }),
  ...guestFields,
});

export const containersSchema = z.record(guestName, container).default({}).meta({ description: 'containers by name' });

export type Containers = z.infer<typeof containersSchema>;
export type ContainerEntry = Containers[string];
