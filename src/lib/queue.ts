/** Runs what it is given one after the other, each when the one before has settled. */
export interface Serial {
  /** Runs `work` in its turn and gives its result. Its failure is the caller's alone: the next one runs. */
  run<T>(work: () => T | Promise<T>): Promise<T>;
  /** Resolves when all that was given until now has settled. */
  idle(): Promise<void>;
  /** How many wait or run. */
  readonly length: number;
}

/** A queue that refuses (RangeError) what would make more than `bound` wait or run. */
export function serial(bound = 1024): Serial {
  let tail: Promise<unknown> = Promise.resolve();
  let length = 0;
  return {
    async run(work) {
      if (length >= bound) throw new RangeError(`more than ${bound} wait in the queue`);
      length++;
      const before = tail;
      const turn = (async () => {
        await before;
        try {
          return await work();
        } finally {
          length--;
        }
      })();
      tail = turn.catch(() => undefined);
      return turn;
    },
    async idle() {
      await tail;
    },
    get length() {
      return length;
    },
  };
}
