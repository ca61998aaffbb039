// The access log: JSON lines to one file an instance, appended by whole batches. A request never waits for the disk:
// what does not fit the buffer is counted as dropped.
import { Buffer } from 'node:buffer';
import fs from 'node:fs';
import { systemClock } from '../../lib/clock.ts';
import type { Clock } from '../../lib/clock.ts';
import { lineBytes, writeLine } from './line.ts';
import type { AccessRecord, PortNames } from './line.ts';

const FLUSH_MS = 200;
/** A batch of this size does not wait. */
const BATCH = 256 * 1024;
/** Batches that may wait for the disk, at most. */
const MAX_WAITING = 16;

export interface AccessLog {
  /** The record may be used again afterwards. */
  write(record: AccessRecord): void;
  /** Lines that were not written. */
  dropped(): number;
  /** Names of ingress ports by id, from now on. */
  ports(names: PortNames): void;
  /** Opens the file anew, after someone moved it away. */
  reopen(): void;
  /** Writes what waits and closes. */
  close(): Promise<void>;
}

/** Lines that go to the file at once. */
interface Batch {
  readonly bytes: Buffer;
  size: number;
  lines: number;
}

/** Appends to `file`. Several workers may: each batch is one write to a file opened for appending. */
export function openAccessLog(file: string, clock: Clock = systemClock): AccessLog {
  return new LogFile(file, clock);
}

class LogFile implements AccessLog {
  private readonly file: string;
  private readonly clock: Clock;
  private fd: number;
  private filling: Batch | undefined;
  private readonly waiting: Batch[] = [];
  /** One that is written, for the next lines. */
  private spare: Batch | undefined;
  private lost = 0;
  private writing = false;
  private timer: Disposable | undefined;
  private idle: (() => void) | undefined;
  private names: PortNames = new Map();

  constructor(file: string, clock: Clock) {
    this.file = file;
    this.clock = clock;
    this.fd = fs.openSync(file, 'a', 0o640);
  }

  /** What is filled waits for the disk from now on. */
  private turnOver(): void {
    this.timer?.[Symbol.dispose]();
    this.timer = undefined;
    if (this.filling !== undefined && this.filling.lines > 0) {
      this.waiting.push(this.filling);
      this.filling = undefined;
    }
    this.drain();
  }

  private drain(): void {
    const batch = this.writing ? undefined : this.waiting.shift();
    if (batch === undefined) return;
    this.writing = true;
    this.put(batch, 0);
  }

  private put(batch: Batch, from: number): void {
    fs.write(this.fd, batch.bytes, from, batch.size - from, null, (error, written) => {
      if (error !== null) this.lost += batch.lines;
      else if (from + written < batch.size) return this.put(batch, from + written);
      this.writing = false;
      batch.size = batch.lines = 0;
      this.spare = batch;
      this.drain();
      if (!this.writing) this.idle?.();
    });
  }

  /** The batch that has room for so many bytes; undefined where the disk is too far behind. */
  private room(bytes: number): Batch | undefined {
    if (this.filling !== undefined && this.filling.size + bytes > BATCH) this.turnOver();
    if (this.filling !== undefined) return this.filling;
    if (bytes > BATCH || this.waiting.length >= MAX_WAITING) return undefined;
    this.filling = this.spare ?? { bytes: Buffer.allocUnsafeSlow(BATCH), size: 0, lines: 0 };
    this.spare = undefined;
    this.timer ??= this.clock.after(FLUSH_MS, () => this.turnOver());
    return this.filling;
  }

  write(record: AccessRecord): void {
    const batch = this.room(lineBytes(record, this.names));
    if (batch === undefined) {
      this.lost += 1;
      return;
    }
    batch.size = writeLine(batch.bytes, batch.size, record, this.names);
    batch.lines += 1;
  }

  ports(names: PortNames): void {
    this.names = names;
  }

  dropped(): number {
    return this.lost;
  }

  reopen(): void {
    const old = this.fd;
    try {
      this.fd = fs.openSync(this.file, 'a', 0o640);
    } catch {
      // The old file is better than none.
      return;
    }
    // A write under way still has the old one.
    this.clock.after(FLUSH_MS * 10, () => fs.closeSync(old));
  }

  async close(): Promise<void> {
    this.turnOver();
    if (this.writing) await new Promise<void>((resolve) => (this.idle = resolve));
    fs.closeSync(this.fd);
  }
}
