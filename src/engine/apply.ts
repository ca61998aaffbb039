// Runs a plan. Neighbouring steps of one kind go to their driver as one batch; the action log has a line before and
// after each, written synchronously, so that a crash leaves what was under way.
import type { Fault } from './faults.ts';
import { faultOf } from './faults.ts';
import type { Action, AnyDriver, Ref, Resource } from './resource.ts';
import { kindOf } from './resource.ts';

export interface ApplyInput {
  readonly actions: readonly Action[];
  readonly desired: ReadonlyMap<Ref, Resource>;
  readonly drivers: ReadonlyMap<string, AnyDriver>;
  /** One synchronous write(2) a call. */
  readonly log: (line: string) => void;
  /** true: what fails is noted and the rest goes on (boot, drift). false: the first failure ends it (commit). */
  readonly lenient: boolean;
  /** Where not lenient: what may fail all the same. What needs such a one and cannot be put for that is added. */
  readonly tolerated?: Set<Ref>;
  /** Told each step that is done, or may be in part. */
  readonly note?: (action: Action, outcome: 'done' | 'failed') => void;
  /** What is known to have failed already: who needs it is not tried. */
  readonly failed?: ReadonlyMap<Ref, Fault>;
}

/** Failures by ref. Strict: at most one that is not tolerated, and nothing after it was tried. */
export async function apply(input: ApplyInput): Promise<ReadonlyMap<Ref, Fault>> {
  const failed = new Map<Ref, Fault>();
  for (const batch of batches(input.actions)) {
    if ((await runBatch(input, batch, failed)) === 'ended') break;
  }
  return failed;
}

function batches(actions: readonly Action[]): Action[][] {
  const out: Action[][] = [];
  let batch: Action[] = [];
  let refs = new Set<Ref>();
  for (const action of actions) {
    if (action.phase === 'prepare') continue;
    const first = batch[0];
    const same = first !== undefined && first.verb === action.verb && kindOf(first.ref) === kindOf(action.ref);
    // A ref twice in a batch: the driver would see only what it asked for last.
    if (!same || refs.has(action.ref)) {
      out.push((batch = []));
      refs = new Set();
    }
    batch.push(action);
    refs.add(action.ref);
  }
  return out;
}

/** A put whose need has failed is not tried: its own failure would only hide the cause. */
function waits(input: ApplyInput, action: Action, failed: Map<Ref, Fault>): boolean {
  if (action.verb === 'drop') return false;
  const causeOf = (ref: Ref): Fault | undefined => failed.get(ref) ?? input.failed?.get(ref);
  const need = input.desired.get(action.ref)?.needs.find((ref) => causeOf(ref) !== undefined);
  if (need === undefined) return false;
  const { code = 'refused', why = 'failed' } = causeOf(need) ?? {};
  failed.set(action.ref, { code, what: action.ref, why: `needs ${need}: ${why}`, retry: true });
  input.tolerated?.add(action.ref);
  return true;
}

async function runBatch(input: ApplyInput, whole: readonly Action[], failed: Map<Ref, Fault>): Promise<'ended' | 'on'> {
  const batch = whole.filter((action) => !waits(input, action, failed));
  const first = batch[0];
  if (first === undefined) return 'on';
  const driver = input.drivers.get(kindOf(first.ref));
  if (driver === undefined) throw new Error(`no driver for ${first.ref}`);
  input.log(batch.map((action) => `begin ${action.line}\n`).join(''));
  try {
    await send(input, driver, batch);
  } catch (error) {
    return failedBatch(input, batch, faultOf(error), failed);
  }
  input.log(batch.map((action) => `end ${action.line}\n`).join(''));
  // It was put again after an earlier step of it had failed.
  for (const action of batch) failed.delete(action.ref);
  for (const action of batch) input.note?.(action, 'done');
  return 'on';
}

/** Where some may fail, each is tried alone. */
async function failedBatch(
  input: ApplyInput,
  batch: readonly Action[],
  fault: Fault,
  failed: Map<Ref, Fault>,
): Promise<'ended' | 'on'> {
  for (const action of batch) input.note?.(action, 'failed');
  const mayFail = (action: Action): boolean => input.lenient || input.tolerated?.has(action.ref) === true;
  if (batch.length > 1 && batch.some(mayFail)) {
    for (const action of batch) if ((await runBatch(input, [action], failed)) === 'ended') return 'ended';
    return 'on';
  }
  const action = batch.find((each) => each.ref === fault.what) ?? batch[0];
  if (action === undefined) return 'on';
  failed.set(action.ref, fault);
  input.log(`failed ${action.line}: ${fault.why}\n`);
  return mayFail(action) ? 'on' : 'ended';
}

async function send(input: ApplyInput, driver: AnyDriver, batch: readonly Action[]): Promise<void> {
  if (batch[0]?.verb === 'drop') return driver.drop(batch.map((action) => action.ref));
  return driver.put(
    batch.map((action) => {
      const resource = input.desired.get(action.ref);
      if (resource === undefined) throw new Error(`${action.ref} is put but not desired`);
      return [action.ref, resource.spec] as const;
    }),
  );
}
