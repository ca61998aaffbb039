// Counters of routes in memory that workers write and the main thread reads: a region a worker, one writer each, so no
// lock. A row a route: requests, answers by class, and a histogram of latencies.

import type { RouteTable, Snapshot } from '../../mesh/snapshot.ts';

/** Memory of rows that were never written to is not taken. */
export const STAT_ROWS = 65_536;
/** Requests that no route took: unknown hosts and paths, heads that could not be read. */
export const NO_ROUTE = 0;

const C_REQUESTS = 0;
/** Five words: 1xx to 5xx. */
const C_CLASS = 1;
/** Exchanges that ended without a whole answer. */
const C_ABORTED = 6;
const C_BYTES_IN = 7;
const C_BYTES_OUT = 8;
const C_US = 9;
const C_BUCKETS = 10;
/** Four buckets an octave from 16 us to 2^36 us, 19 hours. */
const BUCKETS = 128;
const ROW = C_BUCKETS + BUCKETS;

/** Memory for one worker. */
export function counterMemory(): SharedArrayBuffer {
  return new SharedArrayBuffer(STAT_ROWS * ROW * Float64Array.BYTES_PER_ELEMENT);
}

/** Bucket of a duration: four to an octave, the first for all below 16 us. */
export function bucketOf(us: number): number {
  if (us < 16) return 0;
  const octave = 31 - Math.clz32(Math.min(us, 0x7fffffff));
  return Math.min(BUCKETS - 1, (octave - 4) * 4 + ((us >> (octave - 2)) & 3) + 1);
}

/** Upper end of a bucket in microseconds. */
export function bucketTop(bucket: number): number {
  if (bucket === 0) return 16;
  const octave = ((bucket - 1) >> 2) + 4;
  return 2 ** octave * (1 + (((bucket - 1) & 3) + 1) / 4);
}

export interface CounterWriter {
  done(stat: number, status: number, us: number, bytesIn: number, bytesOut: number, aborted: boolean): void;
  /** Empties a row for its next route. */
  clear(stat: number): void;
}

export function counterWriter(memory: SharedArrayBuffer): CounterWriter {
  const words = new Float64Array(memory);
  return {
    done(stat, status, us, bytesIn, bytesOut, aborted) {
      const base = stat * ROW;
      words[base + C_REQUESTS]! += 1;
      const group = Math.floor(status / 100);
      if (group >= 1 && group <= 5) words[base + C_CLASS + group - 1]! += 1;
      if (aborted) words[base + C_ABORTED]! += 1;
      words[base + C_BYTES_IN]! += bytesIn;
      words[base + C_BYTES_OUT]! += bytesOut;
      words[base + C_US]! += us;
      words[base + C_BUCKETS + bucketOf(us)]! += 1;
    },
    clear(stat) {
      words.fill(0, stat * ROW, (stat + 1) * ROW);
    },
  };
}

/** What one route has done since it came. Latencies in milliseconds, 0 before the first request. */
export interface RouteStats {
  readonly requests: number;
  /** Answers 1xx to 5xx. */
  readonly classes: readonly [number, number, number, number, number];
  readonly aborted: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
  readonly meanMs: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

const idle: RouteStats = {
  requests: 0,
  classes: [0, 0, 0, 0, 0],
  aborted: 0,
  bytesIn: 0,
  bytesOut: 0,
  meanMs: 0,
  p50Ms: 0,
  p99Ms: 0,
};

/** What reads rows, summed over the workers. There may be thousands to read, most of them idle. */
export function readStats(memories: readonly SharedArrayBuffer[]): (stat: number) => RouteStats {
  const all = memories.map((memory) => new Float64Array(memory));
  const sum = new Float64Array(ROW);
  const at = (i: number): number => sum[i]!;
  return (stat) => {
    const base = stat * ROW;
    if (all.every((words) => words[base + C_REQUESTS] === 0)) return idle;
    sum.fill(0);
    for (const words of all) for (let i = 0; i < ROW; i += 1) sum[i]! += words[base + i]!;
    const requests = at(C_REQUESTS);
    return {
      requests,
      classes: [at(C_CLASS), at(C_CLASS + 1), at(C_CLASS + 2), at(C_CLASS + 3), at(C_CLASS + 4)],
      aborted: at(C_ABORTED),
      bytesIn: at(C_BYTES_IN),
      bytesOut: at(C_BYTES_OUT),
      meanMs: requests === 0 ? 0 : at(C_US) / requests / 1000,
      p50Ms: quantile(sum, 0.5),
      p99Ms: quantile(sum, 0.99),
    };
  };
}

function quantile(sum: Float64Array, q: number): number {
  let total = 0;
  for (let b = 0; b < BUCKETS; b += 1) total += sum[C_BUCKETS + b]!;
  if (total === 0) return 0;
  const wanted = Math.ceil(total * q);
  let seen = 0;
  for (let b = 0; b < BUCKETS; b += 1) {
    seen += sum[C_BUCKETS + b]!;
    if (seen >= wanted) return bucketTop(b) / 1000;
  }
  return bucketTop(BUCKETS - 1) / 1000;
}

/** So many rows are free before the first of them is used again: nobody counts in it any more then. */
const REST = 1024;

/** Which row counts for which route: kept while the route's table and name stay. */
export class StatRows {
  private readonly tables = new Map<string, Map<string, number>>();
  private readonly free: number[] = [];
  private readonly again = new Set<number>();
  private next = NO_ROUTE + 1;

  /** The row of a route, given out where it has none. Throws an Error where there are no more. */
  row(table: string, route: string): number {
    const rows = this.tables.get(table) ?? new Map<string, number>();
    this.tables.set(table, rows);
    const known = rows.get(route);
    if (known !== undefined) return known;
    const fresh = this.next < STAT_ROWS && this.free.length < REST;
    const row = fresh ? this.next++ : this.free.shift();
    if (row === undefined) throw new Error(`more than ${STAT_ROWS - 1} routes`);
    if (!fresh) this.again.add(row);
    rows.set(route, row);
    return row;
  }

  /** Rows given out since the last settle() that others had before: to be cleared. */
  reused(): readonly number[] {
    return [...this.again];
  }

  /** Gives back the rows of what is not in force. */
  settle(snapshot: Snapshot | undefined): void {
    this.again.clear();
    const names = new Map(snapshot?.routes.map((table) => [table.name, namesOf(table)]));
    for (const [table, rows] of this.tables) {
      const kept = names.get(table);
      for (const [route, row] of rows) {
        if (kept?.has(route) === true) continue;
        rows.delete(route);
        this.free.push(row);
      }
      if (kept === undefined) this.tables.delete(table);
    }
  }

  /** Table, route and row of all routes of what is in force, once a table. */
  *inForce(snapshot: Snapshot | undefined): Generator<readonly [table: string, route: string, row: number], void> {
    for (const table of snapshot?.routes ?? []) {
      for (const route of namesOf(table)) yield [table.name, route, this.row(table.name, route)];
    }
  }
}

function namesOf(table: RouteTable): Set<string> {
  const names = new Set<string>();
  for (const host of table.hosts) for (const { name } of host.routes) names.add(name);
  for (const { name } of table.streams ?? []) names.add(name);
  return names;
}
