// Records on disk of what outlives the daemon, a file NAME.json each. What is not there is nothing, no error.
import { readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { basename } from 'node:path';

/** Names of the records in a folder. */
export function recordsIn(folder: string): readonly string[] {
  const files = unlessMissing(() => readdirSync(folder)) ?? [];
  return files.filter((file) => file.endsWith('.json')).map((file) => basename(file, '.json'));
}

/** A record that we have written; undefined where there is none. */
export function readRecord<T>(file: string): T | undefined {
  const text = unlessMissing(() => readFileSync(file, 'utf8'));
  return text === undefined ? undefined : (JSON.parse(text) as T);
}

/** A process that is about to be started: until its record says which it is, its cgroup does. A daemon that is killed
 * in between leaves this behind, and so the next one knows that there may be a process. */
export const unborn = { pid: 0, startTime: 0, hash: '' } as const;

/** Writes a record as a whole. It need not outlast a power cut: what it tells of does not either. */
export function writeRecord(file: string, record: object): void {
  writeFileSync(`${file}.tmp`, JSON.stringify(record), { mode: 0o600 });
  renameSync(`${file}.tmp`, file);
}

function unlessMissing<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}
