// Every file under configs/ is good, and what an example says wrongly is found where it stands: each of its keys
// misspelt, each of its values of another type, each of its references to nothing. The mutations are made from the parsed
// text, so that a new example is tested by being there.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { test } from 'node:test';
import { isMap, isScalar, isSeq, LineCounter, type Node, parse, parseAllDocuments } from 'yaml';
import { documentRoot, type Place, placeOf } from '../src/cli/document/place.ts';
import type { Problem } from '../src/config/problem.ts';
import { problemsOf } from '../src/daemon/check.ts';
import { hostsSchema } from '../src/lab/hosts.ts';
import { kindName, kinds } from '../src/mesh/manifest/kinds.ts';
import { slices } from '../src/slices.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const find = (pattern: string): readonly string[] => globSync(pattern, { cwd: root }).toSorted();
const read = (file: string): string => readFileSync(join(root, file), 'utf8');

/** Which document the manifests in a folder or a file belong to. */
const documentOf: Readonly<Record<string, string>> = {
  'configs/lab/manifests/gateway.yaml': 'configs/lab.yaml',
  'configs/examples/manifests/shop.yaml': 'configs/examples/gateway.yaml',
  'configs/examples/manifests/mesh.yaml': 'configs/examples/mesh.yaml',
};
const hosts = 'configs/lab/hosts.yaml';
const manifests = find('configs/**/manifests/*.yaml');
const documents = find('configs/**/*.yaml').filter((file) => file !== hosts && !manifests.includes(file));

/** A document, or a manifest with its document, as they would be with `text` in place of the file's own. */
function problemsWith(file: string, text: string): readonly Problem[] {
  const document = documentOf[file];
  const bytes = Buffer.from(document === undefined ? text : read(document));
  return problemsOf(join(root, document ?? file), bytes, document === undefined ? {} : { [join(root, file)]: text });
}

/** A place in the text where something can be written instead, and what is then to be said there. */
interface Spot {
  readonly kind: 'key' | 'value';
  readonly path: readonly (string | number)[];
  readonly start: number;
  readonly end: number;
  readonly line: number;
}

/** All words of the schemas and all single values in the text. */
function spotsIn(file: string): readonly Spot[] {
  const lines = new LineCounter();
  const spots: Spot[] = [];
  const add = (kind: Spot['kind'], node: Node, path: Spot['path']): void => {
    const [start, end] = node.range ?? [0, 0];
    spots.push({ kind, path, start, end, line: lines.linePos(start).line });
  };
  const walk = (node: unknown, place: Place | undefined, path: Spot['path']): void => {
    if (isMap(node)) {
      for (const pair of node.items) {
        const name = String(isScalar(pair.key) ? pair.key.value : '');
        const word = place?.words.get(name);
        if (word !== undefined) add('key', pair.key as Node, [...path, name]);
        walk(pair.value, word?.() ?? place?.entries?.place(), [...path, name]);
      }
    } else if (isSeq(node)) {
      for (const [i, item] of node.items.entries()) walk(item, place?.item, [...path, i]);
    } else if (isScalar(node) && place !== undefined) add('value', node, path);
  };
  const document = documentOf[file] === undefined ? documentRoot(slices) : undefined;
  for (const each of parseAllDocuments(read(file), { lineCounter: lines })) {
    if (document !== undefined) walk(each.contents, document, []);
    else walk(each.get('spec'), placeOfKind(each.toJS()), ['spec']);
  }
  return spots;
}

function placeOfKind(manifest: unknown): Place {
  const name = kindName(manifest as Parameters<typeof kindName>[0]);
  const kind = Object.values(kinds).find((one) => `${one.group}/${one.kind}` === name);
  assert.ok(kind, `${name} is not known`);
  return placeOf(kind.schema);
}

/** The text with other words at the spot. A block scalar keeps its line's end. */
function instead(text: string, { start, end }: Spot, words: string): string {
  return text.slice(0, start) + words + (text.slice(start, end).endsWith('\n') ? '\n' : '') + text.slice(end);
}

/** Fails unless the changed text has a Problem on the spot's line. */
function mustFind(file: string, spot: Spot, words: string): void {
  const found = problemsWith(file, instead(read(file), spot, words));
  const there = found.some((problem) => basename(problem.file) === basename(file) && problem.line === spot.line);
  const said = found.map((problem) => `${problem.line}: ${problem.path}: ${problem.message}`).join('; ');
  assert.ok(there, `${file}:${spot.line}: ${spot.path.join('.')} as ${words}: ${said || 'nothing was said'}`);
}

/** What a reference to nothing is, by the path of the value. Undefined: the value refers to nothing else. */
function nothing(path: Spot['path'], value: string): string | undefined {
  const dotted = path.join('.');
  if (/^ports\.[^.]+\.vlan\.|\.port\.vlan(\.|$)/.test(dotted)) return /^\d/.test(value) ? undefined : 'nowhere';
  if (/^fdb\.static\.[^.]+\..+$/.test(dotted)) return 'nowhere';
  if (/^routes\..+\.via\.\d+$/.test(dotted)) return value.includes(':') ? '"fd99::9"' : '203.0.113.9';
  if (/^functions\.[^.]+\.source$/.test(dotted)) return 'functions/nowhere.ts';
  return undefined;
}

test('every document is good, alone and with its manifests', () => {
  assert.ok(documents.length >= 14, `${documents.length} documents`);
  for (const file of documents) assert.deepEqual(problemsWith(file, read(file)), [], file);
  assert.deepEqual(manifests.toSorted(), Object.keys(documentOf).toSorted(), 'a manifest belongs to a document');
  for (const file of manifests) assert.deepEqual(problemsWith(file, read(file)), [], file);
});

test('the hosts of the lab are good, and each is plugged into a port that there is', () => {
  const lab = parse(read('configs/lab.yaml')) as { ports: Record<string, unknown> };
  for (const [name, host] of Object.entries(hostsSchema.parse(parse(read(hosts))))) {
    assert.ok(lab.ports[host.port], `${name} is plugged into ${host.port}`);
  }
});

for (const file of [...documents, ...manifests]) {
  const spots = spotsIn(file);

  test(`${file}: each key misspelt is found`, () => {
    const keys = spots.filter((spot) => spot.kind === 'key');
    assert.ok(keys.length > 0);
    for (const spot of keys) mustFind(file, spot, `${String(spot.path.at(-1))}z`);
  });

  test(`${file}: each value of another type is found`, () => {
    const values = spots.filter((spot) => spot.kind === 'value');
    assert.ok(values.length > 0);
    for (const spot of values) mustFind(file, spot, '{ surely-not: 1 }');
  });

  const text = read(file);
  const references = spots.flatMap((spot) => {
    const words = spot.kind === 'value' ? nothing(spot.path, text.slice(spot.start, spot.end)) : undefined;
    return words === undefined ? [] : [{ spot, words }];
  });
  if (references.length === 0) continue;
  test(`${file}: each reference to nothing is found`, () => {
    for (const { spot, words } of references) mustFind(file, spot, words);
  });
}

function check(...files: readonly string[]): ReturnType<typeof spawnSync> {
  return spawnSync(process.execPath, [join(root, 'src/main.ts'), 'check', ...files], { encoding: 'utf8', cwd: root });
}

test('`midplane check` finds them all good, and its exit code is 0', () => {
  assert.equal(check(...documents).status, 0);
});

test('`midplane check` prints the place and the meaning, and its exit code is 1', () => {
  const folder = mkdtempSync(join(tmpdir(), 'mpt-examples-'));
  try {
    const wrong = read('configs/examples/access-switch.yaml').replace('access: office', 'acess: office');
    const line = wrong.split('\n').findIndex((each) => each.includes('acess')) + 1;
    const file = join(folder, 'wrong.yaml');
    writeFileSync(file, wrong);
    const ran = check(file);
    assert.equal(ran.status, 1);
    assert.match(
      String(ran.stderr),
      new RegExp(`wrong.yaml:${line}:\\d+: ports\\.swp1\\.vlan\\.acess: .*mean "access"`),
    );
  } finally {
    rmSync(folder, { recursive: true });
  }
});
