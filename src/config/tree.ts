// YAML nodes -> frozen plain values, and paths -> offsets in the text.
import {
  type Document,
  type Alias,
  isAlias,
  isMap,
  isNode,
  isPair,
  isScalar,
  isSeq,
  type Node,
  type Scalar,
  type YAMLMap,
} from 'yaml';
import type { Limits } from './limits.ts';
import type { Path } from './path.ts';

interface TreeFault {
  readonly offset: number;
  readonly path: Path;
  readonly message: string;
}

interface Reading {
  readonly limits: Limits;
  readonly faults: TreeFault[];
  /** Anchors passed so far, and what each alias stood for when it was first met: nodes are met in the text's order. */
  readonly anchors: Map<string, Node>;
  readonly targets: Map<Alias, Node | undefined>;
  values: number;
}

/** The document's value, what is wrong with it, and how many keys and values it has. */
export function readTree(
  document: Document,
  limits: Limits,
): { readonly value: unknown; readonly faults: readonly TreeFault[]; readonly values: number } {
  const reading: Reading = { limits, faults: [], anchors: new Map(), targets: new Map(), values: 0 };
  const value = document.contents === null ? null : valueOf(document.contents, [], reading);
  return { value, faults: reading.faults, values: reading.values };
}

function valueOf(node: unknown, path: Path, reading: Reading): unknown {
  if (!isNode(node) || spent(node, path, reading)) return null;
  if (isAlias(node)) {
    const target = targetOf(node, reading);
    if (target) return valueOf(target, path, reading);
    complain(node, path, `no anchor "&${node.source}" before this alias`, reading);
    return null;
  }
  if (node.anchor !== undefined) reading.anchors.set(node.anchor, node);
  if (isScalar(node)) return scalarOf(node, path, reading);
  if (isSeq(node)) return Object.freeze(node.items.map((item, i) => valueOf(item, [...path, i], reading)));
  return isMap(node) ? mapOf(node, path, reading) : null;
}

function targetOf(alias: Alias, { anchors, targets }: Reading): Node | undefined {
  if (!targets.has(alias)) targets.set(alias, anchors.get(alias.source));
  return targets.get(alias);
}

/** Counts the node; true when nothing more may be read. The one fault that it adds is reported once. */
function spent(node: Node, path: Path, reading: Reading): boolean {
  const { limits, faults } = reading;
  if (faults.length >= limits.problems || reading.values > limits.values) return true;
  if (++reading.values > limits.values) complain(node, path, `more than ${limits.values} values`, reading);
  // An alias inside its own anchor has no end, and is caught here.
  else if (path.length > limits.depth) complain(node, path, `nested deeper than ${limits.depth} levels`, reading);
  else return false;
  return true;
}

function mapOf(map: YAMLMap, path: Path, reading: Reading): unknown {
  const object: Record<string, unknown> = {};
  for (const { key, value } of map.items) {
    const node = isAlias(key) ? targetOf(key, reading) : key;
    if (isScalar(key) && key.anchor !== undefined) reading.anchors.set(key.anchor, key);
    const name = keyText(node);
    const from = isNode(key) ? key : map;
    if (name === undefined) complain(from, path, 'a key must be a word or a number', reading);
    else if (name === '__proto__') complain(from, path, 'the key "__proto__" is not allowed', reading);
    else if (Object.hasOwn(object, name))
      complain(from, [...path, name], `the key "${name}" stands here twice`, reading);
    else object[name] = valueOf(value, [...path, name], reading);
    if (reading.faults.length >= reading.limits.problems || reading.values > reading.limits.values) break;
  }
  return Object.freeze(object);
}

/** A key as text: as written where it is a number ("1.10" is not "1.1"). Undefined for what can't be a key. */
export function keyText(key: unknown): string | undefined {
  if (!isScalar(key) || key.value === null) return undefined;
  if (typeof key.value === 'string') return key.value;
  return key.source ?? JSON.stringify(key.value);
}

function scalarOf(scalar: Scalar, path: Path, reading: Reading): unknown {
  const { value } = scalar;
  if (typeof value !== 'number') return value ?? null;
  const exact = Number.isFinite(value) && (!Number.isInteger(value) || Number.isSafeInteger(value));
  if (!exact) complain(scalar, path, `${scalar.source ?? value} is no number that can be kept exactly`, reading);
  return value;
}

function complain(node: Node, path: Path, message: string, reading: Reading): void {
  if (reading.faults.length < reading.limits.problems) reading.faults.push({ offset: startOf(node), path, message });
}

/** Offset of the value at the path (or of its key), or of the nearest ancestor that exists. */
export function locate(document: Document, path: Path, part: 'key' | 'value'): number {
  let node: unknown = document.contents;
  let offset = isNode(node) ? startOf(node) : 0;
  for (const [i, step] of path.entries()) {
    const inside = isAlias(node) ? node.resolve(document) : node;
    const next = isMap(inside)
      ? pairsOf(inside).get(String(step))
      : isSeq(inside)
        ? inside.items[Number(step)]
        : undefined;
    if (next === undefined) return offset;
    node = isPair(next) ? next.value : next;
    const key = isPair(next) ? next.key : next;
    const wanted = part === 'key' && i === path.length - 1 ? key : node;
    // A value that is not written stands at its key.
    const from = isNode(wanted) && wanted.range?.[0] !== wanted.range?.[1] ? wanted : key;
    if (isNode(from)) offset = startOf(from);
  }
  return offset;
}

const pairsOfMap = new WeakMap<YAMLMap, Map<string, unknown>>();

function pairsOf(map: YAMLMap): Map<string, unknown> {
  let pairs = pairsOfMap.get(map);
  if (!pairs) {
    pairs = new Map(map.items.map((pair) => [keyText(pair.key) ?? '', pair]));
    pairsOfMap.set(map, pairs);
  }
  return pairs;
}

function startOf(node: Node): number {
  return node.range?.[0] ?? 0;
}
