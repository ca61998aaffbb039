// Revisions on disk: <state>/history/000123/ holds the document, the manifests and every file that they name, by
// content. A revision is made in a temporary folder, fsynced and renamed: it is there whole, or not at all.
import { createHash } from 'node:crypto';
import {
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import type { Revision, RevisionInfo } from './engine.ts';
import { writeDurably } from './ids.ts';

export interface StoredRevision extends Revision {
  /** Files that the document names, by the name that it uses. */
  readonly files: Readonly<Record<string, Uint8Array>>;
}

export interface Pending {
  readonly revision: number;
  readonly previous: number;
  /** Milliseconds since 1970. */
  readonly confirmBy: number;
}

export interface History {
  list(): readonly RevisionInfo[];
  read(number: number): StoredRevision | undefined;
  newest(): number;
  /** Writes the next revision and drops the oldest beyond `keep`. */
  record(revision: Omit<StoredRevision, 'number'>): RevisionInfo;
  /** The number of the revision whose document has this text. */
  byText(document: string): number | undefined;
  pending(): Pending | undefined;
  setPending(pending: Pending | undefined): void;
}

const keep = 100;

/** Opens, or begins, the history in a state folder. What a crash left half made is removed. */
export function openHistory(state: string): History {
  const folder = join(state, 'history');
  const pendingFile = join(state, 'pending.json');
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  for (const name of readdirSync(folder)) {
    if (name.startsWith('tmp-')) rmSync(join(folder, name), { recursive: true });
  }
  const infos = new Map<number, RevisionInfo & { readonly hash: string }>();
  for (const name of readdirSync(folder).toSorted()) {
    const info = JSON.parse(readFileSync(join(folder, name, 'meta.json'), 'utf8')) as RevisionInfo & { hash: string };
    infos.set(info.number, info);
  }
  const newest = (): number => Math.max(0, ...infos.keys());
  return {
    list: () => [...infos.values()].map(({ hash: _, ...info }) => info).toReversed(),
    read: (number) => (infos.has(number) ? readRevision(folder, number) : undefined),
    newest,
    record(revision) {
      const number = newest() + 1;
      const { document, manifests, files, ...rest } = revision;
      const info = { number, ...rest, hash: hashOf(document) };
      writeRevision(folder, number, { 'document.yaml': document, 'meta.json': JSON.stringify(info) }, manifests, files);
      infos.set(number, info);
      for (const old of [...infos.keys()].slice(0, -keep)) {
        infos.delete(old);
        rmSync(join(folder, nameOf(old)), { recursive: true });
      }
      const { hash: _, ...shown } = info;
      return shown;
    },
    byText(document) {
      const hash = hashOf(document);
      return [...infos.values()].findLast((info) => info.hash === hash)?.number;
    },
    pending: () => readPending(pendingFile),
    setPending(pending) {
      if (pending === undefined) rmSync(pendingFile, { force: true });
      else writeDurably(pendingFile, JSON.stringify(pending));
    },
  };
}

function hashOf(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

function nameOf(number: number): string {
  return String(number).padStart(6, '0');
}

function writeRevision(
  folder: string,
  number: number,
  own: Readonly<Record<string, string>>,
  manifests: Readonly<Record<string, string>>,
  files: Readonly<Record<string, Uint8Array>>,
): void {
  const temporary = join(folder, `tmp-${nameOf(number)}`);
  rmSync(temporary, { recursive: true, force: true });
  const write = (path: string, content: string | Uint8Array): void => {
    mkdirSync(dirname(join(temporary, path)), { recursive: true, mode: 0o700 });
    writeSynced(join(temporary, path), content);
  };
  try {
    for (const [name, text] of Object.entries(own)) write(name, text);
    for (const [name, text] of Object.entries(manifests)) write(join('manifests', name), text);
    for (const [name, bytes] of Object.entries(files)) write(join('files', encodeURIComponent(name)), bytes);
    renameSync(temporary, join(folder, nameOf(number)));
    syncFolder(folder);
  } catch (error) {
    rmSync(temporary, { recursive: true, force: true });
    throw error;
  }
}

function writeSynced(path: string, content: string | Uint8Array): void {
  const fd = openSync(path, 'w', 0o600);
  try {
    const bytes = typeof content === 'string' ? Buffer.from(content) : content;
    for (let at = 0; at < bytes.length;) at += writeSync(fd, bytes, at);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

function syncFolder(folder: string): void {
  const fd = openSync(folder, 'r');
  fsyncSync(fd);
  closeSync(fd);
}

function readRevision(folder: string, number: number): StoredRevision {
  const root = join(folder, nameOf(number));
  const { hash: _, ...info } = JSON.parse(readFileSync(join(root, 'meta.json'), 'utf8')) as RevisionInfo & {
    hash: string;
  };
  const manifests = readFolder(join(root, 'manifests')).map(([name, bytes]) => [name, bytes.toString('utf8')]);
  const files = readFolder(join(root, 'files')).map(([name, bytes]) => [decodeURIComponent(name), bytes]);
  return {
    ...info,
    document: readFileSync(join(root, 'document.yaml'), 'utf8'),
    manifests: Object.fromEntries(manifests) as Record<string, string>,
    files: Object.fromEntries(files) as Record<string, Uint8Array>,
  };
}

function readFolder(folder: string): [string, Buffer][] {
  try {
    return readdirSync(folder)
      .toSorted()
      .map((name) => [name, readFileSync(join(folder, name))]);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

function readPending(file: string): Pending | undefined {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as Pending;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}
