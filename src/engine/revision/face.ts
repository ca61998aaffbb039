// FILE and the manifests folder are the face of the running revision: commit rewrites them, and a text that is not in
// history is somebody's edit. They are several files, so a mark in the state folder says while they are rewritten: what
// a crash leaves mixed is then known for ours.
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
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
  const document = readIf(face.file);
  if (document === undefined) return undefined;
  const manifests: Record<string, string> = {};
  for (const name of face.manifests === undefined ? [] : listIf(face.manifests)) {
    manifests[name] = readFileSync(join(face.manifests ?? '', name), 'utf8');
  }
  return { document, manifests };
}

/** Whether somebody edited it: no revision has this text, and it is not what a crash left of our own writing. A switch
 * without a manifests folder is asked about FILE alone. */
export function isEdited(face: Face, text: FaceText, history: History): boolean {
  const document = Buffer.from(text.document).toString('utf8');
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
    writeDurably(markOf(face), '');
    writeIfOther(face.file, text.document);
    if (face.manifests !== undefined) writeManifests(face.manifests, text.manifests);
    rmSync(markOf(face), { force: true });
  });
}

function writeManifests(folder: string, manifests: Readonly<Record<string, string>>): void {
  mkdirSync(folder, { recursive: true });
  for (const name of listIf(folder)) if (manifests[name] === undefined) rmSync(join(folder, name));
  for (const [name, content] of Object.entries(manifests)) writeIfOther(join(folder, name), content);
}

function writeIfOther(path: string, text: string): void {
  const there = readIf(path);
  if (there === undefined || !Buffer.from(there).equals(Buffer.from(text))) writeDurably(path, text);
}

function readIf(path: string): Uint8Array | undefined {
  try {
    return readFileSync(path);
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
