// Starts under way: put begins one and does not wait, settle waits for the same one.
import { type Fault, FaultError } from '../engine/faults.ts';
import { hashOf } from '../engine/kinds/mark.ts';
import type { Ref } from '../engine/resource.ts';

/** What a driver's `read` gives of a guest: the hash of the spec that it was made by, and whether it is still plugged
 * into its own namespace. */
export interface GuestActual {
  readonly hash: string;
  readonly attached: boolean;
}

/** Diff of every guest kind: what changed is stopped and started anew. */
export function diffGuest(spec: unknown, actual: GuestActual): 'same' | 'replace' {
  return actual.attached && actual.hash === hashOf(spec) ? 'same' : 'replace';
}

interface Start {
  readonly hash: string;
  readonly done: Promise<Fault | undefined>;
  over: boolean;
}

export interface Starts {
  /** Begins a start, unless one of the same spec is under way. `start` gets a signal that `cancel` raises. */
  begin(ref: Ref, hash: string, start: (signal: AbortSignal) => Promise<void>): void;
  /** Waits for the last start that was begun. Throws FaultError where it failed, or `signal` came first. */
  settled(ref: Ref, signal: AbortSignal): Promise<void>;
  /** Hashes of the specs that are being started. */
  pending(ref: Ref): string | undefined;
  refs(): readonly Ref[];
  /** How the last start ended, if badly. */
  fault(ref: Ref): Fault | undefined;
  /** Ends a start and waits until it has ended; forgets how the last one ended. */
  cancel(ref: Ref): Promise<void>;
  /** For good: cancels, and then `end` ends what runs. From the call on, `left` says so. */
  leave(refs: readonly Ref[], end: () => Promise<void>): Promise<void>;
  /** It was left, and nothing was begun since: that it has ended is no reason to start it again, though a revision may
   * still name it. */
  left(ref: Ref): boolean;
  /** Ends all that are under way and waits until they have ended; begins none from now on. What was begun and not done
   * is the next daemon's to start. */
  close(): Promise<void>;
}

/** `broken` gets what is no FaultError: a fault of ours; `failed` each start that failed. */
export function openStarts(
  broken: (error: unknown) => void,
  failed: (ref: Ref, fault: Fault) => void = () => undefined,
): Starts {
  const starts = new Map<Ref, Start & { readonly abort: AbortController }>();
  const faults = new Map<Ref, Fault>();
  let closed = false;
  const cancel = async (ref: Ref): Promise<void> => {
    const start = starts.get(ref);
    start?.abort.abort();
    await start?.done;
    starts.delete(ref);
    faults.delete(ref);
  };
  const { back, ...leaving } = openLeavers(cancel);
  return {
    begin(ref, hash, start) {
      if (closed) return;
      back(ref);
      const last = starts.get(ref);
      if (last?.over === false && last.hash === hash) return;
      const abort = new AbortController();
      const wait = last?.done ?? Promise.resolve();
      last?.abort.abort();
      const done = wait.then(() => runStart(start, abort.signal, broken, ref));
      const own = { hash, done, abort, over: false };
      starts.set(ref, own);
      void done.then((fault) => {
        own.over = true;
        if (starts.get(ref) !== own) return;
        if (fault === undefined) {
          faults.delete(ref);
          return;
        }
        faults.set(ref, fault);
        if (fault.code !== 'cancelled') failed(ref, fault);
      });
    },
    async settled(ref, signal) {
      const start = starts.get(ref);
      if (start === undefined) return;
      const fault = await Promise.race([start.done, aborted(signal, ref)]);
      if (fault !== undefined) throw new FaultError(fault.code, fault.what, fault.why, fault.retry);
    },
    pending(ref) {
      const start = starts.get(ref);
      return start === undefined || start.over ? undefined : start.hash;
    },
    refs: () => [...starts].filter(([, start]) => !start.over).map(([ref]) => ref),
    fault: (ref) => faults.get(ref),
    cancel,
    ...leaving,
    async close() {
      closed = true;
      const all = [...starts.values()];
      for (const start of all) start.abort.abort();
      await Promise.all(all.map((start) => start.done));
    },
  };
}

function openLeavers(cancel: (ref: Ref) => Promise<void>) {
  const gone = new Set<Ref>();
  return {
    left: (ref: Ref): boolean => gone.has(ref),
    back: (ref: Ref): boolean => gone.delete(ref),
    async leave(refs: readonly Ref[], end: () => Promise<void>): Promise<void> {
      for (const ref of refs) gone.add(ref);
      try {
        await Promise.all(refs.map(cancel));
        await end();
      } catch (error) {
        // It may run on.
        for (const ref of refs) gone.delete(ref);
        throw error;
      }
    },
  };
}

async function runStart(
  start: (signal: AbortSignal) => Promise<void>,
  signal: AbortSignal,
  broken: (error: unknown) => void,
  ref: Ref,
): Promise<Fault | undefined> {
  try {
    if (signal.aborted) throw new FaultError('cancelled', ref, 'cancelled');
    await start(signal);
    return undefined;
  } catch (error) {
    if (error instanceof FaultError) return error.fault;
    broken(error);
    return { code: 'refused', what: ref, why: String(error), retry: true };
  }
}

function aborted(signal: AbortSignal, ref: Ref): Promise<Fault> {
  return new Promise((resolve) => {
    const end = (): void => resolve({ code: 'cancelled', what: ref, why: 'cancelled', retry: false });
    if (signal.aborted) end();
    else signal.addEventListener('abort', end, { once: true });
  });
}
