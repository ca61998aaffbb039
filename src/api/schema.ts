// api: { listen: [10.10.0.1:9090], tokens: { ci: { role: operator, hash: sha256:... } } }
import { z } from 'zod';
import { endpoint, role } from '../config/types.ts';
import { isTokenHash } from '../lib/secret/token.ts';

const token = z.strictObject({
  role: role.default('viewer'),
  hash: z
    .string()
    .refine(isTokenHash, 'no hash of a token; "midplane new-token" makes a token and its hash')
    .meta({ description: 'hash of the token, by "midplane new-token"', examples: ['sha256:...'], secret: true }),
});

/** Where the HTTP API listens besides its unix socket: nowhere by default. */
export const apiSchema = z
  .strictObject({
    listen: z.array(endpoint).max(16).default([]).meta({ description: 'addresses and ports of the HTTP API' }),
    tokens: z
      .record(
        z.string().regex(/^[a-z][a-z0-9-]{0,31}$/, 'a token is named by lower-case letters, digits and dashes'),
        token,
      )
      .default({})
      .meta({ description: 'bearer tokens that may use it' }),
    'open-metrics': z.boolean().default(false).meta({ description: '/metrics needs no token' }),
  })
  .prefault({})
  .meta({ description: 'the HTTP API' });
