// ssh: { listen: [10.10.0.1:22], idle-timeout: 30m }
import { z } from 'zod';
import { endpoint } from '../../config/types.ts';

/** Where the SSH CLI listens: nowhere by default. */
export const sshSchema = z
  .strictObject({
    listen: z.array(endpoint).max(16).default([]).meta({ description: 'addresses and ports of the SSH CLI' }),
  })
  .prefault({})
  .meta({ description: 'the CLI over SSH' });
