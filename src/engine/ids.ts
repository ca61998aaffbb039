// Small numbers for names (ports, services): on disk before first use, the same for as long as the name is in use, and
// not reused while a pinned map may still hold them.
import { z } from 'zod';
import { parseMac, printMac } from '../lib/mac.ts';
import { FaultError } from './faults.ts';
import { jsonOf, readWritten, writeDurably } from './revision/disk.ts';

export interface Ids {
  /** The id of a name, made and written down if it has none. Ids start at 1. FaultError 'table-full' when all below
   * `limit` are used, 'disk-full' when it cannot be written down. */
  id(space: string, name: string, limit: number): number;
  /** Runs a call in which many ids are made, and writes them down together at its end. */
  together<T>(call: () => T): T;
  /** The id, if it has one. */
  find(space: string, name: string): number | undefined;
  name(space: string, id: number): string | undefined;
  /** Frees the ids of names that were not in use for `freeAfterMs` of calls of this, `now` being monotonic. The time is
   * counted anew by each process: rows that a table learned may still hold the id of a port that has just gone. */
  retain(space: string, inUse: ReadonlySet<string>, now: number): void;
}

type Table = Readonly<Record<string, Readonly<Record<string, number>>>>;

const freeAfterMs = 3_600_000;

/** Keeps the ids in a JSON file. FaultError 'unreadable': it holds something else. */
export function openIds(file: string): Ids {
  let table: Table = readWritten(file, jsonOf(shape)) ?? {};
  let names = reversed(table);
  /** Since when a name is not in use. */
  const unused = new Map<string, number>();
  let gathering = false;
  // On disk before anyone can use it.
  const save = (next: Table): void => {
    if (!gathering) writeDurably(file, JSON.stringify(next));
    table = next;
    names = reversed(next);
  };
  return {
    id(space, name, limit) {
      const there = table[space] ?? {};
      const known = Object.hasOwn(there, name) ? there[name] : undefined;
      if (known !== undefined) return known;
      const used = new Set(Object.values(there));
      let id = 1;
      while (used.has(id)) id += 1;
      if (id >= limit) throw new FaultError('table-full', name, `all ${limit - 1} ids of ${space} are in use`);
      save({ ...table, [space]: { ...there, [name]: id } });
      return id;
    },
    together(call) {
      if (gathering) return call();
      const before = table;
      gathering = true;
      try {
        return call();
      } finally {
        gathering = false;
        if (table !== before) {
          const after = table;
          table = before;
          names = reversed(before);
          save(after);
        }
      }
    },
    find: (space, name) => (Object.hasOwn(table[space] ?? {}, name) ? table[space]?.[name] : undefined),
    name: (space, id) => names.get(`${space}/${id}`),
    retain(space, inUse, now) {
      const entries = Object.entries(table[space] ?? {});
      const kept = entries.filter(([name]) => {
        const key = `${space}/${name}`;
        if (inUse.has(name)) unused.delete(key);
        else if (!unused.has(key)) unused.set(key, now);
        return now - (unused.get(key) ?? now) < freeAfterMs;
      });
      if (kept.length < entries.length) save({ ...table, [space]: Object.fromEntries(kept) });
    },
  };
}

function reversed(table: Table): Map<string, string> {
  return new Map(
    Object.entries(table).flatMap(([space, ids]) =>
      Object.entries(ids).map(([name, id]) => [`${space}/${id}`, name] as const),
    ),
  );
}

const shape = z.record(z.string(), z.record(z.string(), z.int()));

/** The switch's own MAC address: made once, locally administered, kept in a file. FaultError 'unreadable': it holds
 * something else. */
export function openBaseMac(file: string, random: (bytes: number) => Uint8Array): string {
  const known = readWritten(file, (text) => (parseMac(text.trim()) === undefined ? undefined : text.trim()));
  if (known !== undefined) return known;
  const bytes = random(6);
  bytes[0] = 0x02;
  const mac = printMac(bytes);
  writeDurably(file, mac);
  return mac;
}
