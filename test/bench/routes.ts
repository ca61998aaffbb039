// One of many routes changes: from the commit's request to the first answer of the router that shows it, and how long
// others wait for the daemon meanwhile. Among ten thousand it should not cost much more than among ten.
import { setTimeout as sleep } from 'node:timers/promises';
import { backendOf } from '../lab/mesh/compare.ts';
import { gatewayAddress, get } from '../lab/mesh/site.ts';
import { type Client, openBackends, openClient } from '../lab/mesh/talk.ts';
import { openSwitch, type TestSwitch } from '../lab/switch.ts';
import { alone, type Bench, type Group, type Row, short } from './row.ts';

const rulesOfOne = 10;
const objectsOfFile = 100;
const commits = 10;
/** Between two commits, so that none meets the work of the one before. */
const restMs = 300;
const pingMs = 5;

const document = `
ports: { swp1: { vlan: { access: 10 } }, swp2: { vlan: { access: 10 } } }
vlans: { net: { id: 10, address: [${gatewayAddress}/24] } }
gateway: { address: ${gatewayAddress} }
services:
  d: { port: 80, endpoints: { d1: { address: 10.10.0.12, port: 8005 } } }
  e: { port: 80, endpoints: { e1: { address: 10.10.0.12, port: 8006 } } }
`;
const hosts = {
  h1: { port: 'swp1', address: ['10.10.0.11/24'] },
  h2: { port: 'swp2', address: ['10.10.0.12/24'] },
};
const gateway = `apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: { name: edge }
spec: { gatewayClassName: midplane, listeners: [{ name: http, port: 80, protocol: HTTP }] }
`;

/** The HTTPRoute of a host, whose second rule goes to that service. */
function object(i: number, service: string): string {
  const rule = (n: number): string =>
    `    - matches: [{ path: { type: PathPrefix, value: /p${n} } }]\n` +
    `      backendRefs: [{ name: ${n === 1 ? service : 'd'}, port: 80 }]\n`;
  const rules = Array.from({ length: rulesOfOne }, (_, n) => rule(n)).join('');
  return `apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: { name: r${i} }
spec:
  parentRefs: [{ name: edge }]
  hostnames: [h${i}.test]
  rules:
${rules}`;
}

/** So many routes, of which one goes to that service. */
function manifestsOf(routes: number, service: 'd' | 'e'): Record<string, string> {
  const objects = Array.from({ length: routes / rulesOfOne }, (_, i) => object(i, i === 0 ? service : 'd'));
  const files: Record<string, string> = { 'gateway.yaml': gateway };
  for (let at = 0; at < objects.length; at += objectsOfFile)
    files[`routes${at}.yaml`] = objects.slice(at, at + objectsOfFile).join('---\n');
  return files;
}

interface Changed {
  /** To the first answer by the other backend. */
  readonly shownMs: number;
  readonly committedMs: number;
  /** The longest that a request to the API took meanwhile. */
  readonly pingMs: number;
}

async function change(sw: TestSwitch, client: Client, body: object, backend: string): Promise<Changed> {
  let over = false;
  let longest = 0;
  const pings = (async () => {
    while (!over) {
      const begun = performance.now();
      await sw.api('GET', '/v1/health');
      longest = Math.max(longest, performance.now() - begun);
      await sleep(pingMs);
    }
  })();
  const begun = performance.now();
  let committedMs = 0;
  const answer = sw.api<object>('POST', '/v1/commit', body).finally(() => (committedMs = performance.now() - begun));
  let given = '';
  while (given !== backend) {
    if (performance.now() - begun > 60_000) throw new Error(`no answer from ${backend}, but from ${given}`);
    given = backendOf(await client.ask({ address: gatewayAddress, port: 80, ...get('/p1', 'h0.test') }));
  }
  const shownMs = performance.now() - begun;
  const { status, body: said } = await answer;
  over = true;
  await pings;
  if (status !== 200) throw new Error(`commit: ${status} ${JSON.stringify(said).slice(0, 500)}`);
  return { shownMs, committedMs, pingMs: longest };
}

async function among(bench: Bench, routes: number): Promise<readonly Row[]> {
  const bodies = (['e', 'd'] as const).map((name) => ({ document, manifests: manifestsOf(routes, name) }));
  await using stack = new AsyncDisposableStack();
  const sw = stack.use(await openSwitch({ document, hosts, manifests: bodies[1]!.manifests }));
  stack.use(await openBackends(sw.lab.netnsOf('h2'), { d1: 8005, e1: 8006 }));
  const client = stack.use(openClient(sw.lab.netnsOf('h1')));
  const got: Changed[] = [];
  // The first two make code and memory warm.
  for (let i = 0; i < commits + 2; i += 1) {
    bench.signal.throwIfAborted();
    await sleep(restMs);
    const one = await change(sw, client, bodies[i % 2]!, i % 2 === 0 ? 'e1' : 'd1');
    if (i >= 2) got.push(one);
  }
  const of = (key: keyof Changed): number[] => got.map((one) => one[key]);
  bench.say(`one of ${routes} routes changes, ms: ${of('shownMs').map(short).join(' ')}`);
  const name = routes.toLocaleString('en');
  return [
    alone(`one of ${name} routes changes: commit's request to the first changed answer`, 'ms', of('shownMs')),
    alone(`the same, to the commit's answer`, 'ms', of('committedMs')),
    alone(`the same, the longest that a request to the API takes meanwhile`, 'ms', of('pingMs')),
  ];
}

export const routes: Group = {
  name: 'routes',
  what: 'commits that change one of 10, 1,000 and 10,000 routes',
  run: async (bench) => [...(await among(bench, 10)), ...(await among(bench, 1_000)), ...(await among(bench, 10_000))],
};
