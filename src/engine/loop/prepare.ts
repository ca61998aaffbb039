// Slow preparations outside a commit (boot, drift): one at a time for each resource, beside the loop, so that what can
// come up at once is not kept waiting by an image.
import type { Clock } from '../../lib/clock.ts';
import { type Fault, faultOf } from '../faults.ts';
import type { AnyDriver, Ref, Resource } from '../resource.ts';
import { kindOf } from '../resource.ts';

export interface Preparer {
  /** undefined: it may be put now. Else why not yet; its preparation is under way. */
  gate(resource: Resource): Fault | undefined;
  /** Ends what is under way and waits until it has ended. */
  close(): Promise<void>;
}

const deadlineMs = 600_000;

export interface PreparerInput {
  readonly drivers: ReadonlyMap<string, AnyDriver>;
  readonly clock: Clock;
  /** It is prepared: put it. */
  ready(ref: Ref): void;
  failed(ref: Ref, fault: Fault): void;
  readonly broken: (error: unknown) => void;
}

/** After a failure the next try waits, twice as long each time. */
const firstWaitMs = 2000;
const longestWaitMs = 120_000;

interface Job {
  readonly resource: Resource;
  readonly abort: AbortController;
  /** How often it was tried before. */
  readonly tries: number;
  done: boolean;
  failure?: { readonly fault: Fault; readonly until: number };
}

export function openPreparer(input: PreparerInput): Preparer {
  const jobs = new Map<Ref, Job>();
  const running = new Set<Promise<void>>();
  const run = async (job: Job, driver: AnyDriver): Promise<void> => {
    const { ref, spec } = job.resource;
    const signal = AbortSignal.any([job.abort.signal, AbortSignal.timeout(deadlineMs)]);
    try {
      await driver.prepare?.(spec, () => undefined, signal);
      job.done = true;
      if (jobs.get(ref) === job) input.ready(ref);
    } catch (error) {
      const fault = { ...faultOf(error), what: ref };
      if (jobs.get(ref) !== job) return;
      const until = input.clock.monotonic() + Math.min(firstWaitMs * 2 ** job.tries, longestWaitMs);
      job.failure = { fault, until };
      input.failed(ref, fault);
    }
  };
  return {
    gate(resource) {
      const { ref } = resource;
      const driver = input.drivers.get(kindOf(ref));
      if (driver?.prepare === undefined) return undefined;
      const known = jobs.get(ref);
      const same = known !== undefined && JSON.stringify(known.resource.spec) === JSON.stringify(resource.spec);
      if (same && known.done) {
        jobs.delete(ref);
        return undefined;
      }
      if (same && known.failure !== undefined && input.clock.monotonic() < known.failure.until) {
        return known.failure.fault;
      }
      if (!same || known.failure !== undefined) {
        known?.abort.abort();
        const tries = same ? known.tries + 1 : 0;
        const job: Job = { resource, abort: new AbortController(), tries, done: false };
        jobs.set(ref, job);
        const ran = run(job, driver).catch(input.broken);
        running.add(ran);
        void ran.then(() => running.delete(ran));
      }
      return { code: 'busy', what: ref, why: 'it is being prepared', retry: true };
    },
    async close() {
      for (const job of jobs.values()) job.abort.abort();
      jobs.clear();
      await Promise.all(running);
    },
  };
}
