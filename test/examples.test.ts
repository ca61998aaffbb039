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
import { isMap, isScalar, isSeq, LineCounter, type Node, parse, parseAllDocuments, parseDocument } from 'yaml';
import { documentRoot, type Place, placeOf } from '../src/cli/document/place.ts';
import { printProblem, type Problem } from '../src/config/problem.ts';
import { problemsOf } from '../src/daemon/once/check.ts';
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
  'configs/examples/manifests/tls.yaml': 'configs/examples/tls.yaml',
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
  readonly column: number;
}

/** All words of the schemas and all single values in the text. */
function spotsIn(file: string): readonly Spot[] {
  const lines = new LineCounter();
  const spots: Spot[] = [];
  const add = (kind: Spot['kind'], node: Node, path: Spot['path']): void => {
    const [start, end] = node.range ?? [0, 0];
    const { line, col: column } = lines.linePos(start);
    spots.push({ kind, path, start, end, line, column });
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
  const kind = Object.values(kinds).find((one) => [one.group, one.kind].filter(Boolean).join('/') === name);
  assert.ok(kind, `${name} is not known`);
  return placeOf(kind.schema);
}

/** The text with other words at the spot. A block scalar keeps its line's end. */
function instead(text: string, { start, end }: Spot, words: string): string {
  return text.slice(0, start) + words + (text.slice(start, end).endsWith('\n') ? '\n' : '') + text.slice(end);
}

/** Fails unless the changed text has a Problem at the spot that says what is meant. */
function mustFind(file: string, spot: Spot, words: string, meant: RegExp): void {
  const found = problemsWith(file, instead(read(file), spot, words));
  const there = found.some(
    ({ file: at, line, column, message, hint = '' }) =>
      basename(at) === basename(file) &&
      line === spot.line &&
      column === spot.column &&
      meant.test(`${message} ${hint}`),
  );
  const said = found.map((problem) => printProblem(problem)).join('; ');
  const where = `${file}:${spot.line}:${spot.column}: ${spot.path.join('.')} as ${words}`;
  assert.ok(there, `${where}: ${said || 'nothing was said'}`);
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

test('names that every object of JavaScript has are names like others, where they are given and where they are not', () => {
  const file = 'configs/examples/functions.yaml';
  const named = `ports: { constructor: { vlan: { access: constructor } } }
vlans: { constructor: { id: 10, address: [10.0.10.1/24] } }
services: { constructor: { port: 80, endpoints: { constructor: { address: 10.0.10.9, port: 80 } } } }
functions:
  f1: { source: functions/hello.ts, port: { vlan: constructor }, address: [10.0.10.2/24], service: { name: constructor, port: 80 } }
`;
  assert.deepEqual(problemsWith(file, named), []);
  const nowhere = 'vlans: { web: { id: 10 } }\nports: { swp1: { vlan: { access: constructor } } }\n';
  const [problem] = problemsWith(file, nowhere);
  assert.deepEqual([problem?.line, problem?.column, problem?.path], [2, 34, 'ports.swp1.vlan.access']);
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
    for (const spot of keys) {
      const word = String(spot.path.at(-1));
      mustFind(file, spot, `${word}z`, new RegExp(`(not known here|no section).*"${word}"`));
    }
  });

  test(`${file}: each value of another type is found`, () => {
    const values = spots.filter((spot) => spot.kind === 'value');
    assert.ok(values.length > 0);
    for (const spot of values) mustFind(file, spot, '{ surely-not: 1 }', /must be|not a map|instead of a map/);
  });

  const text = read(file);
  const references = spots.flatMap((spot) => {
    const words = spot.kind === 'value' ? nothing(spot.path, text.slice(spot.start, spot.end)) : undefined;
    return words === undefined ? [] : [{ spot, words }];
  });
  if (references.length === 0) continue;
  test(`${file}: each reference to nothing is found`, () => {
    for (const { spot, words } of references) mustFind(file, spot, words, /./);
  });
}

interface Overlap {
  readonly text: string;
  /** Where the second stands, and what is said of it. */
  readonly line: number;
  readonly column: number;
  readonly meant: RegExp;
}

/** The text of a document with one thing more, which overlaps with one that is there: a VLAN's id, an address, a
 * device, or at the least the same key again. */
function overlapping(text: string): Overlap {
  const document = parseDocument(text);
  const { vlans = {}, ports = {} } = document.toJS() as Readonly<Record<string, Record<string, Entry | null>>>;
  const [id] = Object.values(vlans).flatMap((vlan) => vlan?.id ?? []);
  const [address] = [...Object.values(vlans), ...Object.values(ports)].flatMap((each) => each?.address ?? []);
  const [port] = Object.entries(ports);
  const add = (section: string, entry: unknown, meant: RegExp, at = /\{/): Overlap => {
    document.setIn([section, 'zz9'], document.createNode(entry, { flow: true }));
    const added = document.toString({ lineWidth: 0 });
    const line = added.split('\n').findIndex((each) => /\bzz9:/.test(each)) + 1;
    const words = added.split('\n')[line - 1] ?? '';
    return { text: added, line, column: words.search(at) + 1, meant };
  };
  if (address !== undefined)
    return add('ports', { address: [address] }, new RegExp(`${address} overlaps ${address} of`), /(?<=\[ ?)[^ [].*\]/);
  if (id !== undefined) return add('vlans', { id }, new RegExp(`VLAN id ${id} is .*'s`));
  if (port !== undefined) {
    const [name, entry] = port;
    const device = entry?.device ?? name;
    return add('ports', { device }, new RegExp(`${device} is the device of port ${name} too`));
  }
  const key = /^([a-z]+):/m.exec(text)?.[1] ?? assert.fail(text);
  const again = `${text.trimEnd()}\n${key}: {}\n`;
  return { text: again, line: again.split('\n').length - 1, column: 1, meant: /stands here twice/ };
}

interface Entry {
  readonly id?: number;
  readonly address?: readonly string[];
  readonly device?: string;
}

for (const file of documents.filter((each) => /^[a-z]+:/m.test(read(each)))) {
  test(`${file}: what overlaps is found`, () => {
    const { text, line, column, meant } = overlapping(read(file));
    const found = problemsWith(file, text);
    const there = found.some((each) => each.line === line && each.column === column && meant.test(each.message));
    assert.ok(there, `${line}:${column} ${meant.source}: ${found.map(printProblem).join('; ')}\n${text}`);
  });
}

for (const file of manifests) {
  test(`${file}: an object that stands there twice is found`, () => {
    const text = read(file);
    const first = text.split(/^---$/m)[0] ?? '';
    const found = problemsWith(file, `${text.trimEnd()}\n---\n${first}`);
    const line = text.trimEnd().split('\n').length + 1 + first.split('\n').findIndex((each) => /^[a-z]/.test(each)) + 1;
    const there = found.some(
      (each) => each.line === line && / stands here again; the first is at line /.test(each.message),
    );
    assert.ok(there, `${line}: ${found.map(printProblem).join('; ')}`);
  });
}

function check(...files: readonly string[]): ReturnType<typeof spawnSync> {
  return spawnSync(process.execPath, [join(root, 'src/main.ts'), 'check', ...files], { encoding: 'utf8', cwd: root });
}

test('`midplane check` finds them all good, and its exit code is 0', () => {
  assert.equal(check(...documents).status, 0);
});

test('`midplane check` prints the place and the meaning of each mistake in each document; its exit code is 1', () => {
  const folder = mkdtempSync(join(tmpdir(), 'mpt-examples-'));
  try {
    const wrong = documents.flatMap((file) => {
      const spots = spotsIn(file);
      const key = spots.find((spot) => spot.kind === 'key');
      const value = spots.find((spot) => spot.kind === 'value');
      if (key === undefined || value === undefined) return [];
      const text = read(file);
      const over = overlapping(text);
      return [
        { text: instead(text, key, `${String(key.path.at(-1))}z`), ...pick(key), meant: /did you mean/ },
        { text: instead(text, value, '{ surely-not: 1 }'), ...pick(value), meant: /must be/ },
        { text: over.text, ...pick(over), meant: over.meant },
      ];
    });
    const files = wrong.map(({ text }, i) => {
      const file = join(folder, `wrong-${i}.yaml`);
      writeFileSync(file, text);
      return file;
    });
    const ran = check(...files);
    assert.equal(ran.status, 1);
    assert.equal(ran.stdout, '');
    const said = String(ran.stderr).split('\n');
    assert.ok(wrong.length >= 40, `${wrong.length} mistakes`);
    for (const [i, { line, column, meant }] of wrong.entries()) {
      const place = `${files[i] ?? ''}:${line}:${column}: `;
      assert.ok(
        said.some((each) => each.startsWith(place) && meant.test(each)),
        `${place}${meant.source}\n${said.filter((each) => each.includes(`wrong-${i}.`)).join('\n')}`,
      );
    }
    for (const [i, file] of files.entries()) assert.equal(readFileSync(file, 'utf8'), wrong[i]?.text);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

const pick = ({ line, column }: { line: number; column: number }) => ({ line, column });
