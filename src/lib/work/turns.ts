// Long work on a thread that has other things to do: a piece at a time, the event loop's turns between them.

/** Goes on with `work` for `ms` at a time, a step more where one is under way, and lets the event loop have its turn in
 * between. Rejects with the signal's reason where it is aborted; the work ends by return() then. `spent` is told the
 * milliseconds of each piece. */
export async function inTurns<T>(
  work: Generator<unknown, T, undefined>,
  ms: number,
  o: { readonly signal?: AbortSignal; readonly spent?: (ms: number) => void } = {},
): Promise<T> {
  try {
    for (;;) {
      o.signal?.throwIfAborted();
      const begun = performance.now();
      let step = work.next();
      while (step.done !== true && performance.now() - begun < ms) step = work.next();
      o.spent?.(performance.now() - begun);
      if (step.done === true) return step.value;
      await new Promise<void>((resolve) => setImmediate(resolve));
    }
  } finally {
    work.return(undefined as T);
  }
}

/** What long work comes to, all of it in one go. */
export function atOnce<T>(work: Generator<unknown, T, undefined>): T {
  let step = work.next();
  while (step.done !== true) step = work.next();
  return step.value;
}

/** What comes at once, or by work that is done step by step. What comes is no generator itself. */
export type Work<T> = T | Generator<unknown, T, undefined>;

/** Does such work step by step. */
export function* workOn<T>(work: Work<T>): Generator<unknown, T, undefined> {
  return isSteps(work) ? yield* work : work;
}

function isSteps<T>(work: Work<T>): work is Generator<unknown, T, undefined> {
  return typeof work === 'object' && work !== null && Symbol.iterator in work && 'next' in work;
}
