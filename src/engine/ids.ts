// Small numbers for names (ports, services): on disk before first use, the same for as long as the name is in use, and
// not reused while a pinned map may still hold them.
import { closeSync, fsyncSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs';
import { printMac } from '../lib/mac.ts';

export interface Ids {
  /** The id of a name, made and written down if it has none. Ids start at 1. Throws RangeError when `limit` are used.
   * */
  id(space: string, name: string, limit: number): number;
  /** The id, if it has one. */
  find(space: string, name: string): number | undefined;
  name(space: string, id: number): string | undefined;
  /** Frees the ids of names that are not in use; called when no table holds them. */
  retain(space: string, names: ReadonlySet<string>): void;
}

type Table = Record<string, Record<string, number>>;

/** Keeps the ids in a JSON file. */
export function openIds(file: string): Ids {
  const table = readTable(file);
  const reverse = (space: string, id: number): string | undefined =>
    Object.entries(table[space] ?? {}).find(([, value]) => value === id)?.[0];
  return {
    id(space, name, limit) {
      const names = (table[space] ??= {});
      const known = names[name];
      if (known !== undefined) return known;
      const used = new Set(Object.values(names));
      let id = 1;
      while (used.has(id)) id += 1;
      if (id >= limit) throw new RangeError(`all ${limit - 1} ids of ${space} are in use`);
      names[name] = id;
      writeDurably(file, JSON.stringify(table));
      return id;
    },
    find: (space, name) => table[space]?.[name],
    name: reverse,
    retain(space, names) {
      const entries = Object.entries(table[space] ?? {});
      const kept = entries.filter(([name]) => names.has(name));
      if (kept.length === entries.length) return;
      table[space] = Object.fromEntries(kept);
      writeDurably(file, JSON.stringify(table));
    },
  };
}

function readTable(file: string): Table {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as Table;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return {};
    throw error;
  }
}

/** The switch's own MAC address: made once, locally administered, kept in a file. */
export function openBaseMac(file: string, random: (bytes: number) => Uint8Array): string {
  try {
    return readFileSync(file, 'utf8').trim();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
  const bytes = random(6);
  bytes[0] = 0x02;
  const mac = printMac(bytes);
  writeDurably(file, mac);
  return mac;
}

/** Writes the whole file so that a crash leaves the old or the new text. */
export function writeDurably(file: string, text: string): void {
  const temporary = `${file}.tmp`;
  const fd = openSync(temporary, 'w', 0o600);
  try {
    writeSync(fd, text);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  renameSync(temporary, file);
}
