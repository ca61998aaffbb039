// system: { hostname: leaf1, log: { level: info } }
import { z } from 'zod';
import { logLevels } from '../../lib/log.ts';

/** RFC 1123 2.1: labels of letters, digits and inner dashes. */
const hostname = z
  .string()
  .max(253)
  .regex(/^(?!-)[A-Za-z0-9-]{1,63}(?<!-)(\.(?!-)[A-Za-z0-9-]{1,63}(?<!-))*$/, 'not a host name')
  .meta({ description: 'name of the switch, as the prompt shows it', examples: ['leaf1'] });

export const systemSchema = z
  .strictObject({
    hostname: hostname.default('midplane'),
    log: z
      .strictObject({
        level: z.enum(logLevels).default('info').meta({ description: 'least urgent level that is logged' }),
      })
      .prefault({})
      .meta({ description: "the daemon's log" }),
  })
  .prefault({})
  .meta({ description: 'the switch itself' });
