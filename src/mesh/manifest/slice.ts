import type { Slice } from '../../engine/slice.ts';
import { checkManifests, kindNames } from './kinds.ts';
import { gatewaySectionSchema } from './schema.ts';
import { showManifests } from './show.ts';

/** `gateway`: the section and all Gateway API and Istio manifests. Snapshots are made of them by build.ts. */
export const gatewaySlice: Slice<typeof gatewaySectionSchema> = {
  name: 'gateway',
  schema: gatewaySectionSchema,
  manifests: kindNames,
  check: (_, look) => checkManifests(kindNames.flatMap((name) => look.manifests(name))),
  commands: [showManifests],
};
