// The candidate of one session: a revision's text with the session's edits. Each edit gives a new value; nothing here
// changes the running configuration.
import { isDeepStrictEqual } from 'node:util';
import { stringify } from 'yaml';
import { diff, renderDiff } from '../../config/diff.ts';
import { deleteIn, merge, setIn } from '../../config/edit.ts';
import { printPath } from '../../config/path.ts';
import { parseDocument } from '../../config/yaml.ts';
import type { Candidate, Revision } from '../../engine/engine.ts';

/** Text under edit, and the revision that it was made from. */
export interface Draft {
  readonly base: Revision;
  readonly document: string;
  /** Set where a rollback brought the manifests of another revision. */
  readonly manifests?: Readonly<Record<string, string>>;
}

/** A draft that is the revision itself. */
export function draftOf(base: Revision): Draft {
  return { base, document: base.document };
}

/** Whether a commit of the draft would change anything against its base. */
export function isChanged(draft: Draft): boolean {
  return draft.document !== draft.base.document || draft.manifests !== undefined;
}

/** The draft as the engine takes it. */
export function candidateOf(draft: Draft): Candidate {
  const { document, manifests, base } = draft;
  return manifests ? { document, manifests, base: base.number } : { document, base: base.number };
}

// One parse for all that is asked about the same text: completion asks at every key.
let parsed: { text: string; value: unknown } = { text: '', value: undefined };

/** The document's plain value; undefined where it is empty or can't be read. */
export function valueOf(text: string): unknown {
  if (parsed.text !== text) parsed = { text, value: parseDocument(text, 'candidate').value };
  return parsed.value;
}

/** What the document holds at a path. */
export function valueAt(text: string, path: readonly string[]): unknown {
  let value = valueOf(text);
  for (const step of path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, step)) return undefined;
    value = (value as Record<string, unknown>)[step];
  }
  return value;
}

/** Keys of the map at a path, or the scalars of the list there. */
export function namesAt(text: string, path: readonly string[]): readonly string[] {
  const value = valueAt(text, path);
  if (Array.isArray(value)) return value.filter((item) => typeof item !== 'object').map(String);
  return typeof value === 'object' && value !== null ? Object.keys(value) : [];
}

/** Sets the value; `append` adds the items to the list that stands there, without those that it has. An empty map
 * leaves an existing entry as it is. */
export function setValue(draft: Draft, path: readonly string[], value: unknown, append: boolean): Draft {
  const before = valueAt(draft.document, path);
  if (isEmptyMap(value) && before !== undefined) return draft;
  let after = value;
  if (append && Array.isArray(value)) {
    const existing: readonly unknown[] = Array.isArray(before) ? before : isScalar(before) ? [before] : [];
    const added = value.filter((item) => !existing.some((other) => same(other, item)));
    if (added.length === 0 && existing.length > 0) return draft;
    after = [...existing, ...added];
  }
  return { ...draft, document: setIn(draft.document, path, after) };
}

/** Takes the value away, or only these items of the list there. Undefined: there is no such thing. */
export function deleteValue(draft: Draft, path: readonly string[], items: readonly string[]): Draft | undefined {
  const before = valueAt(draft.document, path);
  if (before === undefined) return undefined;
  if (items.length === 0) return { ...draft, document: deleteIn(draft.document, path) };
  if (!Array.isArray(before)) {
    if (items.length > 1 || !isScalar(before) || scalarText(before) !== items[0]) return undefined;
    return { ...draft, document: deleteIn(draft.document, path) };
  }
  const left = before.filter((item) => !items.includes(String(item)));
  if (before.length - left.length < items.length) return undefined;
  const document = left.length === 0 ? deleteIn(draft.document, path) : setIn(draft.document, path, left);
  return { ...draft, document };
}

function isScalar(value: unknown): boolean {
  return value !== undefined && value !== null && typeof value !== 'object';
}

function isEmptyMap(value: unknown): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && Object.keys(value).length === 0;
}

function same(a: unknown, b: unknown): boolean {
  return isScalar(a) && isScalar(b) ? scalarText(a) === scalarText(b) : isDeepStrictEqual(a, b);
}

function scalarText(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}

/** The YAML at a path; the whole text where the path is empty, with its comments. */
export function yamlAt(text: string, path: readonly string[]): string {
  if (path.length === 0) return text;
  const value = valueAt(text, path);
  return value === undefined ? '' : stringify(value, { lineWidth: 0 });
}

/** What differs between two documents, for people; empty where nothing does. */
export function compareText(from: string, to: string): string {
  if (from === to) return '';
  const changes = renderDiff(diff(valueOf(from), valueOf(to)));
  return changes.length === 0 ? 'only comments or layout differ\n' : changes.map((line) => `${line}\n`).join('');
}

export type Rebased =
  | { readonly ok: true; readonly draft: Draft }
  | { readonly ok: false; readonly conflicts: readonly (readonly (string | number)[])[] };

/** The draft's edits on top of `running`. Where both changed the same place, `prefer` says whose counts; without it the
 * paths are given back and nothing changes. */
export function rebase(draft: Draft, running: Revision, prefer?: 'mine' | 'theirs'): Rebased {
  const [base, ours, theirs] = [draft.base.document, draft.document, running.document];
  const first = merge(base, ours, theirs);
  if ('text' in first) return { ok: true, draft: { ...draft, base: running, document: first.text } };
  if (!prefer) return { ok: false, conflicts: first.conflicts };
  // A side that is made equal to its base at a collision has no change of its own there.
  const [from, into] = prefer === 'mine' ? [theirs, base] : [theirs, ours];
  const levelled = copyPaths(from, into, first.conflicts);
  const second = prefer === 'mine' ? merge(levelled, ours, theirs) : merge(base, levelled, theirs);
  if (!('text' in second)) return { ok: false, conflicts: second.conflicts };
  return { ok: true, draft: { ...draft, base: running, document: second.text } };
}

function copyPaths(from: string, into: string, paths: readonly (readonly (string | number)[])[]): string {
  let text = into;
  for (const path of paths) {
    const value = valueAt(from, path.map(String));
    text = value === undefined ? deleteIn(text, path) : setIn(text, path, value);
  }
  return text;
}

/** Both sides of each collision, for people. */
export function explainConflicts(
  draft: Draft,
  running: Revision,
  paths: readonly (readonly (string | number)[])[],
): string {
  const lines = paths.map((path) => {
    const names = path.map(String);
    const [base, ours, theirs] = [draft.base.document, draft.document, running.document].map((text) =>
      oneLine(valueAt(text, names)),
    );
    return `${printPath(path)}\n  was     ${base}\n  yours   ${ours}\n  theirs  ${theirs}\n`;
  });
  return lines.join('');
}

function oneLine(value: unknown): string {
  if (value === undefined) return '(nothing)';
  const text = JSON.stringify(value);
  return text.length > 100 ? `${text.slice(0, 99)}…` : text;
}
