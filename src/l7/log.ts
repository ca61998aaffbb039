// The access log: JSON lines to one file an instance, appended by whole batches. A request never waits for the disk:
// what does not fit the buffer is counted as dropped.
import fs from 'node:fs';
import { systemClock } from '../lib/clock.ts';
import type { Clock } from '../lib/clock.ts';

const FLUSH_MS = 200;
/** A batch of this size does not wait. */
const BATCH = 64 * 1024;
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
  return `${JSON.stringify({
    time: new Date(r.timeMs).toISOString(),
    listener: r.listener,
    route: r.route,
    method: r.method,
    host: r.host,
    path: r.path,
    status: r.status,
    bytes_in: r.bytesIn,
    bytes_out: r.bytesOut,
    duration_ms: Math.round(r.durationMs * 1000) / 1000,
    upstream: r.upstream,
    client: r.client,
    port: r.port,
    port_name: portName,
    flags: r.flags,
  })}\n`;
}

/** Appends to `file`. Several workers may: each batch is one write to a file opened for appending. */
export function openAccessLog(file: string, clock: Clock = systemClock): AccessLog {
  return new LogFile(file, clock);
}

class LogFile implements AccessLog {
  private readonly file: string;
  private readonly clock: Clock;
  private fd: number;
  private lines: string[] = [];
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
    if (this.writing || this.lines.length === 0) return;
    const count = this.lines.length;
    const bytes = Buffer.from(this.lines.join(''));
    this.lines = [];
    this.writing = true;
    this.put(bytes, 0, count);
  }

  private put(bytes: Buffer, from: number, count: number): void {
    fs.write(this.fd, bytes, from, bytes.length - from, null, (error, written) => {
      if (error !== null) this.lost += count;
      else if (from + written < bytes.length) return this.put(bytes, from + written, count);
      this.waiting -= bytes.length;
      this.writing = false;
      if (this.lines.length > 0) this.schedule();
      this.idle?.();
    });
  }

  private schedule(): void {
    this.timer ??= this.clock.after(FLUSH_MS, () => this.flush());
  }

  write(record: AccessRecord): void {
    const line = accessLine(record, this.names.get(record.port));
    const size = Buffer.byteLength(line);
    if (this.waiting + size > MAX_WAITING) {
      this.lost += 1;
      return;
    }
    this.waiting += size;
    this.lines.push(line);
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
    while (this.writing || this.lines.length > 0) {
      this.flush();
      await new Promise<void>((resolve) => (this.idle = resolve));
    }
    fs.closeSync(this.fd);
  }
}
