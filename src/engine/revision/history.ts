// Revisions on disk: <state>/history/000123/ holds the document, the manifests and every file that they name, by
// content. A revision is made in a temporary folder, fsynced and renamed: it is there whole, or not at all. Its
// meta.json says too whether it waits for a confirm, until when and what to go back to, so that no crash can part the
// two; a file `confirmed` beside it, or a later revision, ends the wait.
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { mkdir, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import { refusal, syncNames, writeDurably, writeWhole } from './disk.ts';
import type { FaceText, RevisionInfo, StoredRevision } from './revision.ts';

/** The newest revision goes back to `previous` at `confirmBy` (milliseconds since 1970). */
export interface Pending {
  readonly revision: number;
  readonly previous: number;
  readonly confirmBy: number;
}

/** What a commit that is to be confirmed adds to its revision. */
export type Confirm = Pick<Pending, 'previous' | 'confirmBy'>;

export interface History {
  /** Newest first; the one that waits for a confirm says until when. */
  list(): readonly RevisionInfo[];
  /** Undefined where there is none, or the disk does not give it back as it was recorded. */
  read(number: number): StoredRevision | undefined;
  /** 0 where there is none. */
  newest(): number;
  /** Writes the next revision and drops the oldest beyond those that are kept; one call at a time. FaultError
   * 'disk-full': nothing is recorded. */
  record(revision: Omit<StoredRevision, 'number' | 'confirmBy'>, confirm?: Confirm): Promise<RevisionInfo>;
  /** Whether some revision has exactly this text. */
  knows(text: FaceText): boolean;
  /** Whether some revision has this file (undefined: the document) with exactly this text. */
  knowsFile(name: string | undefined, text: Uint8Array): boolean;
  /** The newest revision, where it waits for a confirm. */
  pending(): Pending | undefined;
  /** Ends the wait of a revision; durable when it returns. FaultError 'disk-full': it still waits. */
  confirm(number: number): void;
}

interface Meta extends Omit<RevisionInfo, 'confirmBy'> {
  readonly confirm?: Confirm;
  /** Of the document, and of each manifest by name. */
  readonly hashes: { readonly document: string; readonly manifests: Readonly<Record<string, string>> };
}

/** Revisions that are kept: as many as 50 must be there for rollback. */
const keep = 100;

/** Opens, or begins, the history in a state folder. What a crash left half made is removed; a folder that cannot be
 * read is passed over, its number is not used again. */
export function openHistory(state: string): History {
  const folder = join(state, 'history');
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  for (const name of readdirSync(folder)) {
    if (name.startsWith('tmp-')) rmSync(join(folder, name), { recursive: true });
  }
  const metas = new Map<number, Meta>();
  let last = 0;
  for (const name of readdirSync(folder).filter((each) => /^\d+$/.test(each))) {
    last = Math.max(last, Number(name));
    const meta = readMeta(folder, name);
    if (meta !== undefined) metas.set(meta.number, meta);
  }
  const newest = (): number => Math.max(0, ...metas.keys());
  const pending = (): Pending | undefined => pendingOf(folder, metas.get(newest()));
  return {
    list: () => [...metas.values()].toSorted((a, b) => b.number - a.number).map((meta) => shown(meta, pending())),
    read: (number) => {
      const meta = metas.get(number);
      return meta === undefined ? undefined : readRevision(folder, meta, shown(meta, pending()));
    },
    newest,
    async record(revision, confirm) {
      const number = last + 1;
      const meta = metaOf(number, revision, confirm);
      await writeRevision(folder, meta, revision);
      last = number;
      metas.set(number, meta);
      await prune(folder, metas, pending()?.previous);
      return shown(meta, pending());
    },
    knows(text) {
      const hashes = JSON.stringify(hashesOf(Buffer.from(text.document), text.manifests));
      return [...metas.values()].some((meta) => JSON.stringify(meta.hashes) === hashes);
    },
    knowsFile(name, text) {
      const hash = hashOf(text);
      const known = (meta: Meta): string | undefined =>
        name === undefined ? meta.hashes.document : meta.hashes.manifests[name];
      return [...metas.values()].some((meta) => known(meta) === hash);
    },
    pending,
    confirm: (number) => writeDurably(join(folder, nameOf(number), 'confirmed'), ''),
  };
}

function pendingOf(folder: string, meta: Meta | undefined): Pending | undefined {
  if (meta?.confirm === undefined || existsSync(join(folder, nameOf(meta.number), 'confirmed'))) return undefined;
  return { revision: meta.number, ...meta.confirm };
}

function shown(meta: Meta, pending: Pending | undefined): RevisionInfo {
  const { number, when, by, comment } = meta;
  const waits = pending?.revision === number ? { confirmBy: pending.confirmBy } : {};
  return { number, when, by, comment, ...waits };
}

function metaOf(number: number, revision: Parameters<History['record']>[0], confirm: Confirm | undefined): Meta {
  const { when, by, comment, document, manifests } = revision;
  const waits = confirm === undefined ? {} : { confirm };
  return { number, when, by, comment, ...waits, hashes: hashesOf(document, manifests) };
}

function hashesOf(
  document: string | Uint8Array,
  manifests: Readonly<Record<string, string | Uint8Array>>,
): Meta['hashes'] {
  const names = Object.keys(manifests).toSorted();
  return {
    document: hashOf(document),
    manifests: Object.fromEntries(names.map((name) => [name, hashOf(manifests[name] ?? '')])),
  };
}

function hashOf(text: string | Uint8Array): string {
  return createHash('sha256').update(text).digest('hex');
}

function nameOf(number: number): string {
  return String(number).padStart(6, '0');
}

const metaShape = z.object({
  number: z.int(),
  when: z.number(),
  by: z.string(),
  comment: z.string(),
  confirm: z.object({ previous: z.int(), confirmBy: z.number() }).optional(),
  hashes: z.object({ document: z.string(), manifests: z.record(z.string(), z.string()) }),
});

function readMeta(folder: string, name: string): Meta | undefined {
  try {
    const meta: unknown = JSON.parse(readFileSync(join(folder, name, 'meta.json'), 'utf8'));
    return metaShape.safeParse(meta).success && nameOf((meta as Meta).number) === name ? (meta as Meta) : undefined;
  } catch {
    return undefined;
  }
}

/** What an unconfirmed commit goes back to is kept, however old it is. What cannot be removed costs room and nothing
 * else. */
async function prune(folder: string, metas: Map<number, Meta>, previous: number | undefined): Promise<void> {
  const old = [...metas.keys()].toSorted((a, b) => a - b).slice(0, -keep);
  for (const number of old.filter((each) => each !== previous)) {
    metas.delete(number);
    await rm(join(folder, nameOf(number)), { recursive: true }).catch(() => undefined);
  }
}

type Content = readonly [path: string, content: string | Uint8Array];

async function writeRevision(folder: string, meta: Meta, revision: Parameters<History['record']>[0]): Promise<void> {
  const temporary = join(folder, `tmp-${nameOf(meta.number)}`);
  const whole = join(folder, nameOf(meta.number));
  const contents: readonly Content[] = [
    ['document.yaml', revision.document],
    ['meta.json', JSON.stringify(meta)],
    ...Object.entries(revision.manifests).map(([name, text]): Content => [join('manifests', name), text]),
    ...Object.entries(revision.files).map(([name, bytes]): Content => [join('files', encodeURIComponent(name)), bytes]),
  ];
  const folders = new Set([temporary, ...contents.map(([path]) => dirname(join(temporary, path)))]);
  try {
    await rm(temporary, { recursive: true, force: true });
    for (const path of folders) await mkdir(path, { recursive: true, mode: 0o700 });
    await everyOne(contents, ([path, content]) => writeWhole(join(temporary, path), content));
    await everyOne([...folders], syncNames);
    renameSync(temporary, whole);
    await syncNames(folder);
  } catch (error) {
    for (const path of [temporary, whole]) await rm(path, { recursive: true, force: true }).catch(() => undefined);
    throw refusal(`revision ${meta.number}`, error);
  }
}

/** All at the same time; the first error is thrown once all are over. */
async function everyOne<T>(items: readonly T[], call: (item: T) => Promise<void>): Promise<void> {
  for (const outcome of await Promise.allSettled(items.map(call)))
    if (outcome.status === 'rejected') throw outcome.reason;
}

function readRevision(folder: string, { hashes }: Meta, info: RevisionInfo): StoredRevision | undefined {
  const root = join(folder, nameOf(info.number));
  try {
    const document = readFileSync(join(root, 'document.yaml'));
    const manifests = Object.fromEntries(readFolder(join(root, 'manifests')));
    if (JSON.stringify(hashesOf(document, manifests)) !== JSON.stringify(hashes)) return undefined;
    return {
      ...info,
      document: document.toString('utf8'),
      manifests: Object.fromEntries(Object.entries(manifests).map(([name, bytes]) => [name, bytes.toString('utf8')])),
      files: Object.fromEntries(
        readFolder(join(root, 'files')).map(([name, bytes]) => [decodeURIComponent(name), bytes]),
      ),
    };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).syscall === undefined) throw error;
    return undefined;
  }
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
