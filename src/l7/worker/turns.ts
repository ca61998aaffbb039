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
