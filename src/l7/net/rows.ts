// Lays out what happened as rows, calls onBatch once a turn, and makes heads of the runs that come back.
import {
  ARENA_BYTES,
  BYTES,
  DONE,
  FAILED,
  IN_DRAINING,
  IN_EOF,
  IN_REQUEST_OPEN,
  IN_STARTED,
  MAX_RUNS,
  READ_BYTES,
  REQUEST,
  RESPONSE,
  ROWS,
  ROW_BYTES,
  ROW_WORDS,
  WHY_NONE,
  W_CONN,
  W_DONE_IN_HI,
  W_DONE_IN_LO,
  W_DONE_OUT_HI,
  W_DONE_OUT_LO,
  W_IN,
  W_KIND,
  W_LEN,
  W_LISTENER,
  W_OFF,
  W_REASON,
  W_RUNS,
  W_TAIL,
} from '../transport.ts';
import { GONE, none } from './conn.ts';
import type { Conn } from './conn.ts';

const MAX_US = 0x7fffffff;

export interface RowQueue {
  readonly arena: Buffer;
  readonly rows: Int32Array;
  readonly counts: { batches: number; rows: number };
  /** Queues a row for the next batch; one that only says "bytes have come" is queued once. */
  push(c: Conn, kind: number, why: number): void;
  empty(): boolean;
  template(id: number, bytes: Uint8Array): void;
  /** The head that a row describes, with `extra` behind it. */
  compose(base: number, extra: Buffer): Buffer;
}

/** `apply` does what a row says; `after` runs when a turn's rows are all done. */
export function createRows(
  onBatch: (n: number) => void,
  apply: (c: Conn, kind: number, base: number, why: number) => void,
  after: () => void,
): RowQueue {
  const arena = Buffer.alloc(ARENA_BYTES);
  const rows = new Int32Array(ROWS * ROW_WORDS);
  const templates: Uint8Array[] = [];
  const counts = { batches: 0, rows: 0 };
  // The queue: three columns, a head and an end. Columns keep their room.
  const conns: Conn[] = [];
  const kinds: number[] = [];
  const whys: number[] = [];
  let first = 0;
  let last = 0;
  let scheduled = false;
  // Rows of the batch under way.
  const batch: Conn[] = [];

  function bytesOf(c: Conn, kind: number): Buffer | undefined {
    if (kind === REQUEST || kind === BYTES) return c.pending;
    return c.up?.pending;
  }

  function fill(c: Conn, kind: number, why: number, base: number, used: number): number {
    rows.fill(0, base, base + W_RUNS);
    rows[base + W_CONN] = c.id;
    rows[base + W_KIND] = kind;
    rows[base + W_REASON] = why;
    rows[base + W_LISTENER] = c.listener.id;
    let flags = (c.ended ? IN_EOF : 0) | (c.listener.draining ? IN_DRAINING : 0) | (c.started ? IN_STARTED : 0);
    if (!c.request.done) flags |= IN_REQUEST_OPEN;
    if (kind === FAILED) flags |= c.failFlags;
    rows[base + W_IN] = flags;
    if (kind === DONE) {
      rows[base + W_OFF] = Math.min(c.doneUs, MAX_US);
      rows[base + W_DONE_IN_LO] = c.doneIn | 0;
      rows[base + W_DONE_IN_HI] = Math.floor(c.doneIn / 0x1_0000_0000);
      rows[base + W_DONE_OUT_LO] = c.doneOut | 0;
      rows[base + W_DONE_OUT_HI] = Math.floor(c.doneOut / 0x1_0000_0000);
      return 0;
    }
    if (kind !== REQUEST && kind !== RESPONSE && kind !== BYTES) return 0;
    c.queued = false;
    const bytes = bytesOf(c, kind)!;
    const len = Math.min(bytes.length, ROW_BYTES);
    bytes.copy(arena, used, 0, len);
    rows[base + W_OFF] = used;
    rows[base + W_LEN] = len;
    return len;
  }

  /** A row whose subject went away meanwhile says nothing; DONE is always said. */
  function stale(c: Conn, kind: number): boolean {
    if (kind === DONE) return false;
    if (c.phase === GONE) return true;
    const reads = kind === REQUEST || kind === RESPONSE || kind === BYTES;
    if (!reads || bytesOf(c, kind) !== undefined) return false;
    c.queued = false;
    return true;
  }

  function turn(): void {
    let n = 0;
    let used = 0;
    while (first < last && n < ROWS && used + ROW_BYTES <= READ_BYTES) {
      const c = conns[first]!;
      const kind = kinds[first]!;
      const why = whys[first]!;
      first += 1;
      if (stale(c, kind)) continue;
      used += fill(c, kind, why, n * ROW_WORDS, used);
      batch[n] = c;
      n += 1;
    }
    if (first === last) first = last = 0;
    if (n === 0) return;
    counts.batches += 1;
    counts.rows += n;
    onBatch(n);
    for (let i = 0; i < n; i += 1) {
      const base = i * ROW_WORDS;
      const c = batch[i]!;
      const kind = rows[base + W_KIND]!;
      // An earlier row of this batch can have ended it.
      if (kind !== DONE && c.phase !== GONE) apply(c, kind, base, rows[base + W_REASON]!);
    }
  }

  function flush(): void {
    scheduled = false;
    const until = last;
    while (first < until && last > 0) turn();
    if (first < last) schedule();
    after();
  }

  function schedule(): void {
    if (scheduled) return;
    scheduled = true;
    setImmediate(flush);
  }

  return {
    arena,
    rows,
    counts,
    push(c, kind, why = WHY_NONE) {
      if (kind === REQUEST || kind === RESPONSE || kind === BYTES) {
        if (c.queued) return;
        c.queued = true;
      }
      conns[last] = c;
      kinds[last] = kind;
      whys[last] = why;
      last += 1;
      schedule();
    },
    empty: () => first === last,
    template(id, bytes) {
      templates[id] = bytes;
    },
    compose(base, extra) {
      const runs = Math.min(rows[base + W_TAIL]! & 0xff, MAX_RUNS);
      const tail = templates[rows[base + W_TAIL]! >>> 8] ?? none;
      let size = tail.length + extra.length;
      for (let i = 0; i < runs; i += 1) size += rows[base + W_RUNS + 2 * i + 1]!;
      const out = Buffer.allocUnsafe(size);
      let at = 0;
      for (let i = 0; i < runs; i += 1) {
        const off = rows[base + W_RUNS + 2 * i]!;
        at += arena.copy(out, at, off, off + rows[base + W_RUNS + 2 * i + 1]!);
      }
      out.set(tail, at);
      if (extra.length > 0) extra.copy(out, at + tail.length);
      return out;
    },
  };
}
