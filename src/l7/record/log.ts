// The access log: JSON lines to one file an instance, appended by whole batches. A request never waits for the disk:
// what does not fit the buffer is counted as dropped.
import fs from 'node:fs';
import { systemClock } from '../../lib/clock.ts';
import type { Clock } from '../../lib/clock.ts';

const FLUSH_MS = 200;
/** A batch of this size does not wait. */
const BATCH = 64 * 1024;
/** In characters. */
const MAX_WAITING = 4 << 20;

export interface AccessRecord {
  /** Milliseconds since 1970, when the request was taken. */
  timeMs: number;
  listener: string;
  route: string;
  method: string;
  host: string;
  path: string;
  status: number;
  bytesIn: number;
  bytesOut: number;
  durationMs: number;
  upstream: string;
  client: string;
  /** Ingress port id. */
  port: number;
  /** Why it ended as it did: "no-route", "upstream-reset", ... */
  flags: string;
}

export interface AccessLog {
  write(record: AccessRecord): void;
  /** Lines that were not written. */
  dropped(): number;
  /** Names of ingress ports by id, from now on. */
  ports(names: ReadonlyMap<number, string>): void;
  /** Opens the file anew, after someone moved it away. */
  reopen(): void;
  /** Writes what waits and closes. */
  close(): Promise<void>;
}

/** One line of the log. `portName`: of the ingress port; "" where the connection came by none, or by one unknown. */
export function accessLine(r: AccessRecord, portName = ''): string {
  return (
    `{"time":"${timeOf(r.timeMs)}","listener":${quoted(r.listener)},"route":${quoted(r.route)},` +
    `"method":${quoted(r.method)},"host":${quoted(r.host)},"path":${quoted(r.path)},"status":${r.status},` +
    `"bytes_in":${r.bytesIn},"bytes_out":${r.bytesOut},"duration_ms":${millis(r.durationMs)},` +
    `"upstream":${quoted(r.upstream)},"client":${quoted(r.client)},"port":${r.port},` +
    `"port_name":${quoted(portName)},"flags":${quoted(r.flags)}}\n`
  );
}

// JSON.stringify of the whole record costs three times as much, and a line is the dearest thing that the router itself
// does for a request.
const plainText = /^[ !#-[\]-~]*$/;

function quoted(text: string): string {
  return plainText.test(text) ? `"${text}"` : JSON.stringify(text);
}

let secondAt = -1;
let secondText = '';

/** ISO 8601 in UTC; the part down to the second is kept for the next line. */
function timeOf(ms: number): string {
  const whole = Math.floor(ms);
  const second = Math.floor(whole / 1000);
  if (second !== secondAt) {
    secondAt = second;
    secondText = new Date(second * 1000).toISOString().slice(0, -4);
  }
  return `${secondText}${digits(whole - second * 1000)}Z`;
}

/** With three decimals. */
function millis(ms: number): string {
  const us = Math.round(ms * 1000);
  const whole = Math.floor(us / 1000);
  return `${whole}.${digits(us - whole * 1000)}`;
}

function digits(n: number): string {
  return n < 10 ? `00${n}` : n < 100 ? `0${n}` : `${n}`;
}

/** Appends to `file`. Several workers may: each batch is one write to a file opened for appending. */
export function openAccessLog(file: string, clock: Clock = systemClock): AccessLog {
  return new LogFile(file, clock);
}

/** What goes to the file at once; `size` is in characters. */
interface Batch {
  readonly bytes: Buffer;
  readonly lines: number;
  readonly size: number;
}

class LogFile implements AccessLog {
  private readonly file: string;
  private readonly clock: Clock;
  private fd: number;
  /** Lines that wait. */
  private text = '';
  private lines = 0;
  /** Characters that are not in the file yet. */
  private waiting = 0;
  private lost = 0;
  private writing = false;
  private timer: Disposable | undefined;
  private idle: (() => void) | undefined;
  private names: ReadonlyMap<number, string> = new Map();

  constructor(file: string, clock: Clock) {
    this.file = file;
    this.clock = clock;
    this.fd = fs.openSync(file, 'a', 0o640);
  }

  private flush(): void {
    this.timer?.[Symbol.dispose]();
    this.timer = undefined;
    if (this.writing || this.lines === 0) return;
    const batch = { bytes: Buffer.from(this.text), lines: this.lines, size: this.text.length };
    this.text = '';
    this.lines = 0;
    this.writing = true;
    this.put(batch, 0);
  }

  private put(batch: Batch, from: number): void {
    const { bytes } = batch;
    fs.write(this.fd, bytes, from, bytes.length - from, null, (error, written) => {
      if (error !== null) this.lost += batch.lines;
      else if (from + written < bytes.length) return this.put(batch, from + written);
      this.waiting -= batch.size;
      this.writing = false;
      if (this.lines > 0) this.schedule();
      this.idle?.();
    });
  }

  private schedule(): void {
    this.timer ??= this.clock.after(FLUSH_MS, () => this.flush());
  }

  write(record: AccessRecord): void {
    const line = accessLine(record, this.names.get(record.port));
    if (this.waiting + line.length > MAX_WAITING) {
      this.lost += 1;
      return;
    }
    this.waiting += line.length;
    this.text += line;
    this.lines += 1;
    if (this.waiting > BATCH && !this.writing) this.flush();
    else this.schedule();
  }

  ports(names: ReadonlyMap<number, string>): void {
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
    this.timer?.[Symbol.dispose]();
    while (this.writing || this.lines > 0) {
      this.flush();
      await new Promise<void>((resolve) => (this.idle = resolve));
    }
    fs.closeSync(this.fd);
  }
}
