// The candidate of one session: a revision with the session's edits. Each edit gives a new draft; nothing here changes
// the running configuration. Edits are made on the plain value, and written into the text once it is asked for, so that
// a pasted page of `set` lines costs one rewrite and keeps the comments.
import { isDeepStrictEqual } from 'node:util';
import { stringify } from 'yaml';
import { diff, isMap, mergeValues, renderDiff } from '../../config/diff.ts';
import { rewrite } from '../../config/edit.ts';
import { type Path, printPath } from '../../config/path.ts';
import type { Candidate, Revision } from '../../engine/engine.ts';
import { valueAt, valueOf, withoutValue, withValue } from './value.ts';

/** A value under edit, and what it was made from. */
export interface Draft {
  /** The revision that was running when the edits began. */
  readonly base: Revision;
  /** The text that the edits go into: the base's, or that of a revision that was rolled back to. */
  readonly text: string;
  readonly value: unknown;
  /** Set where a rollback brought the manifests of another revision. */
  readonly manifests?: Readonly<Record<string, string>>;
}

/** A draft that is the revision itself. */
export function draftOf(base: Revision): Draft {
  return { base, text: base.document, value: valueOf(base.document) };
}

/** A draft on top of `base` that is an old revision. */
export function draftOfOld(base: Revision, { document, manifests }: Revision): Draft {
  const draft = { base, text: document, value: valueOf(document) };
  return isDeepStrictEqual(manifests, base.manifests) ? draft : { ...draft, manifests };
}

/** Whether a commit of the draft would change anything against its base. */
export function isChanged({ base, text, value, manifests }: Draft): boolean {
  return manifests !== undefined || text !== base.document || !isDeepStrictEqual(value, valueOf(text));
}

const texts = new WeakMap<Draft, string>();

/** The draft as YAML, with the comments of the text that it came from. */
export function textOf(draft: Draft): string {
  const known = texts.get(draft);
  if (known !== undefined) return known;
  const text = draft.value === valueOf(draft.text) ? draft.text : rewrite(draft.text, draft.value);
  texts.set(draft, text);
  return text;
}

/** The draft as the engine takes it. */
export function candidateOf(draft: Draft): Candidate {
  const candidate = { document: textOf(draft), base: draft.base.number };
  return draft.manifests ? { ...candidate, manifests: draft.manifests } : candidate;
}

/** Sets the value; `append` adds the items to the list that stands there, without those that it has. An empty map
 * leaves an existing entry as it is. Throws RangeError where a single value stands on the way. */
export function setValue(draft: Draft, path: readonly string[], value: unknown, append: boolean): Draft {
  const before = valueAt(draft.value, path);
  if (isMap(value) && Object.keys(value).length === 0 && before !== undefined) return draft;
  let after = value;
  if (append && Array.isArray(value)) {
    const existing: readonly unknown[] = Array.isArray(before) ? before : isScalar(before) ? [before] : [];
    const added = value.filter((item) => !existing.some((other) => same(other, item)));
    if (added.length === 0 && existing.length > 0) return draft;
    after = [...existing, ...added];
  }
  return { ...draft, value: withValue(draft.value, path, after) };
}

/** Takes the value away, or only these items of the list there. Undefined: there is no such thing. */
export function deleteValue(draft: Draft, path: readonly string[], items: readonly string[]): Draft | undefined {
  const before = valueAt(draft.value, path);
  if (before === undefined) return undefined;
  const gone = { ...draft, value: withoutValue(draft.value, path) };
  if (items.length === 0) return gone;
  if (isScalar(before)) return items.length === 1 && scalarText(before) === items[0] ? gone : undefined;
  if (!Array.isArray(before)) return undefined;
  const left = before.filter((item) => !items.includes(scalarText(item)));
  if (before.length - left.length < items.length) return undefined;
  return left.length === 0 ? gone : { ...draft, value: withValue(draft.value, path, left) };
}

function isScalar(value: unknown): boolean {
  return value !== undefined && value !== null && typeof value !== 'object';
}

function same(a: unknown, b: unknown): boolean {
  return isScalar(a) && isScalar(b) ? scalarText(a) === scalarText(b) : isDeepStrictEqual(a, b);
}

function scalarText(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}

/** The YAML of what stands at a path; nothing where nothing does. */
export function yamlAt(value: unknown, path: readonly string[]): string {
  const found = valueAt(value, path);
  return found === undefined ? '' : stringify(found, { lineWidth: 0 });
}

/** What differs between two values, a line each; empty where nothing does. */
export function compareValues(from: unknown, to: unknown): string {
  return renderDiff(diff(from ?? {}, to ?? {}))
    .map((line) => `${line}\n`)
    .join('');
}

/** What a draft changes against a document. */
export function compareTo(document: string, draft: Draft): string {
  const changes = compareValues(valueOf(document), draft.value);
  const otherManifests = draft.manifests ? 'the manifests are those of the revision rolled back to\n' : '';
  if (changes !== '' || otherManifests !== '') return changes + otherManifests;
  return document === textOf(draft) ? '' : 'only comments or layout differ\n';
}

export type Rebased =
  | { readonly ok: true; readonly draft: Draft }
  | { readonly ok: false; readonly conflicts: readonly Path[] };

/** The draft's edits on top of `running`. Where both changed the same place, `prefer` says whose counts; without it the
 * paths are given back and nothing changes. */
export function rebase(draft: Draft, running: Revision, prefer?: 'mine' | 'theirs'): Rebased {
  const [base, ours, theirs] = [valueOf(draft.base.document), draft.value, valueOf(running.document)];
  const onTop = (value: unknown): Rebased => ({
    ok: true,
    draft: { ...draft, base: running, text: running.document, value },
  });
  const first = mergeValues(base, ours, theirs);
  if ('value' in first) return onTop(first.value);
  if (!prefer) return { ok: false, conflicts: first.conflicts };
  // A side that is made equal to its base at a collision has no change of its own there.
  const second =
    prefer === 'mine'
      ? mergeValues(copyPaths(theirs, base, first.conflicts), ours, theirs)
      : mergeValues(base, copyPaths(theirs, ours, first.conflicts), theirs);
  return 'value' in second ? onTop(second.value) : { ok: false, conflicts: second.conflicts };
}

function copyPaths(from: unknown, into: unknown, paths: readonly Path[]): unknown {
  let value = into;
  for (const path of paths) {
    const names = path.map(String);
    const found = valueAt(from, names);
    value = found === undefined ? withoutValue(value, names) : withValue(value, names, found);
  }
  return value;
}

/** Both sides of each collision, for people. */
export function explainConflicts(draft: Draft, running: Revision, paths: readonly Path[]): string {
  const lines = paths.map((path) => {
    const names = path.map(String);
    const [base, ours, theirs] = [valueOf(draft.base.document), draft.value, valueOf(running.document)].map((value) =>
      oneLine(valueAt(value, names)),
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
