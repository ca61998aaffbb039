// FILE and the manifests folder are the face of the running revision: commit rewrites them, and a text that is not in
// history is somebody's edit. They are several files, so a mark in the state folder says while they are rewritten: what
// a crash leaves mixed is then known for ours.
import { existsSync, readdirSync } from 'node:fs';
import { mkdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { readText } from '../../config/limits.ts';
import { FaultError } from '../faults.ts';
import { refusal, replaceWhole } from './disk.ts';
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

/** What stands on disk; undefined where FILE does not exist. Files of the folder's top level, in name order. FaultError
 * where it can't be read. */
export function readFace(face: Face): FaceText | undefined {
  try {
    const document = readIf(face.file);
    if (document === undefined) return undefined;
    const manifests: Record<string, Uint8Array> = {};
    for (const name of face.manifests === undefined ? [] : listIf(face.manifests)) {
      const content = readIf(join(face.manifests ?? '', name));
      if (content !== undefined) manifests[name] = content;
    }
    return { document, manifests };
  } catch (error) {
    throw faceFault(face, error);
  }
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
 * The thread goes on while the disk reads and writes. One call at a time. FaultError where it can't be done. */
export async function writeFace(
  face: Face,
  text: { document: string; manifests: Readonly<Record<string, string>> },
): Promise<void> {
  try {
    const todo = [
      ...(await manifestChanges(face.manifests, text.manifests)),
      ...(await change(face.file, text.document)),
    ];
    if (todo.length > 1) await replaceWhole(markOf(face), '');
    for (const each of todo) await each();
    await rm(markOf(face), { force: true });
  } catch (error) {
    throw faceFault(face, error);
  }
}

/** People work in these folders: whatever they made of them, it is a Fault. */
function faceFault(face: Face, error: unknown): unknown {
  const refused = refusal(face.file, error);
  const { code, message } = refused as NodeJS.ErrnoException;
  return code === undefined ? refused : new FaultError('refused', face.file, message, true);
}

type Change = () => Promise<void>;

async function manifestChanges(
  folder: string | undefined,
  manifests: Readonly<Record<string, string>>,
): Promise<readonly Change[]> {
  if (folder === undefined) return [];
  await mkdir(folder, { recursive: true });
  const gone = listIf(folder).filter((name) => manifests[name] === undefined);
  const todo: Change[] = gone.map((name) => () => rm(join(folder, name)));
  for (const [name, content] of Object.entries(manifests)) todo.push(...(await change(join(folder, name), content)));
  return todo;
}

async function change(path: string, text: string): Promise<readonly Change[]> {
  const there = await readFile(path).catch(absent);
  return there?.equals(Buffer.from(text)) === true ? [] : [() => replaceWhole(path, text)];
}

/** A folder is no file; nor is a link that leads nowhere, as editors leave them. */
function absent(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT' && error.code !== 'EISDIR') throw error;
}

function readIf(path: string): Uint8Array | undefined {
  try {
    return readText(path);
  } catch (error) {
    return absent(error as NodeJS.ErrnoException);
  }
}

function listIf(folder: string): string[] {
  try {
    const entries = readdirSync(folder, { withFileTypes: true }).filter((entry) => !entry.isDirectory());
    return entries.flatMap(({ name }) => (isManifest(name) ? [name] : [])).toSorted();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}
