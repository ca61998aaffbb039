// The same request to both routers, again and again until all backends that can answer have: what came back, and what
// each backend saw.
import assert from 'node:assert/strict';
import type { Generated } from './generate.ts';
import type { Site, Which } from './site.ts';
import type { Given, Header, Request } from './talk.ts';

interface Seen {
  readonly method: string;
  readonly url: string;
  readonly headers: readonly string[];
  readonly answer: readonly string[];
}

interface View {
  readonly statuses: readonly number[];
  /** By backend; "-" is the router itself. */
  readonly by: Readonly<Record<string, Seen>>;
}

/** Envoy's own words about a hop, and what differs from run to run. */
const left = /^(date|connection|keep-alive|content-length|content-type|transfer-encoding|x-envoy-.*|x-request-id|te)$/;

function bare(headers: readonly Header[]): readonly string[] {
  return headers
    .map(([name, value]) => [name.toLowerCase(), value] as const)
    .filter(([name]) => !left.test(name))
    .toSorted(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
    .map(([name, value]) => `${name}: ${value}`);
}

/** Who answered: a backend, or "-". */
export function backendOf(given: Given): string {
  return given.headers.find(([name]) => name === 'x-backend')?.[1] ?? '-';
}

/** What a backend saw, from its answer's body. */
export function echoOf(given: Given): { method: string; url: string; headers: Header[] } | undefined {
  if (backendOf(given) === '-' || given.body === '') return undefined;
  const { method, url, rawHeaders } = JSON.parse(given.body) as { method: string; url: string; rawHeaders: string[] };
  const headers = rawHeaders.flatMap((name, i): Header[] => (i % 2 === 0 ? [[name, rawHeaders[i + 1] ?? '']] : []));
  return { method, url, headers };
}

function viewOf(list: readonly Given[]): View {
  const by: Record<string, Seen> = {};
  for (const given of list) {
    const echo = echoOf(given) ?? { method: '', url: '', headers: [] };
    by[backendOf(given)] = { ...echo, headers: bare(echo.headers), answer: bare(given.headers) };
  }
  return { statuses: [...new Set(list.map((g) => g.status))].toSorted((a, b) => a - b), by };
}

/** Without the port that the request's Host names. Gateway API puts the listener's port into Location, and none where
 * it is the scheme's own; Envoy can put one there, but not leave the Host's out. */
function withoutHostPort(view: View, request: Request): View {
  const port = /:\d+$/.exec(request.headers[0]?.[1] ?? '')?.[0];
  const itself = view.by['-'];
  if (port === undefined || itself === undefined) return view;
  const bareHost = (line: string): string =>
    line.replace(new RegExp(`^(location: https?://[^/:]+)${port}(?=/|$)`), '$1');
  return { ...view, by: { ...view.by, '-': { ...itself, answer: itself.answer.map(bareHost) } } };
}

/** Asks both until they agree on the set of backends, `least` times at least and `most` at most. */
export async function compare(site: Site, { port, request }: Generated, least = 3, most = 100) {
  const given: Record<Which, Given[]> = { router: [], envoy: [] };
  for (let i = 0; i < most; i += 1) {
    const [ours, theirs] = await Promise.all([site.ask('router', port, request), site.ask('envoy', port, request)]);
    given.router.push(ours);
    given.envoy.push(theirs);
    if (i === 0 && backendOf(ours) === '-' && backendOf(theirs) === '-') break;
    if (i + 1 >= least && names(given.router) === names(given.envoy)) break;
  }
  const view = (list: readonly Given[]): View => withoutHostPort(viewOf(list), request);
  return { router: view(given.router), envoy: view(given.envoy) };
}

function names(list: readonly Given[]): string {
  return [...new Set(list.map(backendOf))].toSorted((a, b) => (a < b ? -1 : 1)).join(' ');
}

export interface Met {
  /** Requests that no route took. */
  readonly unrouted: number;
  readonly backends: ReadonlySet<string>;
  readonly statuses: ReadonlySet<number>;
}

/** Compares all; fails with every request that the two treat differently. */
export async function compareAll(site: Site, requests: readonly Generated[], seed: number): Promise<Met> {
  const differences: string[] = [];
  const backends = new Set<string>();
  const statuses = new Set<number>();
  let unrouted = 0;
  for (const one of requests) {
    const { router, envoy } = await compare(site, one);
    if (router.statuses[0] === 404 && Object.keys(router.by).join() === '-') unrouted += 1;
    for (const name of Object.keys(router.by)) backends.add(name);
    for (const status of router.statuses) statuses.add(status);
    try {
      assert.deepEqual(router, envoy);
    } catch (error) {
      const { method, path, headers } = one.request;
      const lines = headers.map(([name, value]) => `${name}: ${value}`).join('\n');
      differences.push(`port ${one.port}, seed ${seed}:\n${method} ${path}\n${lines}\n${(error as Error).message}`);
    }
  }
  assert.equal(differences.length, 0, differences.slice(0, 10).join('\n\n'));
  return { unrouted, backends, statuses };
}
