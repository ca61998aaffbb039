import { test } from 'node:test';
import { openSite } from './site.ts';
import { judge } from './judge.ts';
import { gatewayApiMatch } from './cases/gatewayapi-match.ts';
import { gatewayApiAct } from './cases/gatewayapi-act.ts';
import { istio } from './cases/istio.ts';
test('probe', async () => {
  const sets = [gatewayApiMatch, gatewayApiAct, istio];
  await using site = await openSite({ 'a.yaml': sets.map((s) => s.manifests).join('\n---\n') });
  console.log((await site.sw.cli('show manifests')).text);
  let n = 0;
  for (const one of sets.flatMap((s) => s.cases))
    for (const which of ['router', 'envoy'] as const) {
      n += 1;
      try {
        await judge(site, which, one);
      } catch (e) {
        console.log(
          which,
          one.port,
          one.ask.method,
          one.ask.path,
          one.ask.headers,
          one.from,
          (e as Error).message.slice(0, 500),
        );
      }
    }
  console.log(n / 2);
});
