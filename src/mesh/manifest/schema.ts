import { z } from 'zod';
import { ipAddress } from '../../config/types.ts';

/** Section `gateway`: where Gateways listen that name no address of their own. */
export const gatewaySectionSchema = z
  .strictObject({
    address: ipAddress.optional().meta({ description: 'address of Gateways that name none' }),
  })
  .default({})
  .meta({ description: 'the L7 gateway', examples: [{ address: '10.10.0.1' }] });
