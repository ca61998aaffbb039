// Files that a crash leaves old or new, never half; what the disk refuses is a Fault.
import { closeSync, fsyncSync, openSync, renameSync, rmSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { FaultError } from '../faults.ts';

const diskCodes = new Set(['ENOSPC', 'EDQUOT', 'EROFS', 'EIO', 'EACCES', 'EPERM', 'EMFILE', 'ENFILE']);

/** Runs a call that writes; throws FaultError 'disk-full' where the disk has no room or cannot be written. */
export function onDisk<T>(what: string, call: () => T): T {
  try {
    return call();
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === undefined || !diskCodes.has(code)) throw error;
    throw new FaultError('disk-full', what, `the disk does not take it: ${message}`, true);
  }
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

/** Writes a file of mode 0600 that is on the disk when the call returns. */
export function writeSynced(path: string, content: string | Uint8Array): void {
  const fd = openSync(path, 'w', 0o600);
  try {
    const bytes = typeof content === 'string' ? Buffer.from(content) : content;
    for (let at = 0; at < bytes.length;) at += writeSync(fd, bytes, at);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** Names that were made or taken away in the folder are on the disk when the call returns. */
export function syncFolder(folder: string): void {
  const fd = openSync(folder, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
