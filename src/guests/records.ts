// Records on disk of what outlives the daemon, a file NAME.json each. What is not there is nothing, no error.
import { readdirSync, readFileSync } from 'node:fs';
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

function unlessMissing<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}
