// Golden pairs: each file of test/golden/mesh holds services and manifests, and what comes out. A new case is a new
// file with an empty `out`; UPDATE_GOLDEN=1 writes what comes out, to be read before it is committed.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { parse, stringify } from 'yaml';
import { readManifests } from '../../config/manifest.ts';
import { printProblem } from '../../config/problem.ts';
import { printEndpoints, printSnapshot } from '../print.ts';
import { registryOf } from '../registry/compile.ts';
import { servicesSchema } from '../registry/schema.ts';
import { buildSnapshots } from './build.ts';
import { checkManifests, unknownKind } from './kinds.ts';
import { renderManifests } from './show.ts';

const folder = join(import.meta.dirname, '../../../test/golden/mesh');

interface Golden {
  about: string;
  gateway?: string;
  services?: unknown;
  unhealthy?: string[];
  scopes?: string[];
  manifests: string;
  out?: Record<string, string>;
}

function result(file: string, golden: Golden): Record<string, string> {
  const bytes = Buffer.from(golden.manifests);
  const { manifests, problems } = readManifests([{ file, bytes }]);
  const all = [...problems, ...manifests.flatMap((m) => unknownKind(m) ?? []), ...checkManifests(manifests)];
  if (all.length > 0) return { problems: all.map((p) => `${printProblem(p)}\n`).join('') };
  const built = buildSnapshots({
    manifests,
    services: registryOf(servicesSchema.parse(golden.services ?? {})),
    gatewayAddress: golden.gateway,
    health: (guest) => !(golden.unhealthy ?? []).includes(guest),
  });
  const scopes = built.snapshots.filter((s) => (golden.scopes ?? ['router']).includes(s.scope));
  return {
    ...Object.fromEntries(scopes.map((s) => [s.scope, printSnapshot(s)])),
    ...(golden.unhealthy && { endpoints: printEndpoints(built.endpoints) }),
    status: renderManifests(built.status),
  };
}

for (const file of readdirSync(folder)
  .filter((name) => name.endsWith('.yaml'))
  .toSorted()) {
  test(`golden ${file}`, () => {
    const path = join(folder, file);
    const golden = parse(readFileSync(path, 'utf8')) as Golden;
    const out = result(file, golden);
    if (process.env['UPDATE_GOLDEN'] === '1') {
      writeFileSync(path, stringify({ ...golden, out }, { lineWidth: 0, blockQuote: 'literal' }));
      return;
    }
    assert.deepEqual(golden.out, out);
  });
}

test('there are golden files', () => assert.ok(readdirSync(folder).length > 0));
