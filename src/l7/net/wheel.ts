// Deadlines by the thousand: a timer that is put off costs a store, because it is looked at again only when the bucket
// in which it lies comes round.

const BUCKETS = 1024;

/** One deadline of one thing. `due` 0 is off. */
export class Timer {
  due = 0;
  /** Tick of the bucket in which it counts; an entry in any other bucket is stale. 0: in none. */
  at = 0;
  readonly fire: () => void;
  constructor(fire: () => void) {
    this.fire = fire;
  }
}

export interface Wheel {
  /** Fires once, at `due` (milliseconds, monotonic) or up to a tick later. */
  set(timer: Timer, due: number): void;
  /** Fires `ms` from now or up to two ticks later. Asks no clock: now is taken for the last advance. */
  after(timer: Timer, ms: number): void;
  clear(timer: Timer): void;
  /** Fires what is due. */
  advance(now: number): void;
}

/** A wheel of 1,024 buckets of `tickMs`; what lies farther ahead goes round. */
export function createWheel(tickMs: number, now: number): Wheel {
  const buckets: Timer[][] = Array.from({ length: BUCKETS }, () => []);
  let tick = Math.floor(now / tickMs);

  function insert(timer: Timer): void {
    const wanted = Math.ceil(timer.due / tickMs);
    const at = Math.min(Math.max(wanted, tick + 1), tick + BUCKETS - 1);
    timer.at = at;
    buckets[at % BUCKETS]!.push(timer);
  }

  function expire(now: number): void {
    const bucket = buckets[tick % BUCKETS]!;
    if (bucket.length === 0) return;
    buckets[tick % BUCKETS] = [];
    for (const timer of bucket) {
      if (timer.at !== tick) continue;
      timer.at = 0;
      if (timer.due === 0) continue;
      if (timer.due > now) insert(timer);
      else {
        timer.due = 0;
        timer.fire();
      }
    }
  }

  function set(timer: Timer, due: number): void {
    timer.due = due;
    if (timer.at === 0 || Math.ceil(due / tickMs) < timer.at) insert(timer);
  }

  return {
    set,
    after(timer, ms) {
      set(timer, (tick + 1) * tickMs + ms);
    },
    clear(timer) {
      timer.due = 0;
    },
    advance(now) {
      const until = Math.floor(now / tickMs);
      while (tick < until) {
        tick += 1;
        expire(now);
      }
    },
  };
}
