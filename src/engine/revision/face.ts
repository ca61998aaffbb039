// FILE and the manifests folder are the face of the running revision: commit rewrites them, and a text that is not in
// history is somebody's edit. They are several files, so a mark in the state folder says while they are rewritten: what
// a crash leaves mixed is then known for ours.
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { readText } from '../../config/limits.ts';
import { onDisk, writeDurably } from './disk.ts';
import type { History } from './history.ts';
import type { FaceText } from './revision.ts';

export interface Face {
  readonly file: string;
  readonly manifests?: string;
  /** The state folder. */
  readonly state: string;
}

const isManifest = (name: string): boolean => name.endsWith('.yaml') || name.endsWith('.yml');
const markOf = (face: Face): string => join(face.state, 'face-is-being-written');

/** What stands on disk; undefined where FILE does not exist. Files of the folder's top level, in name order. */
export function readFace(face: Face): FaceText | undefined {
  const document = readIf(face.file, readText);
  if (document === undefined) return undefined;
  const manifests: Record<string, Uint8Array> = {};
  for (const name of face.manifests === undefined ? [] : listIf(face.manifests)) {
    manifests[name] = readText(join(face.manifests ?? '', name));
  }
  return { document, manifests };
}

/** Whether somebody edited it: no revision has this text, and it is not what a crash left of our own writing. A switch
 * without a manifests folder is asked about FILE alone. */
export function isEdited(face: Face, text: FaceText, history: History): boolean {
  const { document } = text;
  if (face.manifests === undefined) return !history.knowsFile(undefined, document);
  if (history.knows(text)) return false;
  if (!existsSync(markOf(face))) return true;
  const own = Object.entries(text.manifests).every(([name, content]) => history.knowsFile(name, content));
  return !own || !history.knowsFile(undefined, document);
}

/** Makes the disk show a revision; files that it does not have are removed, those that show it already are not written.
 * FaultError 'disk-full'. */
export function writeFace(face: Face, text: { document: string; manifests: Readonly<Record<string, string>> }): void {
  onDisk(face.file, () => {
    const todo = [...manifestChanges(face.manifests, text.manifests), ...change(face.file, text.document)];
    if (todo.length > 1) writeDurably(markOf(face), '');
    for (const each of todo) each();
    rmSync(markOf(face), { force: true });
  });
}

type Change = () => void;

function manifestChanges(folder: string | undefined, manifests: Readonly<Record<string, string>>): Change[] {
  if (folder === undefined) return [];
  mkdirSync(folder, { recursive: true });
  const gone = listIf(folder).filter((name) => manifests[name] === undefined);
  return [
    ...gone.map((name) => () => rmSync(join(folder, name))),
    ...Object.entries(manifests).flatMap(([name, content]) => change(join(folder, name), content)),
  ];
}

function change(path: string, text: string): Change[] {
  const there = readIf(path);
  const same = there !== undefined && Buffer.from(there).equals(Buffer.from(text));
  return same ? [] : [() => writeDurably(path, text)];
}

function readIf(path: string, read: (path: string) => Uint8Array = readFileSync): Uint8Array | undefined {
  try {
    return read(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

function listIf(folder: string): string[] {
  try {
    return readdirSync(folder).filter(isManifest).toSorted();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}
