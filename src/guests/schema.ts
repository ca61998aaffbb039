// What the sections of all guests have in common. Container, VM and function spread it into their own entry.
import { z } from 'zod';
import { cidr, duration, ipAddress } from '../config/types.ts';
import { guestPort, portName } from '../switch/l1/port/schema.ts';

/** A guest's name is its port's name, and a part of DNS names. */
export const guestName = portName.refine((name) => !name.endsWith('-'), 'a guest is not named by a dash at its end');

const tcpPort = z.int().min(1).max(65535);

export const guestService = z
  .strictObject({
    name: z
      .string()
      .regex(/^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$/, 'not a DNS label')
      .meta({ description: 'service that the guest answers for', examples: ['web'] }),
    port: tcpPort.meta({ description: 'port that the guest listens on' }),
    labels: z.record(z.string(), z.string()).default({}).meta({ description: 'what subsets choose by' }),
  })
  .meta({ description: 'service that the guest is an endpoint of' });

const timing = {
  interval: duration
    .refine((ms) => ms >= 100 && ms <= 3_600_000, 'between 100ms and 1h')
    .prefault('2s')
    .meta({ description: 'time between two checks' }),
  timeout: duration
    .refine((ms) => ms >= 10 && ms <= 60_000, 'between 10ms and 1m')
    .prefault('1s')
    .meta({ description: 'time that an answer may take' }),
  failures: z.int().min(1).max(100).default(3).meta({ description: 'failures in a row that make it unhealthy' }),
};

export const guestHealth = z
  .union([
    z.strictObject({ tcp: z.strictObject({ port: tcpPort }), ...timing }),
    z.strictObject({
      http: z.strictObject({
        port: tcpPort,
        path: z
          .string()
          .regex(/^\/[^\s#]*$/, 'not a path')
          .max(1024)
          .default('/'),
      }),
      ...timing,
    }),
  ])
  .meta({ description: 'check that decides if its services send it traffic' });

/** Fields of every guest's entry. */
export const guestFields = {
  description: z.string().max(255).optional().meta({ description: 'free text' }),
  port: guestPort,
  address: z
    .array(cidr)
    .max(16)
    .default([])
    .meta({ description: 'addresses of the guest', examples: ['10.10.0.11/24'] }),
  gateway: z
    .array(ipAddress)
    .max(2)
    .optional()
    .meta({ description: 'next hops of its default routes; default: the addresses of its VLAN' }),
  dns: z.array(ipAddress).max(3).optional().meta({ description: 'name servers; default: its gateways' }),
  environment: z
    .record(z.string().regex(/^[A-Za-z_][A-Za-z0-9_]{0,127}$/, 'not the name of a variable'), z.string().max(32_768))
    .default({})
    .meta({ description: 'environment variables' }),
  restart: z.enum(['always', 'never']).default('always').meta({ description: 'what happens when it ends' }),
  service: guestService.optional(),
  health: guestHealth.optional(),
};

const guest = z.strictObject(guestFields);

/** What the shared code reads of an entry. */
export type Guest = z.infer<typeof guest>;
export type Health = z.infer<typeof guestHealth>;
