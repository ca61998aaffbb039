import { test } from 'node:test';
import { openSite, get } from './site.ts';
import { readFileSync } from 'node:fs';
import { generate } from './generate.ts';
import { compareAll } from './compare.ts';
test('probe', async () => {
  const routes = readFileSync('test/lab/mesh/manifests/gateway.yaml', 'utf8');
  const istio = readFileSync('test/lab/mesh/manifests/istio.yaml', 'utf8');
  await using site = await openSite({ 'gateway.yaml': routes, 'istio.yaml': istio });
  for (const seed of (process.env['SEEDS'] ?? '1,2,3,4,5').split(',').map(Number)) {
    const t = Date.now();
    try {
    console.log(seed, await compareAll(site, generate([routes, istio], { gateway: 80, istio: 8080 }, 200, seed), seed), Date.now() - t);
    } catch (e) { console.log((e as Error).message); }
  }
});
