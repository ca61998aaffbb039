import { z } from 'zod';
import { ipAddress } from '../../config/types.ts';
import type { Slice } from '../../engine/slice.ts';
import { checkManifests, kindNames } from './kinds.ts';
import { showManifests } from './show.ts';
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

/** `gateway`: the section and all Gateway API and Istio manifests. Snapshots are made of them by build.ts. */
export const gatewaySlice: Slice<typeof gatewaySectionSchema> = {
  name: 'gateway',
  schema: gatewaySectionSchema,
  manifests: kindNames,
  check: (_, look) => checkManifests(kindNames.flatMap((name) => look.manifests(name))),
  commands: [showManifests],
};
