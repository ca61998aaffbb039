/** Runs work in its turn and gives its result. A failure is its caller's alone: the next one runs. */
export type Run = <T>(work: () => T | Promise<T>) => Promise<T>;

/** A queue that runs one thing after the other, each when the one before has settled. It refuses (RangeError) what
 * would make more than `bound` wait or run. */
export function serial(bound = 1024): Run {
  let tail: Promise<unknown> = Promise.resolve();
  let length = 0;
  return async (work) => {
    if (length >= bound) throw new RangeError(`more than ${bound} wait in the queue`);
    length++;
    const turn = tail.then(work).finally(() => length--);
    tail = turn.catch(() => undefined);
    return await turn;
  };
}
