// A router or a proxy that serves what manifests say, as a commit would have it.
import assert from 'node:assert/strict';
import { readManifests } from '../../src/config/manifest.ts';
import { buildSnapshots } from '../../src/mesh/manifest/build.ts';
import { registryOf } from '../../src/mesh/registry/compile.ts';
import { servicesSchema } from '../../src/mesh/registry/schema.ts';
import type { Consumer, Scope } from '../../src/mesh/snapshot.ts';

/** Gives the consumer the text's manifests, beside a document's section `services`. Fails where they are not in order
 * or it does not take them. */
export async function serveManifests(
  consumer: Consumer,
  text: string,
  services: unknown,
  scope: Scope = 'router',
): Promise<void> {
  const { manifests, problems } = readManifests([{ file: 'm.yaml', bytes: Buffer.from(text) }]);
  assert.deepEqual(problems, []);
  const registry = registryOf(servicesSchema.parse(services));
  const health = (): boolean => true;
  const built = buildSnapshots({ manifests, services: registry, gatewayAddress: '127.0.0.1', health });
  for (const each of built.endpoints) consumer.endpoints(each);
  const answer = await consumer.offer(built.snapshots.find((s) => s.scope === scope)!);
  assert.ok(answer.ok, JSON.stringify(answer));
}
