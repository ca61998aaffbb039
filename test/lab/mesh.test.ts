// One model, two routers: the switch's own and a real Envoy that the switch programs, on the same manifests. What
// generated requests and cases by hand get from each, and what changes do to both while they work.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { eventually } from '../fake/eventually.ts';
import { until } from './envoy.ts';
import { gatewayApiAct } from './mesh/cases/gatewayapi-act.ts';
import { gatewayApiMatch } from './mesh/cases/gatewayapi-match.ts';
import { istio } from './mesh/cases/istio.ts';
import { backendOf, compareAll } from './mesh/compare.ts';
import { generate } from './mesh/generate.ts';
import { judge } from './mesh/judge.ts';
import {
  accessLog,
  document,
  envoyAddress,
  gatewayAddress,
  get,
  openSite,
  type Site,
  type Which,
} from './mesh/site.ts';
import { type Given, openBackends } from './mesh/talk.ts';

const both = ['router', 'envoy'] as const;
const read = (name: string): string => readFileSync(join(import.meta.dirname, 'mesh/manifests', name), 'utf8');
const live = read('live.yaml');
const vocabulary = { 'gateway.yaml': read('gateway.yaml'), 'istio.yaml': read('istio.yaml') };
const sets = [gatewayApiMatch, gatewayApiAct, istio];
const manifests = { ...vocabulary, 'live.yaml': live, 'cases.yaml': sets.map((s) => s.manifests).join('\n---\n') };

const given = Number(process.env['MIDPLANE_TEST_SEED']);
const seeds = given > 0 ? [given] : [1, 2, 3];

/** Commits other texts; the change must be taken. */
async function commit(site: Site, texts: { document?: string; manifests?: Readonly<Record<string, string>> }) {
  const body = { document: texts.document ?? document, manifests: texts.manifests ?? manifests };
  const answer = await site.sw.api<{ ok: boolean }>('POST', '/v1/commit', body);
  assert.equal(answer.status, 200, JSON.stringify(answer.body));
  assert.equal(answer.body.ok, true);
}

const backend = async (site: Site, which: Which, path: string): Promise<string> =>
  backendOf(await site.ask(which, 80, get(path, 'live.test')));

await test('the router and an Envoy on the same manifests', async (t) => {
  await using site = await openSite(manifests);
  for (const seed of seeds) {
    await t.test(`200 generated requests, seed ${seed}`, async () => {
      const requests = generate(Object.values(vocabulary), { gateway: 80, istio: 8080 }, 200, seed);
      const { unrouted, backends, statuses } = await compareAll(site, requests, seed);
      assert.ok(unrouted * 3 >= requests.length, `${unrouted} of ${requests.length} met no route`);
      assert.ok(backends.size >= 6 && statuses.size >= 6, `only ${[...backends, ...statuses].join(' ')} were met`);
    });
  }
  for (const which of both) {
    await t.test(`cases by hand: the ${which}`, async () => {
      const wrong: string[] = [];
      const cases = sets.flatMap((set) => set.cases);
      assert.ok(cases.length >= 60);
      for (const one of cases) {
        await judge(site, which, one).catch((error: Error) => {
          const { method, path, headers } = one.ask;
          wrong.push(`${method} ${path} ${headers.join('; ')}\n${one.from}: ${one.says}\n${error.message}`);
        });
      }
      assert.equal(wrong.length, 0, wrong.join('\n\n'));
    });
  }
  await t.test('a dead endpoint is 503, a lost or slow one 504, each in time', () => late(site));
  await t.test('what is shown', () => shown(site));
  await t.test('endpoints change by a commit', () => endpointsChange(site));
  await t.test('routes change under load, and no request fails', () => changesUnderLoad(site));
  await t.test('paths are made normal as the document says', () => pathsChange(site));
  await t.test('the router has as many threads as the document says, and no request notices', () =>
    workersChange(site),
  );
  await t.test('a manifest that is dropped takes its routes along', () => dropped(site));
  await t.test('what an Envoy refuses is shown, and fails no commit', () => refused(site));
});

async function late(site: Site): Promise<void> {
  const wanted: readonly (readonly [string, number, number, number])[] = [
    // Without their times they would take the client's, 15 s.
    ['/dead', 503, 0, 8000],
    ['/lost', 504, 490, 8000],
    ['/slow', 504, 490, 8000],
  ];
  for (const which of both) {
    for (const [path, status, from, to] of wanted) {
      const got = await site.ask(which, 80, get(path, 'live.test'));
      const said = `${which} ${path}: ${got.status} in ${got.ms} ms`;
      assert.ok(got.status === status && got.ms >= from && got.ms <= to, said);
    }
  }
}

interface RouteRow {
  readonly route: string;
  readonly requests: number;
  readonly ok: number;
  readonly refused: number;
  readonly failed: number;
}

async function rowOf(site: Site, route: string): Promise<RouteRow | undefined> {
  const { data } = await site.sw.cli('show http routes');
  return (data as readonly RouteRow[]).find((row) => row.route === route);
}

async function shown(site: Site): Promise<void> {
  const names = ['httproute/default/live/1/0', 'httproute/default/live/4/0', '-'];
  const counts = async (): Promise<readonly number[]> => {
    const rows = await Promise.all(names.map((name) => rowOf(site, name)));
    return rows.flatMap((r) => [r?.requests ?? -1, r?.ok ?? -1, r?.refused ?? -1, r?.failed ?? -1]);
  };
  const before = await counts();
  for (const path of ['/moving', '/moving', '/slow', '/no/such', '/no/such', '/no/such']) {
    await site.ask('router', 80, get(path, 'live.test'));
  }
  // What an answer was is counted behind it.
  await eventually(async () => {
    const more = (await counts()).map((n, i) => n - (before[i] ?? 0));
    assert.deepEqual(more, [2, 2, 0, 0, 1, 0, 0, 1, 3, 0, 3, 0]);
  });
  const proxies = await site.sw.cli('show proxies');
  assert.match(proxies.text, /^h5 +gateway +delta +10\.10\.0\.15:\d+ +ok +ok +ok +ok$/m);
  const kinds = await site.sw.cli('show manifests');
  assert.match(kinds.text, /^Gateway default\/edge +ok +10\.10\.0\.1$/m);
  assert.match(kinds.text, /^ {2}http +ok +5 routes$/m);
  assert.match(kinds.text, /^HTTPRoute team\/abroad .*\n.* not ResolvedRefs: .*\n {4}no ReferenceGrant/m);
  const services = await site.sw.cli('show services');
  assert.match(services.text, /^a +- +80 +HTTP +a1 +10\.10\.0\.12:8001 +healthy +-\n +a2 +10\.20\.0\.13:8002/m);
  assert.match(services.text, /^v .* v1 +10\.20\.0\.13:8011 +healthy +version=v1$/m);
  assert.match(services.text, /^empty +- +80 +HTTP +- +- +- +-$/m);
  await until('the access log has it', () =>
    accessLog(site.sw).some(
      (line) => line['path'] === '/no/such' && line['status'] === 404 && line['flags'] === 'no-route',
    ),
  );
}

async function endpointsChange(site: Site): Promise<void> {
  for (const which of both) assert.equal(await backend(site, which, '/moving'), 'd1');
  const moved = document.replace(/moving: (\{ address: \S+) port: 8005/, 'moving: $1 port: 8006');
  assert.notEqual(moved, document);
  await commit(site, { document: moved });
  for (const which of both) {
    await until(`${which} has the new endpoint`, async () => (await backend(site, which, '/moving')) === 'e1');
  }
  await commit(site, {});
  for (const which of both) {
    await until(`${which} has the old endpoint`, async () => (await backend(site, which, '/moving')) === 'd1');
  }
}

async function changesUnderLoad(site: Site): Promise<void> {
  const ask = (address: string) => ({ ask: { address, port: 80, ...get('/load', 'live.test') }, connections: 4 });
  const loads = await Promise.all([gatewayAddress, envoyAddress].map((address) => site.client.load(ask(address))));
  for (let i = 0; i < 6; i += 1) {
    // Each time a service comes with its route, and another goes: new clusters, whose endpoints nobody knows yet.
    const [port, answers] = i % 2 === 0 ? [8006, 'e1'] : [8005, 'd1'];
    const service = `  fresh${i}: { port: 80, endpoints: { it: { address: 10.20.0.13, port: ${port} } } }\n`;
    const text = live.replace('name: one', `name: fresh${i}`);
    await commit(site, { document: `${document}${service}`, manifests: { ...manifests, 'live.yaml': text } });
    for (const which of both) {
      await until(`${which} has change ${i}`, async () => (await backend(site, which, '/load')) === answers);
    }
  }
  const ended = await Promise.all(loads.map((load) => load.stop()));
  for (const [i, { counts, bad }] of ended.entries()) {
    assert.deepEqual([bad, Object.keys(counts).toSorted()], [[], ['200 d1', '200 e1']], both[i] ?? '');
    assert.ok(
      Object.values(counts).every((count) => count >= 20),
      JSON.stringify(counts),
    );
  }
}

/** The document with this way of making paths normal. */
function normalizing(mode: string): string {
  return document.replace(/(gateway: \{ address: \S+) \}/, `$1, path-normalization: ${mode} }`);
}

async function pathsChange(site: Site): Promise<void> {
  const path = '/x/../moving//y%2fz';
  const passed = async (which: Which): Promise<string> => {
    const { status, body } = await site.ask(which, 80, get(path, 'live.test'));
    return status === 200 ? (JSON.parse(body) as { url: string }).url : String(status);
  };
  for (const which of both) assert.equal(await passed(which), '/moving//y%2fz', `${which}: base is the default`);
  const modes = { 'merge-slashes': '/moving/y%2fz', 'decode-and-merge-slashes': '/moving/y/z', none: '404' };
  for (const [mode, wanted] of Object.entries(modes)) {
    await commit(site, { document: normalizing(mode) });
    assert.equal(await passed('router'), wanted, `${mode}, at once`);
    await until(`Envoy has ${mode}`, async () => (await passed('envoy')) === wanted);
  }
  const body = { document: normalizing('merge'), manifests };
  const answer = await site.sw.api('POST', '/v1/commit', body);
  assert.notEqual(answer.status, 200);
  assert.match(JSON.stringify(answer.body), /path-normalization/);
  assert.equal(await passed('router'), '404', 'a bad way changes nothing');
  await commit(site, {});
  await site.settled();
}

async function workersChange(site: Site): Promise<void> {
  const threads = async (): Promise<number> => {
    return ((await site.sw.cli('show http workers')).data as readonly unknown[]).length;
  };
  const began = await threads();
  const load = await site.client.load({
    ask: { address: gatewayAddress, port: 80, ...get('/load', 'live.test') },
    connections: 8,
  });
  for (const workers of [4, 1, 3]) {
    const changed = document.replace(/(gateway: \{ address: \S+) \}/, `$1, workers: ${workers}, drain-timeout: 5s }`);
    await commit(site, { document: changed });
    assert.equal(await threads(), workers);
  }
  const answer = await site.sw.api('POST', '/v1/commit', {
    document: document.replace(/(gateway: \{ address: \S+) \}/, '$1, workers: 0 }'),
    manifests,
  });
  assert.notEqual(answer.status, 200);
  assert.equal(await threads(), 3, 'a bad number changes nothing');
  await commit(site, {});
  assert.equal(await threads(), began);
  const { bad } = await load.stop();
  assert.deepEqual(bad, []);
}

async function dropped(site: Site): Promise<void> {
  const rest = Object.entries(manifests).filter(([name]) => name !== 'live.yaml');
  await commit(site, { manifests: Object.fromEntries(rest) });
  const status = async (which: Which): Promise<Given> => site.ask(which, 80, get('/load', 'live.test'));
  assert.equal((await status('router')).status, 404, 'at once');
  await until('Envoy has no such route', async () => (await status('envoy')).status === 404);
  assert.equal(await rowOf(site, 'httproute/default/live/0/0'), undefined);
  await commit(site, {});
  assert.equal((await status('router')).status, 200);
  await until('Envoy has it again', async () => (await status('envoy')).status === 200);
}

async function refused(site: Site): Promise<void> {
  await using stack = new AsyncDisposableStack();
  stack.use(await openBackends(site.sw.lab.netnsOf('h5'), { taken: 9999 }));
  const gateway = `
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: { name: taken }
spec: { gatewayClassName: midplane, listeners: [{ name: http, port: 9999, protocol: HTTP }] }
`;
  await commit(site, { manifests: { ...manifests, 'taken.yaml': gateway } });
  await until('the refusal is shown', async () => {
    const { text } = await site.sw.cli('show proxies');
    return /^h5 .* REFUSED +ok$/m.test(text) && /^h5 refused lds \S+: .*Address already in use/m.test(text);
  });
  assert.equal((await site.ask('router', 9999, get('/', 'x.test'))).status, 404, 'the switch itself serves it');
  for (const which of both) assert.equal(await backend(site, which, '/moving'), 'd1', 'all else goes on');
  assert.ok(site.sw.log.some((line) => line['msg'] === 'proxy refused an update'));
  await commit(site, {});
  await site.settled();
}
