// FILE and the manifests folder are the face of the running revision: commit rewrites them, and a text that is not in
// history is somebody's edit.
import { mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { writeDurably } from './ids.ts';

export interface Face {
  readonly file: string;
  readonly manifests?: string;
}

export interface FaceText {
  readonly document: Uint8Array;
  readonly manifests: Readonly<Record<string, string>>;
}

const isManifest = (name: string): boolean => name.endsWith('.yaml') || name.endsWith('.yml');

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

/** Makes the disk show a revision; files that it does not have are removed. */
export function writeFace(face: Face, text: { document: string; manifests: Readonly<Record<string, string>> }): void {
  writeDurably(face.file, text.document);
  if (face.manifests === undefined) return;
  mkdirSync(face.manifests, { recursive: true });
  for (const name of listIf(face.manifests)) {
    if (text.manifests[name] === undefined) rmSync(join(face.manifests, name));
  }
  for (const [name, content] of Object.entries(text.manifests)) writeDurably(join(face.manifests, name), content);
}

/** Whether the disk shows exactly this revision's text. */
export function sameFace(a: FaceText, b: { document: string; manifests: Readonly<Record<string, string>> }): boolean {
  const order = (m: Readonly<Record<string, string>>): string => JSON.stringify(Object.entries(m).toSorted());
  return Buffer.from(a.document).equals(Buffer.from(b.document)) && order(a.manifests) === order(b.manifests);
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
