import { z } from 'zod';
import { ipAddress } from '../../config/types.ts';
import { pathNormalizations } from '../snapshot.ts';

/** Section `gateway`: where Gateways listen that name no address of their own, and how paths are read. */
export const gatewaySectionSchema = z
  .strictObject({
    address: ipAddress.optional().meta({ description: 'address of Gateways that name none' }),
    'path-normalization': z
      .enum(pathNormalizations)
      .optional()
      .meta({ description: 'what is done to a path before it is decided by and passed on; default: base' }),
  })
  .default({})
  .meta({ description: 'the L7 gateway', examples: [{ address: '10.10.0.1' }] });
