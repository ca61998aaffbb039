// Writes the out words of a row: pieces of the head that stay, and new bytes put together in the scratch part.
import { MAX_RUNS, READ_BYTES, SCRATCH_END, W_RUNS, W_TAIL } from '../transport.ts';

/** One a worker. Pieces go out in the order in which they are added. */
export class Emitter {
  readonly arena: Buffer;
  readonly rows: Int32Array;
  /** Next free byte of scratch. */
  at = READ_BYTES;
  private base = 0;
  private runs = 0;
  /** End of the last run, so that a neighbour joins it. */
  private last = -1;
  private copying = false;

  constructor(arena: Buffer, rows: Int32Array) {
    this.arena = arena;
    this.rows = rows;
  }

  /** Called before the first row of a batch. */
  batch(): void {
    this.at = READ_BYTES;
  }

  start(base: number): void {
    this.base = base;
    this.runs = 0;
    this.last = -1;
    this.copying = false;
  }

  /** Bytes [off, end) of the arena. */
  keep(off: number, end: number): void {
    if (end <= off) return;
    if (off === this.last) {
      this.rows[this.base + W_RUNS + 2 * this.runs - 1]! += end - off;
      this.last = end;
    } else if (this.copying) this.copy(off, end);
    else if (this.runs < MAX_RUNS) {
      this.rows[this.base + W_RUNS + 2 * this.runs] = off;
      this.rows[this.base + W_RUNS + 2 * this.runs + 1] = end - off;
      this.runs += 1;
      this.last = end;
    } else {
      this.collapse();
      this.copy(off, end);
    }
  }

  /** Like keep, but always through scratch. */
  copy(off: number, end: number): void {
    const from = this.at;
    if (from + end - off > SCRATCH_END) throw new RangeError('scratch is full');
    this.arena.copyWithin(from, off, end);
    this.at = from + end - off;
    this.keep(from, this.at);
  }

  /** What `put` writes at the place it is given; it gives the place behind. */
  write(put: (arena: Buffer, at: number) => number): void {
    const from = this.at;
    this.at = put(this.arena, from);
    this.keep(from, this.at);
  }

  bytes(piece: Uint8Array): void {
    const from = this.at;
    this.arena.set(piece, from);
    this.at = from + piece.length;
    this.keep(from, this.at);
  }

  /** Latin-1 text. */
  text(piece: string): void {
    const from = this.at;
    if (from + piece.length > SCRATCH_END) throw new RangeError('scratch is full');
    for (let i = 0; i < piece.length; i += 1) this.arena[from + i] = piece.charCodeAt(i);
    this.at = from + piece.length;
    this.keep(from, this.at);
  }

  end(template: number): void {
    this.rows[this.base + W_TAIL] = this.runs | (template << 8);
  }

  /** All runs so far become one in scratch: a head with many pieces left out. */
  private collapse(): void {
    const { arena, rows, base } = this;
    const from = this.at;
    let to = from;
    for (let i = 0; i < this.runs; i += 1) {
      const off = rows[base + W_RUNS + 2 * i]!;
      const len = rows[base + W_RUNS + 2 * i + 1]!;
      if (to + len > SCRATCH_END) throw new RangeError('scratch is full');
      arena.copyWithin(to, off, off + len);
      to += len;
    }
    this.at = to;
    rows[base + W_RUNS] = from;
    rows[base + W_RUNS + 1] = to - from;
    this.runs = 1;
    this.last = to;
    this.copying = true;
  }
}
