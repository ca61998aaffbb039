// A log that grows is moved aside once.
import { renameSync, statSync } from 'node:fs';

/** Moves a log that has grown beyond `bytes` aside. */
export function rotate(file: string, bytes: number, reopen: () => void): void {
  const stat = statSync(file, { throwIfNoEntry: false });
  if (stat === undefined || stat.size < bytes) return;
  renameSync(file, `${file}.1`);
  reopen();
}
