// Candidate text -> what it makes, with every file that it names.
import { isAbsolute, join, relative } from 'node:path';
import type { Document } from '../../config/load.ts';
import type { Problem } from '../../config/problem.ts';
import { readRegular } from '../../lib/file.ts';
import { inTurns } from '../../lib/work/turns.ts';
import type { Candidate } from '../engine.ts';
import type { AnySlice } from '../slice.ts';
import { type Compiled, compiling } from './compile.ts';
import { loadingCandidate } from './load.ts';
import type { StoredRevision } from './revision.ts';

export interface CompileContext {
  readonly slices: readonly AnySlice[];
  readonly instance: string;
  readonly baseMac: string;
  /** Folder against which relative file names in the document are read. */
  readonly folder: string;
  running(): StoredRevision | undefined;
  /** What the next candidate has most in common with. */
  readonly known: { running?: Document; candidate?: Document };
}

/** Of work on a candidate between two turns of the thread, in milliseconds. */
const turnMs = 5;

export interface Prepared {
  readonly candidate: Candidate;
  readonly compiled: Compiled;
  readonly files: StoredRevision['files'];
}

/** Loads and compiles, and leaves the thread to others in between; `stored` files come from a stored revision, others
 * are read from disk. Rejects with the signal's reason where it is aborted meanwhile. */
export async function compileCandidate(
  context: CompileContext,
  candidate: Candidate,
  stored?: StoredRevision['files'],
  signal?: AbortSignal,
): Promise<Prepared | readonly Problem[]> {
  // In the order in which the folder of the revision gives them: what they mean may hang on it, and a restart must find
  // the same.
  const given = Object.entries(candidate.manifests ?? context.running()?.manifests ?? {});
  const manifests = Object.fromEntries(given.toSorted(([a], [b]) => (a < b ? -1 : 1)));
  const misnamed = Object.keys(manifests).filter((name) => !manifestName.test(name));
  if (misnamed.length > 0) return misnamed.map(badName);
  const { slices, instance, baseMac, known } = context;
  const before = [known.running ?? [], known.candidate ?? []].flat();
  const wanted = signal === undefined ? {} : { signal };
  const loaded = await inTurns(loadingCandidate(slices, candidate.document, manifests, before), turnMs, wanted);
  if (!loaded.ok) return loaded.problems;
  const { document } = loaded;
  known.candidate = document;
  const files: Record<string, Uint8Array> = {};
  const file = (name: string): Uint8Array | undefined => {
    const bytes = stored === undefined ? readNamed(context.folder, name) : stored[name];
    if (bytes !== undefined) files[name] = bytes;
    return bytes;
  };
  const compiled = await inTurns(compiling({ slices, document, instance, baseMac, file }), turnMs, wanted);
  if (!('resources' in compiled)) return compiled;
  return { candidate: { ...candidate, manifests }, compiled, files };
}

/** A file of the manifests folder, and nothing that leads out of it. */
const manifestName = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,199}\.ya?ml$/;

function badName(name: string): Problem {
  const message = `${JSON.stringify(name)} is no name for a manifest file`;
  return { file: name, line: 1, column: 1, path: '', message, hint: 'letters, digits, ".", "_" and "-", then .yaml' };
}

/** Of a file that a document names. */
const mostNamedBytes = 16 << 20;

/** A file that a document in this folder names, by its name relative to it. Undefined: there is none. A name that leads
 * out of the folder reads nothing, nor does one that is too long to be kept under in history, one of no regular file,
 * or of one with more than 16 MiB. */
export function readNamed(folder: string, name: string): Uint8Array | undefined {
  const path = join(folder, name);
  const inner = relative(folder, path);
  if (isAbsolute(name) || inner === '' || inner.split('/')[0] === '..') return undefined;
  if (encodeURIComponent(name).length > 250) return undefined;
  try {
    const bytes = readRegular(path, mostNamedBytes + 1);
    return bytes.length > mostNamedBytes ? undefined : bytes;
  } catch {
    return undefined;
  }
}
