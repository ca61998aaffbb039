/** Time comes in as an argument, so that tests decide what time it is. */
export interface Clock {
  /** Milliseconds since 1970. */
  now(): number;
  /** Milliseconds that never go back. */
  monotonic(): number;
  /** Calls once after `ms`. */
  after(ms: number, call: () => void): Disposable;
}

/** The machine's own clock. Its timers do not keep the process alive. */
export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  after(ms, call) {
    const timer = setTimeout(call, ms);
    timer.unref();
    return { [Symbol.dispose]: () => clearTimeout(timer) };
  },
};

/** Calls again and again, `ms` after the last call has returned, until it is disposed. */
export function every(clock: Clock, ms: number, call: () => void): Disposable {
  let timer: Disposable | undefined;
  let ended = false;
  const next = (): void => {
    timer = clock.after(ms, () => {
      call();
      if (!ended) next();
    });
  };
  next();
  return {
    [Symbol.dispose]() {
      ended = true;
      timer?.[Symbol.dispose]();
    },
  };
}
