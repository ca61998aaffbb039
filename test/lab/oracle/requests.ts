// Requests for the routes of manifests.yaml: of each route at least twenty that it takes, and near misses, which differ
// from one of those in one field.
export interface Asked {
  /** The route that the request was made for. */
  readonly route: string;
  /** Whether one field of it keeps it from that route. */
  readonly miss: boolean;
  readonly method: string;
  readonly host: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  /** The backend that the route has, or the status that it answers with. */
  readonly to: string;
}

interface Shape {
  readonly route: string;
  readonly to: string;
  readonly path: string;
  /** Whether more may follow the path. */
  readonly prefix?: boolean;
  readonly host?: string;
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly query?: string;
  /** The one field that differs, each. */
  readonly misses: readonly Partial<Pick<Asked, 'method' | 'host' | 'path' | 'headers'>>[];
}

const shop = 'shop.example.com';
const gold = { 'x-tier': 'gold' };

const shapes: readonly Shape[] = [
  { route: 'exact', to: 'one', path: '/exact', misses: [{ path: '/exact/' }, { path: '/exac' }, { path: '/Exact' }] },
  { route: 'prefix', to: 'two', path: '/pre/fix', prefix: true, misses: [{ path: '/pre/fixx' }, { path: '/pre/fi' }] },
  { route: 'short prefix', to: 'three', path: '/pre', prefix: true, misses: [{ path: '/prex' }, { path: '/pr' }] },
  { route: 'regex', to: 'one', path: '/r/12', misses: [{ path: '/r/' }, { path: '/r/1x' }, { path: '/r/12/xx' }] },
  { route: 'regex, longer', to: 'one', path: '/r/7/x', misses: [{ path: '/r/7/y' }, { path: '/r/7/x/' }] },
  {
    route: 'two headers',
    to: 'one',
    path: '/head',
    prefix: true,
    headers: { ...gold, 'x-eu': 'yes' },
    misses: [{ headers: { ...gold, 'x-eu': 'no' } }, { headers: { 'x-tier': 'golden', 'x-eu': 'yes' } }],
  },
  {
    route: 'one header',
    to: 'two',
    path: '/head',
    prefix: true,
    headers: gold,
    misses: [{ headers: { 'x-tier': 'Gold' } }],
  },
  { route: 'no header', to: 'three', path: '/head', prefix: true, misses: [{ path: '/headd' }, { headers: gold }] },
  {
    route: 'two parameters',
    to: 'one',
    path: '/ask',
    prefix: true,
    query: 'v=2&Beta=on',
    misses: [{ path: '/ask?v=2&Beta=off' }, { path: '/ask?v=2&beta=on' }, { path: '/ask?v=3&Beta=on' }],
  },
  {
    route: 'one parameter',
    to: 'two',
    path: '/ask',
    prefix: true,
    query: 'v=2',
    misses: [{ path: '/ask?v=22' }, { path: '/ask?V=2' }, { path: '/ask?x=1&v=2' }, { path: '/ask' }],
  },
  {
    route: 'PUT',
    to: 'one',
    path: '/do',
    prefix: true,
    method: 'PUT',
    misses: [{ method: 'POST' }, { method: 'DELETE' }],
  },
  {
    route: 'DELETE',
    to: 'two',
    path: '/do',
    prefix: true,
    method: 'DELETE',
    misses: [{ method: 'GET' }, { method: 'PUT' }],
  },
  {
    route: 'edits',
    to: 'one',
    path: '/edit',
    prefix: true,
    headers: { 'x-set': 'client', 'x-add': 'client', 'x-gone': '1', 'x-stays': '1' },
    misses: [{ path: '/edi' }, { path: '/edited' }],
  },
  {
    route: 'rewrite of a prefix',
    to: 'two',
    path: '/cut',
    prefix: true,
    misses: [{ path: '/cuts' }, { host: 'x.example.com' }],
  },
  { route: 'rewrite of a path', to: 'three', path: '/new', prefix: true, misses: [{ path: '/ne' }, { path: '/news' }] },
  { route: 'redirect', to: '301', path: '/moved', prefix: true, misses: [{ path: '/move' }, { path: '/movedd' }] },
  { route: 'redirect to https', to: '302', path: '/secure', prefix: true, misses: [{ path: '/secured' }] },
  {
    route: 'wildcard',
    to: 'two',
    path: '/any',
    prefix: true,
    host: 'cart.example.com',
    misses: [{ host: 'example.com' }, { host: 'cart.example.org' }, { host: 'a.deep.example.com' }, { host: shop }],
  },
  {
    route: 'deeper wildcard',
    to: 'three',
    path: '/any',
    prefix: true,
    host: 'a.deep.example.com',
    misses: [{ host: 'deep.example.com' }, { host: 'a.deeper.example.com' }, { path: '/an' }],
  },
];

const endings = ['', '/', '/a', '/a/b', '/a/b/', '/a%20b', '/%7euser', '/a;p=1', '/.x', '/a/../b'];
const queries = ['', 'q=1', 'a=%2F&b=', 'x=1&x=2'];
const extras: readonly Readonly<Record<string, string>>[] = [
  {},
  { 'x-other': 'gold' },
  { 'X-Mixed-Case': 'Kept', accept: '*/*' },
  { cookie: 'a=1; b=2', 'user-agent': 'oracle/1' },
];
const hosts = (name: string): readonly string[] => [name, `${name}:8080`, name.toUpperCase()];

/** Ten misses for each dozen hits at most: six of ten requests are taken by the route that they were made for. */
const hitsOf = 24;
const missesOf = 12;

function join(path: string, ...query: readonly string[]): string {
  const all = query.filter((piece) => piece !== '').join('&');
  return all === '' ? path : `${path}${path.includes('?') ? '&' : '?'}${all}`;
}

function asked(shape: Shape, i: number, miss?: Shape['misses'][number]): Asked {
  const { route, to, method = 'GET', headers = {}, query = '' } = shape;
  const ending = shape.prefix === true ? endings[i % endings.length]! : '';
  const names = hosts(miss?.host ?? shape.host ?? shop);
  const path = miss?.path ?? join(`${shape.path}${ending}`, query);
  return {
    route,
    to,
    miss: miss !== undefined,
    method: miss?.method ?? method,
    host: names[i % names.length]!,
    path: join(path, queries[i % queries.length]!),
    headers: { ...extras[i % extras.length], ...(miss?.headers ?? headers) },
  };
}

/** All of them, in the same order each time. */
export function requests(): readonly Asked[] {
  return shapes.flatMap((shape) => [
    ...Array.from({ length: hitsOf }, (_, i) => asked(shape, i)),
    ...Array.from({ length: missesOf }, (_, i) => asked(shape, i, shape.misses[i % shape.misses.length])),
  ]);
}
