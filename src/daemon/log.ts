// The daemon's log goes to stdout, and its newest lines are kept for `show log`.
import type { Logger } from 'pino';
import { createLog } from '../lib/log.ts';

export interface DaemonLog {
  readonly log: Logger;
  /** The newest lines, oldest first. */
  lines(count: number): readonly string[];
}

const kept = 2000;

export function openLog(): DaemonLog {
  const ring: string[] = [];
  const log = createLog('midplane', 'info', {
    write(line: string) {
      process.stdout.write(line);
      ring.push(line.trimEnd());
      if (ring.length > kept) ring.shift();
    },
  });
  return { log, lines: (count) => ring.slice(-count) };
}
