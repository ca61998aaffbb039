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
}

/** Failures by ref. Strict: at most one, and nothing after it was tried. */
export async function apply(input: ApplyInput): Promise<ReadonlyMap<Ref, Fault>> {
  const failed = new Map<Ref, Fault>();
  for (const batch of batches(input.actions)) {
    const ready = input.lenient ? batch.filter((action) => !waits(input, action, failed)) : batch;
    if (ready.length === 0) continue;
    await runBatch(input, ready, failed);
    if (!input.lenient && failed.size > 0) break;
  }
  return failed;
}

function batches(actions: readonly Action[]): Action[][] {
  const out: Action[][] = [];
  for (const action of actions) {
    if (action.phase === 'prepare') continue;
    const last = out.at(-1)?.[0];
    const same = last !== undefined && last.verb === action.verb && kindOf(last.ref) === kindOf(action.ref);
    if (same) out.at(-1)?.push(action);
    else out.push([action]);
  }
  return out;
}

/** A put whose need has failed is not tried: its own failure would only hide the cause. */
function waits(input: ApplyInput, action: Action, failed: Map<Ref, Fault>): boolean {
  if (action.verb === 'drop') return false;
  const need = input.desired.get(action.ref)?.needs.find((ref) => failed.has(ref));
  if (need === undefined) return false;
  const cause = failed.get(need);
  failed.set(action.ref, {
    code: cause?.code ?? 'refused',
    what: action.ref,
    why: `needs ${need}: ${cause?.why ?? 'failed'}`,
    retry: true,
  });
  return true;
}

async function runBatch(input: ApplyInput, batch: readonly Action[], failed: Map<Ref, Fault>): Promise<void> {
  const first = batch[0];
  if (first === undefined) return;
  const driver = input.drivers.get(kindOf(first.ref));
  if (driver === undefined) throw new Error(`no driver for ${first.ref}`);
  for (const action of batch) input.log(`begin ${action.line}\n`);
  try {
    await send(input, driver, batch);
  } catch (error) {
    const fault = faultOf(error);
    if (input.lenient && batch.length > 1) {
      for (const action of batch) await runBatch(input, [action], failed);
      return;
    }
    failed.set(batch.find((a) => a.ref === fault.what)?.ref ?? first.ref, fault);
    input.log(`failed ${first.line}: ${fault.why}\n`);
    return;
  }
  for (const action of batch) input.log(`end ${action.line}\n`);
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
