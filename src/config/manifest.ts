// Gateway API, Istio and core objects, read from streams of YAML documents exactly as `kubectl apply` takes them.
import { defaultLimits, decodeText, type Limits } from './limits.ts';
import { isWithin, type Path } from './path.ts';
import { type Problem, problemAt } from './problem.ts';
import { movedDown, type Piece, readPieces } from './pieces.ts';
import { atOnce } from '../lib/work/turns.ts';
import type { Position, Tree } from './yaml.ts';

/** A Gateway API, Istio or core object as it stood in its file. */
export interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
    readonly creationTimestamp?: string;
  };
  readonly spec: unknown;
  /** The whole object as parsed (ConfigMap and Secret have no spec). */
  readonly object: Readonly<Record<string, unknown>>;
  readonly file: string;
  readonly line: number;
  readonly column: number;
  /** Position of a path inside the object: of its value, unless its key is asked for. */
  at(path: Path, part?: 'key' | 'value'): Position;
}

/** What is in a file, as bytes or as text, and the name that Problems call it by. */
export interface SourceFile {
  readonly file: string;
  readonly bytes: Uint8Array | string;
}

/** What was read of a file: its text and the objects of each piece of it. */
export interface ReadFile {
  readonly text: string;
  readonly parts: readonly Part[];
}

interface Part {
  readonly piece: Piece;
  /** Lines of the file before it. */
  readonly before: number;
  readonly manifests: readonly Manifest[];
  readonly problems: readonly Problem[];
}

/** Files as they were read, by name. */
export type ReadFiles = ReadonlyMap<string, ReadFile>;

interface Objects {
  readonly manifests: readonly Manifest[];
  readonly problems: readonly Problem[];
  /** Those that are text. */
  readonly files: ReadFiles;
}

/** All objects of the files in order, and what is wrong with them. A List counts as its items. */
export function readManifests(files: readonly SourceFile[], limits: Limits = defaultLimits): Objects {
  return atOnce(readingManifests(files, [], limits));
}

/** The same, object by object. What files read before have as well, with the same limits, is not read again: the
 * objects are the same, as long as they stand where they stood; else what is in them is. */
export function* readingManifests(
  files: readonly SourceFile[],
  before: readonly ReadFiles[],
  limits: Limits = defaultLimits,
): Generator<undefined, Objects, undefined> {
  const read = new Map<string, ReadFile>();
  const manifests: Manifest[] = [];
  const problems: Problem[] = [];
  for (const { file, bytes } of files) {
    const known = before.flatMap((each) => each.get(file) ?? []);
    const content = known.find(({ text }) => text === bytes) ?? (yield* readFile(file, bytes, known, limits));
    if ('message' in content) {
      problems.push(content);
      continue;
    }
    read.set(file, content);
    for (const part of content.parts) {
      manifests.push(...part.manifests);
      problems.push(...part.problems);
    }
    yield;
  }
  problems.push(...(yield* duplicates(manifests)));
  return { manifests, problems, files: read };
}

function* readFile(
  file: string,
  bytes: Uint8Array | string,
  known: readonly ReadFile[],
  limits: Limits,
): Generator<undefined, ReadFile | Problem, undefined> {
  const text = decodeText(bytes, file, limits);
  if (typeof text !== 'string') return text;
  const same = new Map(known.flatMap(({ parts }) => parts.map((part) => [part.piece.text, part])));
  const pieces = yield* readPieces(text, file, (each) => same.get(each)?.piece, limits);
  const parts: Part[] = [];
  let before = 0;
  for (const piece of pieces) {
    const there = same.get(piece.text);
    parts.push(there?.piece === piece && there.before === before ? there : partOf(piece, before));
    before += piece.lineEnds;
    yield;
  }
  return { text, parts };
}

function partOf(piece: Piece, before: number): Part {
  const manifests: Manifest[] = [];
  const problems: Problem[] = [];
  for (const each of piece.stream.trees) {
    const tree = movedDown(each, before);
    problems.push(...tree.problems);
    // An empty document between two "---" is usual and means nothing.
    if (tree.value === null || tree.value === undefined) continue;
    readObject(tree, tree.value, [], manifests, problems);
  }
  return { piece, before, manifests, problems };
}

function readObject(tree: Tree, value: unknown, path: Path, manifests: Manifest[], problems: Problem[]): void {
  const complain = (at: Path, message: string, hint?: string): void => {
    // What the YAML itself got wrong is not said twice.
    if (tree.problems.length === 0) problems.push(problemAt(tree, [...path, ...at], message, hint));
  };
  if (!isMap(value)) return complain([], 'must be a map: an object with apiVersion, kind and metadata');
  if (value['kind'] === 'List' && value['apiVersion'] === 'v1' && Array.isArray(value['items'])) {
    const items: readonly unknown[] = value['items'];
    if (isWithin(path, ['items'])) return complain([], 'a List in a List is not read');
    for (const [i, item] of items.entries()) readObject(tree, item, [...path, 'items', i], manifests, problems);
    return;
  }
  const before = problems.length;
  const apiVersion = text(value, 'apiVersion', [], complain);
  const kind = text(value, 'kind', [], complain);
  const metadata = readMetadata(value['metadata'], complain);
  if (apiVersion !== undefined && !/^([a-z0-9.-]+\/)?v[0-9]+[a-z0-9]*$/.test(apiVersion)) {
    complain(['apiVersion'], `"${apiVersion}" is not GROUP/VERSION`);
  }
  if (problems.length > before || apiVersion === undefined || kind === undefined || !metadata) return;
  const at: Manifest['at'] = (inside, part) => tree.at([...path, ...inside], part);
  const spec = value['spec'];
  manifests.push(Object.freeze({ apiVersion, kind, metadata, spec, object: value, file: tree.file, ...at([]), at }));
}

type Complain = (at: Path, message: string, hint?: string) => void;

function readMetadata(value: unknown, complain: Complain): Manifest['metadata'] | undefined {
  if (!isMap(value)) {
    complain(['metadata'], value === undefined ? 'metadata is missing' : 'must be a map');
    return undefined;
  }
  const name = text(value, 'name', ['metadata'], complain);
  if (name === undefined) return undefined;
  if (name.length > 253 || !/^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$/.test(name)) {
    complain(['metadata', 'name'], `"${name}" is no object name: lower case letters, digits, "-" and ".", at most 253`);
  }
  const namespace = value['namespace'] === undefined ? 'default' : text(value, 'namespace', ['metadata'], complain);
  if (namespace === undefined) return undefined;
  if (namespace.length > 63 || !/^[a-z0-9]([a-z0-9-]*[a-z0-9])?$/.test(namespace)) {
    complain(
      ['metadata', 'namespace'],
      `"${namespace}" is no namespace: lower case letters, digits and "-", at most 63`,
    );
  }
  const labels = strings(value, 'labels', complain);
  const annotations = strings(value, 'annotations', complain);
  const created = value['creationTimestamp'];
  return Object.freeze({
    name,
    namespace,
    ...(labels && { labels }),
    ...(annotations && { annotations }),
    ...(typeof created === 'string' && { creationTimestamp: created }),
  });
}

function text(map: Readonly<Record<string, unknown>>, key: string, path: Path, complain: Complain): string | undefined {
  const value = map[key];
  if (typeof value === 'string' && value !== '') return value;
  if (value === undefined) complain(path, `${key} is missing`);
  else complain([...path, key], 'must be text', typeof value === 'number' ? `write "${value}" in quotes` : undefined);
  return undefined;
}

function strings(
  map: Readonly<Record<string, unknown>>,
  key: string,
  complain: Complain,
): Readonly<Record<string, string>> | undefined {
  const value = map[key];
  if (value === undefined || value === null) return undefined;
  if (!isMap(value)) {
    complain(['metadata', key], 'must be a map');
    return undefined;
  }
  const out: Record<string, string> = {};
  for (const [name, each] of Object.entries(value)) {
    if (typeof each === 'string') out[name] = each;
    else complain(['metadata', key, name], 'must be text', `write "${String(each)}" in quotes`);
  }
  return Object.freeze(out);
}

/** Objects whose group, kind, namespace and name another one has: versions of a kind are the same kind. */
function* duplicates(manifests: readonly Manifest[]): Generator<undefined, Problem[], undefined> {
  const first = new Map<string, Manifest>();
  const problems: Problem[] = [];
  for (const manifest of manifests) {
    yield;
    const { apiVersion, kind, metadata, file, line } = manifest;
    const group = apiVersion.includes('/') ? apiVersion.slice(0, apiVersion.indexOf('/')) : '';
    const key = `${group}/${kind} ${metadata.namespace}/${metadata.name}`;
    const earlier = first.get(key);
    if (!earlier) {
      first.set(key, manifest);
      continue;
    }
    const where = earlier.file === file ? `line ${earlier.line}` : `${earlier.file}:${earlier.line}`;
    const message = `${kind} ${metadata.namespace}/${metadata.name} stands here again; the first is at ${where}`;
    problems.push({ file, line, column: manifest.column, path: '', message });
  }
  return problems;
}

function isMap(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
