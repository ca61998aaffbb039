import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readManifests } from './manifest.ts';
import { printProblem } from './problem.ts';

const read = (text: string, more = ''): ReturnType<typeof readManifests> => {
  const files = [{ file: 'a.yaml', bytes: Buffer.from(text) }];
  return readManifests(more === '' ? files : [...files, { file: 'b.yaml', bytes: Buffer.from(more) }]);
};

const route = `# Routes of the shop.
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata:
  name: shop
  labels: { app: shop }
  creationTimestamp: null
spec:
  hostnames: [shop.example]
---
apiVersion: v1
kind: ConfigMap
metadata: { name: words, namespace: web, creationTimestamp: "2026-01-01T00:00:00Z" }
data: { a: "1" }
`;

test('objects with their places; the namespace defaults', () => {
  const { manifests, problems } = read(route);
  assert.deepEqual(problems, []);
  const [first, second] = manifests;
  assert.ok(first && second);
  assert.deepEqual(first.metadata, { name: 'shop', namespace: 'default', labels: { app: 'shop' } });
  assert.deepEqual([first.file, first.line, first.column], ['a.yaml', 3, 1]);
  assert.deepEqual(first.at(['spec', 'hostnames', 0]), { line: 10, column: 15 });
  assert.equal(second.metadata.creationTimestamp, '2026-01-01T00:00:00Z');
  assert.deepEqual([second.spec, second.object['data']], [undefined, { a: '1' }]);
  assert.ok(Object.isFrozen(first) && Object.isFrozen(first.spec));
});

test('a List is its items', () => {
  const item = '{ apiVersion: v1, kind: Secret, metadata: { name: a } }';
  const { manifests, problems } = read(
    `apiVersion: v1\nkind: List\nitems:\n- ${item}\n- ${item.replace('a }', 'b }')}\n`,
  );
  assert.deepEqual(problems, []);
  assert.deepEqual(
    manifests.map(({ metadata, line }) => [metadata.name, line]),
    [
      ['a', 4],
      ['b', 5],
    ],
  );
});

test('the same object twice, in one file or two, whatever its version', () => {
  const object = (version: string, group = 'x.io'): string =>
    `{ apiVersion: ${group}/${version}, kind: Gateway, metadata: { name: g } }\n`;
  const { problems } = read(`${object('v1')}---\n${object('v1', 'y.io')}`, object('v1beta1'));
  assert.deepEqual(problems.map(printProblem), [
    'b.yaml:1:1: Gateway default/g stands here again; the first is at a.yaml:1',
  ]);
});

test('mistakes', () => {
  const rows = [
    ['[]', 'a.yaml:1:1: must be a map: an object with apiVersion, kind and metadata'],
    ['{ kind: A, metadata: { name: a } }', 'a.yaml:1:1: apiVersion is missing'],
    ['{ apiVersion: v1, metadata: { name: a } }', 'a.yaml:1:1: kind is missing'],
    [
      '{ apiVersion: 1, kind: A, metadata: { name: a } }',
      'a.yaml:1:15: apiVersion: must be text (write "1" in quotes)',
    ],
    ['{ apiVersion: x, kind: A, metadata: { name: a } }', 'a.yaml:1:15: apiVersion: "x" is not GROUP/VERSION'],
    ['{ apiVersion: v1, kind: A }', 'a.yaml:1:1: metadata: metadata is missing'],
    ['{ apiVersion: v1, kind: A, metadata: {} }', 'a.yaml:1:38: metadata: name is missing'],
    [
      '{ apiVersion: v1, kind: A, metadata: { name: A_b } }',
      'a.yaml:1:46: metadata.name: "A_b" is no object name: lower case letters, digits, "-" and ".", at most 253',
    ],
    [
      '{ apiVersion: v1, kind: A, metadata: { name: a, namespace: a.b } }',
      'a.yaml:1:60: metadata.namespace: "a.b" is no namespace: lower case letters, digits and "-", at most 63',
    ],
    [
      '{ apiVersion: v1, kind: A, metadata: { name: a, labels: { b: 1 } } }',
      'a.yaml:1:62: metadata.labels.b: must be text (write "1" in quotes)',
    ],
    ['a: [', /^a.yaml:1:5: /],
    ['a: 1\na: 2', 'a.yaml:2:1: a: the key "a" stands here twice'],
  ] as const;
  for (const [text, message] of rows) {
    const { manifests, problems } = read(text);
    assert.equal(manifests.length, 0, text);
    const printed = problems.map(printProblem);
    if (typeof message === 'string') assert.deepEqual(printed, [message], text);
    else assert.match(printed.join('\n'), message);
  }
});
