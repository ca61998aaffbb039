import { z } from 'zod';
import { duration, ipAddress } from '../../config/types.ts';
import type { Slice } from '../../engine/slice.ts';
import { checkingManifests, kindNames } from './kinds.ts';
import { showManifests } from './show.ts';
import { pathNormalizations } from '../snapshot.ts';

/** Threads, and how long what they carry may go on after them. */
const mostWorkers = 64;
export const defaultDrainMs = 3_600_000;
export const mostDrainMs = 24 * defaultDrainMs;

/** Section `gateway`: where Gateways listen that name no address of their own, how paths are read, and what the router
 * is. */
export const gatewaySectionSchema = z
  .strictObject({
    address: ipAddress.optional().meta({ description: 'address of Gateways that name none' }),
    'path-normalization': z
      .enum(pathNormalizations)
      .optional()
      .meta({ description: 'what is done to a path before it is decided by and passed on; default: base' }),
    workers: z
      .int()
      .min(1)
      .max(mostWorkers)
      .optional()
      .meta({ description: 'threads of the router; default: one a core' }),
    'drain-timeout': duration
      .refine((ms) => ms <= mostDrainMs, 'has to be a day or less')
      .optional()
      .meta({
        description: 'how long connections may go on with a daemon, or a worker, that is replaced; default: 1h',
      }),
  })
  .default({})
  .meta({ description: 'the L7 gateway', examples: [{ address: '10.10.0.1' }] });

/** `gateway`: the section and all Gateway API and Istio manifests. Snapshots are made of them by build.ts. */
export const gatewaySlice: Slice<typeof gatewaySectionSchema> = {
  name: 'gateway',
  schema: gatewaySectionSchema,
  manifests: kindNames,
  check: (_, look) => checkingManifests(kindNames.flatMap((name) => look.manifests(name))),
  commands: [showManifests],
};
