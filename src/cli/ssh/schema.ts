// ssh: { listen: [10.10.0.1:22], idle-timeout: 30m }
import { z } from 'zod';
import { canonical } from '../../config/types.ts';
import { parseEndpoint, printEndpoint } from '../../lib/endpoint.ts';

export const endpoint = canonical((text) => {
  const parsed = parseEndpoint(text);
  return parsed
    ? printEndpoint(parsed)
    : { message: 'not an address with a port, like 10.0.0.1:22 or [2001:db8::1]:22' };
}).meta({ description: 'address and port', examples: ['10.0.0.1:22', '[2001:db8::1]:22'] });

/** Where the SSH CLI listens: nowhere by default. */
export const sshSchema = z
  .strictObject({
    listen: z.array(endpoint).max(16).default([]).meta({ description: 'addresses and ports of the SSH CLI' }),
  })
  .prefault({})
  .meta({ description: 'the CLI over SSH' });
