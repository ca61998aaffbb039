// Counters of routes in memory that workers write and the main thread reads: a region a worker, one writer each, so no
// lock. A row a route: requests, answers by class, and a histogram of latencies.

import type { Snapshot } from '../../mesh/snapshot.ts';

export const STAT_ROWS = 4096;
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

/** One row, summed over the workers. */
export function readStats(memories: readonly SharedArrayBuffer[], stat: number): RouteStats {
  const sum = new Float64Array(ROW);
  for (const memory of memories) {
    const words = new Float64Array(memory, stat * ROW * Float64Array.BYTES_PER_ELEMENT, ROW);
    for (let i = 0; i < ROW; i += 1) sum[i]! += words[i]!;
  }
  const at = (i: number): number => sum[i]!;
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

/** Names a row of the counters. */
export function statKey(table: string, route: string): string {
  return `${table} ${route}`;
}

/** Which row counts for which route: kept while the route's table and name stay. */
export class StatRows {
  private readonly byKey = new Map<string, number>([['', NO_ROUTE]]);
  private readonly free: number[] = [];
  private next = NO_ROUTE + 1;
  private order: (readonly [string, string, number])[] = [];

  rows(): ReadonlyMap<string, number> {
    return this.byKey;
  }

  /** Table, route and row of all that is in force. */
  inForce(): readonly (readonly [string, string, number])[] {
    return this.order;
  }

  /** Rows for all routes. Gives those that were given out now and must be cleared; undefined: no room. */
  add(snapshot: Snapshot): number[] | undefined {
    const fresh: number[] = [];
    for (const [table, route] of routesOf(snapshot)) {
      const key = statKey(table, route);
      if (this.byKey.has(key)) continue;
      if (this.next >= STAT_ROWS && this.free.length === 0) return undefined;
      // A row that was freed is used last, when nobody counts in it any more.
      const row = this.next < STAT_ROWS ? this.next++ : this.free.shift()!;
      this.byKey.set(key, row);
      fresh.push(row);
    }
    return fresh;
  }

  /** Gives back the rows of what is not in force. */
  settle(snapshot: Snapshot | undefined): void {
    const keep = new Set<string>(['']);
    this.order = [];
    for (const [table, route] of routesOf(snapshot)) {
      const key = statKey(table, route);
      keep.add(key);
      this.order.push([table, route, this.byKey.get(key)!]);
    }
    for (const [key, row] of this.byKey) {
      if (keep.has(key)) continue;
      this.byKey.delete(key);
      this.free.push(row);
    }
  }
}

/** Table and name of each route, once a table. */
function routesOf(snapshot: Snapshot | undefined): [string, string][] {
  return (snapshot?.routes ?? []).flatMap((table) => {
    const routes = [...table.hosts.flatMap((host) => host.routes), ...(table.streams ?? [])];
    const names = new Set(routes.map((route) => route.name));
    return [...names].map((name): [string, string] => [table.name, name]);
  });
}
