// Documents as values: what differs, and what two people's changes make together. Maps are compared key by key; a list,
// like a scalar, is one leaf.
import { isDeepStrictEqual } from 'node:util';
import { type Path, printPath } from './path.ts';

/** One leaf that differs: absent in the first document without `from`, in the second without `to`. */
export interface Change {
  readonly path: Path;
  readonly from?: unknown;
  readonly to?: unknown;
}

/** The leaves that differ from `a` to `b`, in the order of `a` and then of `b`. Empty exactly when both are equal, but
 * for the order of keys. */
export function diff(a: unknown, b: unknown): readonly Change[] {
  const changes: Change[] = [];
  compare([], a ?? {}, b ?? {}, changes);
  return changes;
}

function compare(path: Path, a: unknown, b: unknown, changes: Change[]): void {
  if (isMap(a) && isMap(b)) {
    for (const key of keysOf(a, b)) compare([...path, key], own(a, key), own(b, key), changes);
    // A map that lost its last key is still there, which no leaf below it can say.
    if (Object.keys(b).length === 0 && Object.keys(a).length > 0) changes.push({ path, to: b });
  } else if (!isDeepStrictEqual(a, b)) {
    for (const [below, value] of leaves(path, a)) changes.push({ path: below, from: value });
    for (const [below, value] of leaves(path, b)) changes.push({ path: below, to: value });
    const [gone, come] = changes.slice(-2);
    const sameLeaf = gone && come && !isMap(a) && !isMap(b) && a !== undefined && b !== undefined;
    if (sameLeaf) changes.splice(-2, 2, { path, from: a, to: b });
  }
}

function leaves(path: Path, value: unknown): [Path, unknown][] {
  if (value === undefined) return [];
  if (!isMap(value) || Object.keys(value).length === 0) return [[path, value]];
  return Object.entries(value).flatMap(([key, inner]) => leaves([...path, key], inner));
}

/** The changes as lines: "- ports.swp1.mtu: 1500", "+ ports.swp1.mtu: 9000". */
export function renderDiff(changes: readonly Change[]): readonly string[] {
  return changes.flatMap(({ path, from, to }) => {
    const name = printPath(path);
    const minus = from === undefined ? [] : [`- ${name}: ${printValue(from)}`];
    const plus = to === undefined ? [] : [`+ ${name}: ${printValue(to)}`];
    return [...minus, ...plus];
  });
}

/** A value on one line, as YAML in flow style. */
export function printValue(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map((item) => printValue(item)).join(', ')}]`;
  if (!isMap(value)) return printScalar(value);
  const entries = Object.entries(value).map(([key, inner]) => `${printScalar(key)}: ${printValue(inner)}`);
  return entries.length === 0 ? '{}' : `{ ${entries.join(', ')} }`;
}

/** A scalar as YAML: bare where it reads back as itself anywhere, else in double quotes. */
export function printScalar(value: unknown): string {
  if (typeof value !== 'string') return JSON.stringify(value) ?? 'null';
  const bare =
    /^[A-Za-z_/][A-Za-z0-9_./@+-]*$/.test(value) || /^[0-9]+[./:][0-9a-zA-Z./-]*[./a-zA-Z][0-9a-zA-Z./-]*$/.test(value);
  const word = /^(true|false|null|~)$/i.test(value) || !Number.isNaN(Number(value));
  return bare && !word ? value : JSON.stringify(value);
}

/** Both sides' changes to `base` together, or the paths that both changed, differently. A map that one side removed and
 * the other changed is a conflict as a whole. Undefined and null stand for an empty document. */
export function mergeValues(
  base: unknown,
  ours: unknown,
  theirs: unknown,
): { readonly value: unknown } | { readonly conflicts: readonly Path[] } {
  const conflicts: Path[] = [];
  const value = merge3([], base ?? {}, ours ?? {}, theirs ?? {}, conflicts);
  return conflicts.length > 0 ? { conflicts } : { value };
}

function merge3(path: Path, base: unknown, ours: unknown, theirs: unknown, conflicts: Path[]): unknown {
  if (isDeepStrictEqual(ours, theirs) || isDeepStrictEqual(base, theirs)) return ours;
  if (isDeepStrictEqual(base, ours)) return theirs;
  if (!isMap(ours) || !isMap(theirs)) {
    conflicts.push(path);
    return ours;
  }
  const before = isMap(base) ? base : {};
  const merged: Record<string, unknown> = {};
  for (const key of keysOf(theirs, ours)) {
    const value = merge3([...path, key], own(before, key), own(ours, key), own(theirs, key), conflicts);
    if (value !== undefined) merged[key] = value;
  }
  return merged;
}

type PlainMap = Readonly<Record<string, unknown>>;

/** Whether the value is a map, not a list and not empty. */
export function isMap(value: unknown): value is PlainMap {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The value of the map's own key. */
export function own(map: PlainMap, key: string): unknown {
  return Object.hasOwn(map, key) ? map[key] : undefined;
}

function keysOf(a: PlainMap, b: PlainMap): Set<string> {
  return new Set([...Object.keys(a), ...Object.keys(b)]);
}
