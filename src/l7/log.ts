// The access log: JSON lines to one file an instance, appended by whole batches. A request never waits for the disk:
// what does not fit the buffer is counted as dropped.
import { closeSync, openSync, write } from 'node:fs';
import { systemClock } from '../lib/clock.ts';
import type { Clock } from '../lib/clock.ts';

const FLUSH_MS = 200;
const MAX_WAITING = 1 << 20;

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
  /** Opens the file anew, after someone moved it away. */
  reopen(): void;
  /** Writes what waits and closes. */
  close(): Promise<void>;
}

/** One line of the log. */
export function accessLine(r: AccessRecord): string {
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
    flags: r.flags,
  })}\n`;
}

/** Appends to `file`. Several workers may: each batch is one write to a file opened for appending. */
export function openAccessLog(file: string, clock: Clock = systemClock): AccessLog {
  let fd = openSync(file, 'a', 0o640);
  let lines: string[] = [];
  let waiting = 0;
  let lost = 0;
  let writing = false;
  let timer: Disposable | undefined;
  let idle: (() => void) | undefined;

  function flush(): void {
    timer = undefined;
    if (writing || lines.length === 0) return;
    const count = lines.length;
    const bytes = Buffer.from(lines.join(''));
    lines = [];
    writing = true;
    put(bytes, 0, count);
  }

  function put(bytes: Buffer, from: number, count: number): void {
    write(fd, bytes, from, bytes.length - from, null, (error, written) => {
      if (error !== null) lost += count;
      else if (from + written < bytes.length) return put(bytes, from + written, count);
      waiting -= bytes.length;
      writing = false;
      if (lines.length > 0) schedule();
      idle?.();
    });
  }

  function schedule(): void {
    timer ??= clock.after(FLUSH_MS, flush);
  }

  return {
    write(record) {
      const line = accessLine(record);
      const size = Buffer.byteLength(line);
      if (waiting + size > MAX_WAITING) {
        lost += 1;
        return;
      }
      waiting += size;
      lines.push(line);
      schedule();
    },
    dropped: () => lost,
    reopen() {
      const old = fd;
      fd = openSync(file, 'a', 0o640);
      // A write under way still has the old one.
      clock.after(FLUSH_MS * 10, () => closeSync(old));
    },
    async close() {
      timer?.[Symbol.dispose]();
      while (writing || lines.length > 0) {
        flush();
        await new Promise<void>((resolve) => (idle = resolve));
      }
      closeSync(fd);
    },
  };
}
