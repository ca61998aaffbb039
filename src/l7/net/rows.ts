// Lays out what happened as rows, calls onBatch once a turn, and makes heads of the runs that come back.
import {
  ARENA_BYTES,
  BYTES,
  DONE,
  FAILED,
  HELLO,
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

/** The rows of an engine. `apply` does what a row says; `after` runs when a turn's rows are all done. */
export class RowQueue {
  readonly arena = Buffer.alloc(ARENA_BYTES);
  readonly rows = new Int32Array(ROWS * ROW_WORDS);
  readonly counts = { batches: 0, rows: 0 };
  private readonly onBatch: (n: number) => void;
  private readonly apply: (c: Conn, kind: number, base: number, why: number) => void;
  private readonly after: () => void;
  private readonly templates: Uint8Array[] = [];
  // The queue: three columns, a head and an end. Columns keep their room.
  private readonly conns: Conn[] = [];
  private readonly kinds: number[] = [];
  private readonly whys: number[] = [];
  private first = 0;
  private last = 0;
  private scheduled = false;
  /** Connections of the batch under way. */
  private readonly batch: Conn[] = [];
  private readonly onTurn = () => this.flush();

  constructor(
    onBatch: (n: number) => void,
    apply: (c: Conn, kind: number, base: number, why: number) => void,
    after: () => void,
  ) {
    this.onBatch = onBatch;
    this.apply = apply;
    this.after = after;
  }

  /** Lays out one row. Gives how many bytes of the arena it took. */
  private fill(c: Conn, kind: number, why: number, base: number, used: number): number {
    const { rows } = this;
    for (let i = base; i < base + W_RUNS; i += 1) rows[i] = 0;
    rows[base + W_CONN] = c.id;
    rows[base + W_KIND] = kind;
    rows[base + W_REASON] = why;
    rows[base + W_LISTENER] = c.listener.id;
    let flags = (c.ended ? IN_EOF : 0) | (c.listener.draining ? IN_DRAINING : 0) | (c.started ? IN_STARTED : 0);
    if (!c.request.done) flags |= IN_REQUEST_OPEN;
    if (kind === FAILED) flags |= c.failFlags;
    rows[base + W_IN] = flags;
    if (kind === DONE) fillDone(c, rows, base);
    if (!reads(kind)) return 0;
    c.queued = false;
    const bytes = bytesOf(c, kind) ?? none;
    const len = Math.min(bytes.length, ROW_BYTES);
    bytes.copy(this.arena, used, 0, len);
    rows[base + W_OFF] = used;
    rows[base + W_LEN] = len;
    return len;
  }

  /** A row whose subject went away meanwhile says nothing; DONE is always said. */
  private stale(c: Conn, kind: number): boolean {
    if (kind === DONE) return false;
    if (c.phase === GONE) return true;
    if (!reads(kind) || bytesOf(c, kind) !== undefined || (kind === HELLO && !c.asked)) return false;
    c.queued = false;
    return true;
  }

  private turn(): void {
    let n = 0;
    let used = 0;
    while (this.first < this.last && n < ROWS && used + ROW_BYTES <= READ_BYTES) {
      const c = this.conns[this.first]!;
      const kind = this.kinds[this.first]!;
      const why = this.whys[this.first]!;
      this.first += 1;
      if (this.stale(c, kind)) continue;
      used += this.fill(c, kind, why, n * ROW_WORDS, used);
      this.batch[n] = c;
      n += 1;
    }
    if (this.first === this.last) this.first = this.last = 0;
    if (n === 0) return;
    this.counts.batches += 1;
    this.counts.rows += n;
    this.onBatch(n);
    for (let i = 0; i < n; i += 1) {
      const base = i * ROW_WORDS;
      const c = this.batch[i]!;
      const kind = this.rows[base + W_KIND]!;
      // An earlier row of this this.batch can have ended it.
      if (kind !== DONE && c.phase !== GONE) this.apply(c, kind, base, this.rows[base + W_REASON]!);
    }
  }

  private flush(): void {
    this.scheduled = false;
    const until = this.last;
    while (this.first < until && this.last > 0) this.turn();
    if (this.first < this.last) this.schedule();
    this.after();
  }

  private schedule(): void {
    if (this.scheduled) return;
    this.scheduled = true;
    setImmediate(this.onTurn);
  }

  /** Queues a row for the next this.batch; one that only says "bytes have come" is queued once. */
  push(c: Conn, kind: number, why: number): void {
    if (reads(kind)) {
      if (c.queued) return;
      c.queued = true;
    }
    this.conns[this.last] = c;
    this.kinds[this.last] = kind;
    this.whys[this.last] = why;
    this.last += 1;
    this.schedule();
  }

  empty(): boolean {
    return this.first === this.last;
  }

  template(id: number, bytes: Uint8Array): void {
    this.templates[id] = bytes;
  }

  templateOf(id: number): Uint8Array {
    return this.templates[id] ?? none;
  }

  /** The runs of a row, without its template. */
  runs(base: number): Buffer {
    const tail = this.rows[base + W_TAIL]!;
    this.rows[base + W_TAIL] = tail & 0xff;
    const out = this.compose(base, none);
    this.rows[base + W_TAIL] = tail;
    return out;
  }

  /** The head that a row describes, with `extra` behind it. */
  compose(base: number, extra: Buffer): Buffer {
    const { arena, rows } = this;
    const runs = Math.min(rows[base + W_TAIL]! & 0xff, MAX_RUNS);
    const tail = this.templates[rows[base + W_TAIL]! >>> 8] ?? none;
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
  }
}

/** The row lays out bytes of a connection. */
function reads(kind: number): boolean {
  return kind === REQUEST || kind === RESPONSE || kind === BYTES || kind === HELLO;
}

function bytesOf(c: Conn, kind: number): Buffer | undefined {
  return kind === RESPONSE ? c.up?.pending : c.pending;
}

function fillDone(c: Conn, rows: Int32Array, base: number): void {
  rows[base + W_OFF] = Math.min(c.doneUs, MAX_US);
  rows[base + W_DONE_IN_LO] = c.doneIn | 0;
  rows[base + W_DONE_IN_HI] = Math.floor(c.doneIn / 0x1_0000_0000);
  rows[base + W_DONE_OUT_LO] = c.doneOut | 0;
  rows[base + W_DONE_OUT_HI] = Math.floor(c.doneOut / 0x1_0000_0000);
}
