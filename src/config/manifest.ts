// Gateway API, Istio and core objects, read from streams of YAML documents exactly as `kubectl apply` takes them.
import { defaultLimits, decodeText, type Limits } from './limits.ts';
import { isWithin, type Path } from './path.ts';
import { type Problem, problemAt } from './problem.ts';
import { parseStream, type Position, type Tree } from './yaml.ts';

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

/** The bytes of a file and the name that Problems call it by. */
export interface SourceFile {
  readonly file: string;
  readonly bytes: Uint8Array;
}

/** All objects of the files in order, and what is wrong with them. A List counts as its items. */
export function readManifests(
  files: readonly SourceFile[],
  limits: Limits = defaultLimits,
): { readonly manifests: readonly Manifest[]; readonly problems: readonly Problem[] } {
  const manifests: Manifest[] = [];
  const problems: Problem[] = [];
  for (const { file, bytes } of files) {
    const text = decodeText(bytes, file, limits);
    if (typeof text !== 'string') {
      problems.push(text);
      continue;
    }
    for (const tree of parseStream(text, file, limits)) {
      problems.push(...tree.problems);
      // An empty document between two "---" is usual and means nothing.
      if (tree.value === null || tree.value === undefined) continue;
      readObject(tree, tree.value, [], manifests, problems);
    }
  }
  problems.push(...duplicates(manifests));
  return { manifests, problems };
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
function duplicates(manifests: readonly Manifest[]): Problem[] {
  const first = new Map<string, Manifest>();
  return manifests.flatMap((manifest) => {
    const { apiVersion, kind, metadata, file, line } = manifest;
    const group = apiVersion.includes('/') ? apiVersion.slice(0, apiVersion.indexOf('/')) : '';
    const key = `${group}/${kind} ${metadata.namespace}/${metadata.name}`;
    const earlier = first.get(key);
    if (!earlier) {
      first.set(key, manifest);
      return [];
    }
    const where = earlier.file === file ? `line ${earlier.line}` : `${earlier.file}:${earlier.line}`;
    const message = `${kind} ${metadata.namespace}/${metadata.name} stands here again; the first is at ${where}`;
    return [{ file, line, column: manifest.column, path: '', message }];
  });
}

function isMap(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
