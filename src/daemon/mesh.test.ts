// A candidate that has much in common with what was read and built before: it comes to what it would come to alone, and
// costs what is new in it.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { pki } from '../../test/fake/pki.ts';
import type { Document } from '../config/load.ts';
import { compile } from '../engine/revision/compile.ts';
import { loadingCandidate } from '../engine/revision/load.ts';
import type { AnySlice } from '../engine/slice.ts';
import { atOnce } from '../lib/work/turns.ts';
import { buildSnapshots } from '../mesh/manifest/build.ts';
import { kindNames } from '../mesh/manifest/kinds.ts';
import { registryOf } from '../mesh/registry/compile.ts';
import { servicesSchema } from '../mesh/registry/schema.ts';
import type { Snapshot } from '../mesh/snapshot.ts';
import { slices } from '../slices.ts';
import { type Consumers, meshSlice } from './mesh.ts';

const ours = pki();
after(() => ours[Symbol.dispose]());
const { chain, key } = ours.issue('a', 'DNS:*.test');
const base64 = (text: string): string => Buffer.from(text).toString('base64');

/** Compiling asks no consumer for anything. */
const withMesh = (): readonly AnySlice[] => [...slices, meshSlice({} as Consumers, new Set())];

interface Text {
  readonly document: string;
  readonly manifests: Readonly<Record<string, string>>;
}

/** What one engine after the other may keep. */
interface Memory {
  readonly slices: readonly AnySlice[];
  readonly documents: readonly Document[];
  readonly snapshots?: readonly Snapshot[];
}

const nothing = (): Memory => ({ slices: withMesh(), documents: [] });

/** All that can be seen of a candidate, and what is kept for the next. */
function take({ document, manifests }: Text, memory: Memory): { readonly seen: unknown; readonly memory: Memory } {
  const loaded = atOnce(loadingCandidate(memory.slices, document, manifests, memory.documents));
  if (!loaded.ok) return { seen: loaded.problems, memory };
  const documents = [loaded.document, ...memory.documents.slice(0, 1)];
  const input = { slices: memory.slices, document: loaded.document, instance: 'x', baseMac: '02:00:00:00:00:00' };
  const compiled = compile({ ...input, file: () => undefined });
  if (!('resources' in compiled)) return { seen: compiled, memory: { ...memory, documents } };
  const { snapshots, places, status } = buildSnapshots({
    manifests: kindNames.flatMap((name) => compiled.look.manifests(name)),
    services: registryOf(compiled.look(servicesSchema)),
    health: () => true,
    before: memory.snapshots,
  });
  const placed = loaded.document.manifests.map((manifest) => ({
    ...manifest,
    at: [[], ['metadata', 'name'], ['spec', 'rules', 0, 'backendRefs']].map((path) => manifest.at(path)),
  }));
  const seen = { placed, resources: [...compiled.resources.values()], snapshots, places, status };
  return { seen, memory: { ...memory, documents, snapshots } };
}

const gatewayApi = 'apiVersion: gateway.networking.k8s.io/v1\n';

/** The last one is of another namespace than its Gateway and its backends. */
const route = (n: number, more: string, backend = 'web'): string => `${gatewayApi}kind: HTTPRoute
metadata: { name: r${n}, namespace: ${n === 3 ? 'apps' : 'default'} }
spec:
  parentRefs: [{ name: edge, namespace: default }, { name: edge, namespace: default, sectionName: plain }]
  hostnames: [h${n % 3}.test, "*.test"]
  rules:
    - matches: [{ path: { value: /${n} } }]
      backendRefs: [{ name: ${backend}, namespace: default, port: 80 }, { name: api, namespace: default, port: 81 }]
${more}`;

/** Each may be there or not, in each of its forms. */
const forms: readonly (readonly string[])[] = [
  [
    `${gatewayApi}kind: Gateway\nmetadata: { name: edge }
spec:
  gatewayClassName: midplane
  addresses: [{ value: 10.0.0.9 }]
  listeners:
    - { name: plain, port: 80, protocol: HTTP, allowedRoutes: { namespaces: { from: All } } }
    - { name: tls, port: 443, protocol: HTTPS, tls: { certificateRefs: [{ name: shown }] } }\n`,
    `${gatewayApi}kind: Gateway\nmetadata: { name: edge }
spec: { gatewayClassName: midplane, listeners: [{ name: plain, port: 81, protocol: HTTP }] }\n`,
  ],
  ...Array.from({ length: 4 }, (_, n) => [
    route(n, ''),
    route(n, '      timeouts: { request: 3s }\n'),
    route(n, '', 'gone'),
    route(n, '      timeout: {}\n'),
    route(n, '      a: [\n'),
    route(n, '      name: *x\n'),
  ]),
  [
    `apiVersion: gateway.networking.k8s.io/v1beta1\nkind: ReferenceGrant\nmetadata: { name: g }
spec:
  from: [{ group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: apps }]
  to: [{ group: "", kind: Service }]\n`,
  ],
  [
    `apiVersion: v1\nkind: Secret\nmetadata: { name: shown }\ntype: kubernetes.io/tls
data: { tls.crt: ${base64(chain)}, tls.key: ${base64(key)} }\n`,
    `apiVersion: v1\nkind: Secret\nmetadata: { name: shown }\ntype: kubernetes.io/tls\ndata: { tls.crt: QQ== }\n`,
  ],
  [
    `apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: { name: d }
spec: { host: web, trafficPolicy: { loadBalancer: { simple: RANDOM } } }\n`,
  ],
  ...['1s', '2s'].map((idle) => [
    `apiVersion: midplane.dev/v1alpha1\nkind: RoutePolicy\nmetadata: { name: p${idle} }
spec:
  targetRefs: [{ group: gateway.networking.k8s.io, kind: HTTPRoute, name: r1 }]
  timeout: { idle: ${idle} }\n`,
  ]),
];

const documents = [
  'services: { web: { port: 80 }, api: { port: 81 } }\n',
  'services: { web: { port: 80, endpoints: { a: { address: 10.0.0.1, port: 80 } } } }\n',
  'services: { web: { port: 8080 }, api: { port: 81, address: 10.0.0.7 } }\n',
  'services: { wob: { port: 80 } }\ngateway: { address: 10.0.0.10 }\n',
  'services: { web: { prot: 80 } }\n',
];

/** One edit: a form of one manifest (none: it goes), lines before it, its file; or another document. */
const edit = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      which: fc.nat(forms.length - 1),
      form: fc.constantFrom(0, 0, 0, 0, 0, 1, 1, 1, 2, 2, -1, -1, 3, 4, 5),
      lines: fc.nat(2),
      file: fc.constantFrom('a.yaml', 'a.yaml', 'b.yaml'),
      twice: fc.nat(15).map((n) => n === 0),
    }),
  },
  { weight: 1, arbitrary: fc.record({ document: fc.constantFrom(0, 0, 1, 1, 2, 2, 3, 4) }) },
);

interface Standing {
  readonly text: string;
  readonly file: string;
}

test('whatever was read and built before, a candidate comes to what it comes to alone', () => {
  const property = fc.property(fc.array(edit, { minLength: 1, maxLength: 12 }), (edits) => {
    const standing: (Standing | undefined)[] = forms.map(([text = '']) => ({ text, file: 'a.yaml' }));
    let document = documents[0] ?? '';
    let { memory } = take(textOf(document, standing), nothing());
    for (const each of edits) {
      if ('document' in each) document = documents[each.document] ?? '';
      else {
        const text = forms[each.which]?.[each.form];
        const whole = `${'# a line\n'.repeat(each.lines)}${text}${each.twice ? `---\n${text}` : ''}`;
        standing[each.which] = text === undefined ? undefined : { text: whole, file: each.file };
      }
      const text = textOf(document, standing);
      const warm = take(text, memory);
      assert.deepEqual(warm.seen, take(text, nothing()).seen);
      memory = warm.memory;
    }
  });
  fc.assert(property, { numRuns: process.env['MIDPLANE_TEST_LONG'] === '1' ? 500 : 25 });
});

function textOf(document: string, standing: readonly (Standing | undefined)[]): Text {
  const files = ['a.yaml', 'b.yaml'].map((file) => {
    const texts = standing.flatMap((each) => (each?.file === file ? [each.text] : []));
    return [file, texts.join('---\n')] as const;
  });
  return { document, manifests: Object.fromEntries(files) };
}

test('to change one of thousands of routes costs a part of what all of them cost', () => {
  const hosts = process.env['MIDPLANE_TEST_LONG'] === '1' ? 1000 : 150;
  const rule = (n: number, timeout: string): string =>
    `    - { matches: [{ path: { value: /p${n} } }], backendRefs: [{ name: web, port: 80 }], timeouts: { request: ${timeout} } }\n`;
  const host = (n: number, timeout: string): string =>
    `${gatewayApi}kind: HTTPRoute\nmetadata: { name: h${n} }\nspec:\n  parentRefs: [{ name: edge }]
  hostnames: [h${n}.test]\n  rules:\n${Array.from({ length: 10 }, (_, i) => rule(i, timeout)).join('')}`;
  const text = (timeout: string): Text => ({
    document: documents[1] ?? '',
    manifests: Object.fromEntries([
      ['edge.yaml', forms[0]?.[1] ?? ''],
      ...Array.from({ length: hosts / 50 }, (_, file) => {
        const all = Array.from({ length: 50 }, (_each, i) => host(file * 50 + i, file + i === 7 ? timeout : '1s'));
        return [`h${file}.yaml`, all.join('---\n')] as const;
      }),
    ]),
  });
  const cost = (timeout: string, memory: Memory): { readonly ms: number; readonly memory: Memory } => {
    const given = text(timeout);
    const begun = process.threadCpuUsage();
    const { seen, memory: kept } = take(given, memory);
    const { user, system } = process.threadCpuUsage(begun);
    assert.ok(typeof seen === 'object' && seen !== null && 'snapshots' in seen);
    return { ms: (user + system) / 1000, memory: kept };
  };
  const cold = cost('1s', nothing());
  let warm = cold;
  const all = [2, 3, 4, 5, 6].map((n) => (warm = cost(`${n}s`, warm.memory)).ms);
  const best = Math.min(...all);
  assert.ok(best * 5 < cold.ms, `all ${cold.ms.toFixed(0)} ms, one ${best.toFixed(0)} ms`);
});
