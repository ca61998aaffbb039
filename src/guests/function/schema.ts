// functions: { hello: { source: functions/hello.ts, memory: 128M, port: { vlan: web }, address: [10.10.0.12/24],
//              service: { name: web, port: 80 } } }
import { z } from 'zod';
import { byteSize, duration } from '../../config/types.ts';
import { guestFields, guestName } from '../schema.ts';

const mebibyte = 2 ** 20;

const fn = z.strictObject({
  source: z
    .string()
    .regex(/\.(ts|mts|js|mjs)$/, 'not a TypeScript or JavaScript file')
    .meta({
      description: 'module with `export default { fetch(request, env, ctx) }`',
      examples: ['functions/hello.ts'],
    }),
  memory: byteSize
    .refine((bytes) => bytes >= 64 * mebibyte, 'at least 64M')
    .prefault('128M')
    .meta({ description: 'memory at most' }),
  cpus: z
    .number()
    .min(0.01)
    .max(1024)
    .default(1)
    .meta({ description: 'CPUs at most', examples: [0.5] }),
  pids: z.int().min(16).max(100_000).default(64).meta({ description: 'processes and threads at most' }),
  timeout: duration
    .refine((ms) => ms >= 10 && ms <= 3_600_000, 'between 10ms and 1h')
    .prefault('10s')
    .meta({ description: 'time that a request may take' }),
  ...guestFields,
});

export const functionsSchema = z.record(guestName, fn).default({}).meta({ description: 'functions by name' });

export type Functions = z.infer<typeof functionsSchema>;
export type FunctionEntry = Functions[string];

/** Port that a function listens on: that of its service, else 80. */
export const portOfFunction = (entry: FunctionEntry): number => entry.service?.port ?? 80;
