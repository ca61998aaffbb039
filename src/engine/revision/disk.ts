// Files that a crash leaves old or new, never half; what the disk refuses is a Fault.
import { closeSync, fsyncSync, openSync, readFileSync, renameSync, rmSync, writeSync } from 'node:fs';
import { open, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { z } from 'zod';
import { FaultError } from '../faults.ts';

const diskCodes = new Set(['ENOSPC', 'EDQUOT', 'EROFS', 'EIO', 'EACCES', 'EPERM', 'EMFILE', 'ENFILE']);
/** What is not answered to who asks rightly. */
const mistakes = new Set(['EBADF', 'EFAULT', 'EINVAL']);

/** Runs a call that writes; throws FaultError 'disk-full' where the disk has no room or cannot be written, 'refused'
 * for what people made of its folders. */
export function onDisk<T>(what: string, call: () => T): T {
  try {
    return call();
  } catch (error) {
    throw refusal(what, error);
  }
}

/** The FaultError where it is the disk that refuses, or somebody's folder, link or mount in the way; else the error. */
export function refusal(what: string, error: unknown): unknown {
  const { code, syscall, message } = error as NodeJS.ErrnoException;
  if (code === undefined || syscall === undefined || mistakes.has(code)) return error;
  if (!diskCodes.has(code)) return new FaultError('refused', what, message, true);
  return new FaultError('disk-full', what, `the disk does not take it: ${message}`, true);
}

/** Writes the whole file so that a crash leaves the old or the new text. FaultError 'disk-full'. */
export function writeDurably(file: string, text: string): void {
  const temporary = `${file}.tmp`;
  onDisk(file, () => {
    try {
      writeSynced(temporary, text);
      renameSync(temporary, file);
      syncFolder(dirname(file));
    } catch (error) {
      rmSync(temporary, { force: true });
      throw error;
    }
  });
}

/** What `writeDurably` wrote, read by `parse`; undefined where there is no file. FaultError 'unreadable' where the file
 * holds something else, so that nobody takes it for an empty one. */
export function readWritten<T>(file: string, parse: (text: string) => T | undefined): T | undefined {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    const { code, syscall, message } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return undefined;
    throw syscall === undefined ? error : unreadable(file, message);
  }
  const value = parse(text);
  if (value === undefined) throw unreadable(file, 'it does not hold what was written to it');
  return value;
}

function unreadable(file: string, why: string): FaultError {
  return new FaultError('unreadable', file, `${why}; without this file the switch begins anew`);
}

/** A reader of JSON of this shape, for `readWritten`. */
export function jsonOf<T>(shape: z.ZodType<T>): (text: string) => T | undefined {
  return (text) => {
    try {
      return shape.safeParse(JSON.parse(text)).data;
    } catch {
      return undefined;
    }
  };
}

function writeSynced(path: string, content: string): void {
  const fd = openSync(path, 'w', 0o600);
  try {
    const bytes = Buffer.from(content);
    for (let at = 0; at < bytes.length;) at += writeSync(fd, bytes, at);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

function syncFolder(folder: string): void {
  const fd = openSync(folder, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** Writes a file of mode 0600 that is on the disk when it resolves. The thread goes on while the disk writes. */
export async function writeWhole(path: string, content: string | Uint8Array): Promise<void> {
  await using file = await open(path, 'w', 0o600);
  await file.writeFile(content);
  await file.sync();
}

/** Names that were made or taken away in the folder are on the disk when it resolves. */
export async function syncNames(folder: string): Promise<void> {
  await using handle = await open(folder, 'r');
  await handle.sync();
}

/** As `writeDurably`, but the thread goes on while the disk writes. */
export async function replaceWhole(file: string, content: string): Promise<void> {
  const temporary = `${file}.tmp`;
  try {
    await writeWhole(temporary, content);
    // Of microseconds; who stops this thread at each of its calls (strace) can stop it here.
    renameSync(temporary, file);
    await syncNames(dirname(file));
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => undefined);
    throw refusal(file, error);
  }
}
