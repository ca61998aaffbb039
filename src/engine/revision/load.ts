// Candidate text -> Document, by the schemas of the slices.
import { type Document, load } from '../../config/load.ts';
import type { Problem } from '../../config/problem.ts';
import type { AnySlice } from '../slice.ts';

/** Loads a document and its manifests (file name -> content). `file` is what Problems call the document. */
export function loadCandidate(
  slices: readonly AnySlice[],
  document: string | Uint8Array,
  manifests: Readonly<Record<string, string | Uint8Array>>,
  file = 'midplane.yaml',
): { readonly ok: true; readonly document: Document } | { readonly ok: false; readonly problems: readonly Problem[] } {
  const sections = Object.fromEntries(slices.flatMap((s) => (s.schema === undefined ? [] : [[s.name, s.schema]])));
  return load({
    file,
    bytes: bytesOf(document),
    sections,
    manifests: Object.entries(manifests).map(([name, text]) => ({ file: name, bytes: bytesOf(text) })),
  });
}

const bytesOf = (text: string | Uint8Array): Uint8Array => (typeof text === 'string' ? Buffer.from(text) : text);
