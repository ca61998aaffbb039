// Edits of the document's text that leave its comments, its order and its manner of writing alone.
//
// A scalar in the place of a scalar changes those characters and nothing else. Any other edit is made on yaml's nodes,
// which keep comments and order; the text is then printed again, so that spacing inside lines may be evened out.
import { isDeepStrictEqual } from 'node:util';
import {
  CST,
  Document,
  Lexer,
  visit,
  isAlias,
  isMap as isMapNode,
  isNode,
  isScalar,
  isSeq,
  type Node,
  Pair,
  parseDocument,
  type Scalar,
  YAMLMap,
  type YAMLSeq,
} from 'yaml';
import { isMap, mergeValues, own, printScalar } from './diff.ts';
import type { Path } from './path.ts';
import { keyText, readTree } from './tree.ts';
import { defaultLimits } from './limits.ts';

/** The text with the value at the path, which is made where it does not exist. At a list, the index of its end appends.
 * Throws RangeError where the path leads through a scalar or past a list's end, and for text that is no YAML: callers
 * edit texts that were loaded. */
export function setIn(text: string, path: Path, value: unknown): string {
  const document = open(text);
  const old = find(document, path, 'own');
  if (isScalar(old) && isLeaf(value)) {
    const spliced = splice(text, old, value);
    if (spliced !== undefined) return spliced;
  }
  if (path.length === 0) document.contents = document.createNode(value) as typeof document.contents;
  else put(document, parentOf(document, path), last(path), value);
  return print(document);
}

/** The text without the key or list entry at the path; the text itself where there is none. */
export function deleteIn(text: string, path: Path): string {
  const document = open(text);
  if (path.length === 0) return print(new Document({}));
  if (find(document, path) === undefined) return text;
  remove(parentOf(document, path), last(path));
  return print(document);
}

/** The text changed so that it says `value`, with everything kept that need not change. */
export function rewrite(text: string, value: unknown): string {
  const document = open(text);
  const before = readTree(document, defaultLimits).value;
  if (isDeepStrictEqual(before, value)) return text;
  if (!isMap(value)) return setIn(text, [], value);
  update(document, rootOf(document), isMap(before) ? before : {}, value);
  return print(document);
}

/** Both sides' changes to `base` in one text, made from `theirs`; or the paths that both changed, differently. */
export function merge(
  base: string,
  ours: string,
  theirs: string,
): { readonly text: string } | { readonly conflicts: readonly Path[] } {
  const [b, o, t] = [base, ours, theirs].map((text) => readTree(open(text), defaultLimits).value);
  const merged = mergeValues(b, o, t);
  return 'value' in merged ? { text: rewrite(theirs, merged.value) } : merged;
}

// What yaml's Lexer puts between lexemes besides the text itself.
const { DOCUMENT: DOCUMENT_MARK, FLOW_END: FLOW_END_MARK, SCALAR: SCALAR_MARK } = CST;

function open(text: string): Document {
  const document = parseDocument(text, {
    schema: 'core',
    uniqueKeys: false,
    prettyErrors: false,
    resolveKnownTags: false,
  });
  const [error] = document.errors;
  if (error) throw new RangeError(`the text to edit is no YAML: ${error.message}`);
  return document as Document;
}

function print(document: Document): string {
  // Wide enough never to break a line that the writer did not break.
  const text = document.toString({ lineWidth: 0, flowCollectionPadding: true });
  // The printer pads lists as it pads maps; the house writes { a: [b, c] }.
  const out: string[] = [];
  for (const lexeme of new Lexer().lex(text)) {
    const before = out.at(-1);
    if (lexeme === DOCUMENT_MARK || lexeme === FLOW_END_MARK || lexeme === SCALAR_MARK) continue;
    if (lexeme === ' ' && before === '[') continue;
    if (lexeme === ']' && before === ' ' && out.at(-2) !== '\n') out.pop();
    out.push(lexeme);
  }
  return out.join('');
}

type Collection = YAMLMap | YAMLSeq;

/** The node at the path; undefined where there is none, or where it is 'own' that is asked for and the path leads
 * through an alias. */
function find(document: Document, path: Path, which: 'own' | 'any' = 'any'): Node | undefined {
  let node: unknown = document.contents;
  for (const step of path) {
    if (isAlias(node) && which === 'own') return undefined;
    if (isAlias(node)) node = node.resolve(document);
    node = isMapNode(node) ? pairOf(node, step)?.value : isSeq(node) ? node.items[Number(step)] : undefined;
  }
  return isNode(node) ? node : undefined;
}

function pairOf(map: YAMLMap, step: string | number): Pair | undefined {
  return map.items.find((pair) => keyText(pair.key) === String(step));
}

function rootOf(document: Document): Collection {
  const { contents } = document;
  if (isMapNode(contents) || isSeq(contents)) return contents;
  if (contents !== null && !(isScalar(contents) && contents.value === null))
    throw new RangeError('the text is a scalar');
  const root = new YAMLMap(document.schema);
  document.contents = root as typeof document.contents;
  return root;
}

/** The collection that holds the path's last step, made where it does not exist. */
function parentOf(document: Document, path: Path): Collection {
  let node = rootOf(document);
  for (const step of path.slice(0, -1)) node = childOf(document, node, step);
  return node;
}

function childOf(document: Document, parent: Collection, step: string | number): Collection {
  const child = isMapNode(parent) ? pairOf(parent, step)?.value : parent.items[Number(step)];
  if (isMapNode(child) || isSeq(child)) return child;
  const resolved = isAlias(child) ? child.resolve(document) : undefined;
  // What an alias shares with others must not change for them: this place gets a copy of its own.
  if (resolved) return replace(document, parent, step, resolved.toJS(document));
  if (child === undefined || child === null || (isScalar(child) && child.value === null))
    return replace(document, parent, step, {});
  throw new RangeError(`${String(step)} is a scalar, and nothing can lie below it`);
}

function replace(document: Document, parent: Collection, step: string | number, value: unknown): Collection {
  put(document, parent, step, value);
  return childOf(document, parent, step);
}

function put(document: Document, parent: Collection, step: string | number, value: unknown): void {
  if (isMapNode(parent)) {
    const pair = pairOf(parent, step);
    if (pair) pair.value = successor(document, pair.value, value);
    else parent.items.push(new Pair(document.createNode(String(step)), made(document, value)));
    return;
  }
  const index = Number(step);
  if (!Number.isInteger(index) || index < 0 || index > parent.items.length)
    throw new RangeError(`no entry ${step} in a list`);
  parent.items[index] = successor(document, parent.items[index], value);
}

function remove(parent: Collection, step: string | number): void {
  if (isMapNode(parent)) parent.items = parent.items.filter((pair) => keyText(pair.key) !== String(step));
  else parent.items.splice(Number(step), 1);
}

/** A node for the value in the place of another one, whose comments it takes over. */
function successor(document: Document, old: unknown, value: unknown): Node {
  const node = made(document, value);
  if (!isNode(old) || isAlias(old)) return node;
  const { comment, commentBefore, spaceBefore } = old;
  Object.assign(node, { comment, commentBefore, spaceBefore });
  if (isScalar(old) && isScalar(node) && typeof old.value === typeof value && old.type) node.type = old.type;
  if ((isSeq(old) && isSeq(node)) || (isMapNode(old) && isMapNode(node))) node.flow = old.flow === true;
  return node;
}

function made(document: Document, value: unknown): Node {
  const node: Node = document.createNode(value);
  visit(node, {
    Seq: (_, seq) => {
      seq.flow = seq.items.every((item) => isScalar(item));
    },
  });
  return node;
}

/** Makes the map's node say `after`, key by key. */
function update(
  document: Document,
  node: Collection,
  before: Readonly<Record<string, unknown>>,
  after: Readonly<Record<string, unknown>>,
): void {
  for (const key of Object.keys(before)) if (own(after, key) === undefined) remove(node, key);
  for (const [key, value] of Object.entries(after)) {
    const old = own(before, key);
    if (value === undefined || isDeepStrictEqual(old, value)) continue;
    if (isMap(old) && isMap(value)) update(document, childOf(document, node, key), old, value);
    else put(document, node, key, value);
  }
}

function isLeaf(value: unknown): boolean {
  return typeof value !== 'object' || value === null;
}

/** The text with the scalar's own characters replaced; undefined for forms that span lines or stand for something else.
 * */
function splice(text: string, old: Scalar, value: unknown): string | undefined {
  const [start, end] = old.range ?? [0, 0];
  const written = text.slice(start, end);
  if (written === '' || written.includes('\n') || old.anchor !== undefined || old.tag !== undefined) return undefined;
  return text.slice(0, start) + printScalar(value) + text.slice(end);
}

function last(path: Path): string | number {
  return path.at(-1) ?? '';
}
