// Whether a function's event loop comes round. One that does not can't answer 504 itself: `for (;;);`, or microtasks
// without end. So its harness writes into its heartbeat file while its loop turns, and who watches the file ends it
// when that stays away for longer than a request may take.
import { statSync } from 'node:fs';
import type { Clock } from '../../lib/clock.ts';

/** Time between two beats, and between two looks at them. */
export const beatMs = 250;
/** Beats may be late by so much where the machine has other things to do. */
const lateMs = 1000;

export interface Heartbeats {
  /** One look at a function's file; true where it has to be ended. `id` says which process it is. */
  stuck(name: string, id: string, file: string, timeoutMs: number): boolean;
  forget(name: string): void;
}

interface Seen {
  readonly id: string;
  readonly beat: number;
  /** Monotonic ms of the look that first saw this beat. */
  readonly since: number;
  late: boolean;
}

/** Time is counted from looks, not from the file's own time, so that a clock that is set ends nobody; and it takes two
 * looks in a row, so that nobody is ended because we, or the whole machine, stood still. */
export function openHeartbeats(clock: Clock): Heartbeats {
  const all = new Map<string, Seen>();
  return {
    stuck(name, id, file, timeoutMs) {
      const stat = statSync(file, { throwIfNoEntry: false });
      // It beats from when it listens: a start has a deadline of its own.
      if (stat === undefined || stat.size === 0) return false;
      const seen = all.get(name);
      if (seen?.id !== id || seen.beat !== stat.mtimeMs) {
        all.set(name, { id, beat: stat.mtimeMs, since: clock.monotonic(), late: false });
        return false;
      }
      if (clock.monotonic() - seen.since < timeoutMs + lateMs) return false;
      const again = seen.late;
      seen.late = true;
      return again;
    },
    forget: (name) => void all.delete(name),
  };
}
