// Candidate text -> Document, by the schemas of the slices.
import { type Document, type Loaded, loading } from '../../config/load.ts';
import { atOnce } from '../../lib/work/turns.ts';
import type { AnySlice } from '../slice.ts';

/** Loads a document and its manifests (file name -> content). `file` is what Problems call the document. */
export function loadCandidate(
  slices: readonly AnySlice[],
  document: string | Uint8Array,
  manifests: Readonly<Record<string, string | Uint8Array>>,
  file?: string,
): Loaded {
  return atOnce(loadingCandidate(slices, document, manifests, [], file));
}

/** The same, manifest by manifest. What the documents loaded `before` have as well is not read again. */
export function loadingCandidate(
  slices: readonly AnySlice[],
  document: string | Uint8Array,
  manifests: Readonly<Record<string, string | Uint8Array>>,
  before: readonly Document[],
  file = 'midplane.yaml',
): Generator<undefined, Loaded, undefined> {
  const sections = Object.fromEntries(slices.flatMap((s) => (s.schema === undefined ? [] : [[s.name, s.schema]])));
  const files = Object.entries(manifests).map(([name, bytes]) => ({ file: name, bytes }));
  return loading({ file, bytes: document, sections, manifests: files, before });
}
