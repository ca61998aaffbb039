// Files that a crash leaves old or new, never half; what the disk refuses is a Fault.
import { closeSync, fsyncSync, openSync, renameSync, rmSync, writeSync } from 'node:fs';
import { open, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { FaultError } from '../faults.ts';

const diskCodes = new Set(['ENOSPC', 'EDQUOT', 'EROFS', 'EIO', 'EACCES', 'EPERM', 'EMFILE', 'ENFILE']);

/** Runs a call that writes; throws FaultError 'disk-full' where the disk has no room or cannot be written. */
export function onDisk<T>(what: string, call: () => T): T {
  try {
    return call();
  } catch (error) {
    throw refusal(what, error);
  }
}

/** The FaultError where it is the disk that refuses, else the error. */
export function refusal(what: string, error: unknown): unknown {
  const { code, message } = error as NodeJS.ErrnoException;
  if (code === undefined || !diskCodes.has(code)) return error;
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
