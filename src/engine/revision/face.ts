// FILE and the manifests folder are the face of the running revision: commit rewrites them, and a text that is not in
// history is somebody's edit. They are several files, so a mark in the state folder says while they are rewritten: what
// a crash leaves mixed is then known for ours.
import { existsSync, readdirSync } from 'node:fs';
import { mkdir, readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { defaultLimits } from '../../config/limits.ts';
import type { Problem } from '../../config/problem.ts';
import { readRegular } from '../../lib/file.ts';
import { refusal, replaceWhole } from './disk.ts';
import type { History } from './history.ts';
import type { FaceText } from './revision.ts';

export interface Face {
  readonly file: string;
  readonly manifests?: string;
  /** The state folder. */
  readonly state: string;
}

/** Names that begin with a dot are those of editors and of version control. */
const isManifest = (name: string): boolean => /^[^.].*\.ya?ml$/s.test(name);
const markOf = (face: Face): string => join(face.state, 'face-is-being-written');

/** What stands on disk: FILE, undefined where there is none, and the files of the folder's top level, in name order.
 * What is there and cannot be read is a Problem. */
export function readFace(face: Face): { readonly text: FaceText | undefined; readonly problems: readonly Problem[] } {
  const problems: Problem[] = [];
  const reading = <T>(path: string, read: (path: string) => T, otherwise: T): T => {
    try {
      return read(path);
    } catch (error) {
      const message = `it cannot be read: ${(error as Error).message}`;
      problems.push({ file: path, line: 1, column: 1, path: '', message });
      return otherwise;
    }
  };
  const document = reading(face.file, readIf, undefined);
  if (document === undefined) return { text: undefined, problems };
  const { manifests: folder } = face;
  const names = folder === undefined ? [] : reading(folder, listIf, []);
  const manifests = Object.fromEntries(
    names.map((name) => [name, reading(join(folder ?? '', name), readWhole, new Uint8Array())]),
  );
  return { text: { document, manifests }, problems };
}

/** What somebody made of it, undefined where nobody did: then some revision has this text, or it is what a crash left
 * of our own writing. Of that, old or new, the revision's own counts beside what was edited since. A switch without a
 * manifests folder is asked about FILE alone. */
export function editOf(face: Face, text: FaceText, history: History): FaceText | undefined {
  const ours = history.knowsFile(undefined, text.document);
  if (face.manifests === undefined) return ours ? undefined : text;
  if (history.knows(text)) return undefined;
  const shown = existsSync(markOf(face)) ? history.read(history.pending()?.previous ?? history.newest()) : undefined;
  if (shown === undefined) return text;
  const edited = Object.entries(text.manifests).filter(([name, content]) => !history.knowsFile(name, content));
  if (ours && edited.length === 0) return undefined;
  const manifests = Object.entries(shown.manifests).map(([name, content]) => [name, Buffer.from(content)] as const);
  return {
    document: ours ? Buffer.from(shown.document) : text.document,
    manifests: Object.fromEntries<Uint8Array>([...manifests, ...edited]),
  };
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
    throw refusal(face.file, error);
  }
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
  const bytes = Buffer.from(text);
  // What is not of its length is not read: it may be no file, and without an end.
  const about = await stat(path).catch(absent);
  const same = about?.isFile() === true && about.size === bytes.length && (await readFile(path)).equals(bytes);
  return same ? [] : [() => replaceWhole(path, text)];
}

function absent(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT') throw error;
}

function readIf(path: string): Uint8Array | undefined {
  try {
    return readWhole(path);
  } catch (error) {
    return absent(error as NodeJS.ErrnoException);
  }
}

/** As far as it need be read to be refused for its length. */
const readWhole = (path: string): Uint8Array => readRegular(path, defaultLimits.bytes + 1);

function listIf(folder: string): string[] {
  try {
    const entries = readdirSync(folder, { withFileTypes: true }).filter((entry) => !entry.isDirectory());
    return entries.flatMap(({ name }) => (isManifest(name) ? [name] : [])).toSorted();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}
