// The change path. A candidate's way: load and compile, plan, prepare (outside the loop, minutes allowed), switch and
// verify (inside the loop, milliseconds), settle (guests start), record, retire. Failure before record goes back.
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Problem } from '../config/problem.ts';
import type { Candidate, CommitAnswer, CommitOptions } from './engine.ts';
import { type Fault, FaultError, faultOf } from './faults.ts';
import type { Reconciler } from './loop/reconcile.ts';
import type { Action, AnyDriver, Progress, Ref, Resource } from './resource.ts';
import { kindOf, nameOf } from './resource.ts';
import { type CompileContext, compileCandidate, type Prepared } from './revision/candidate.ts';
import type { Compiled } from './revision/compile.ts';
import type { Confirm, History } from './revision/history.ts';
import type { RevisionInfo, StoredRevision } from './revision/revision.ts';

export interface CommitContext extends CompileContext {
  readonly drivers: ReadonlyMap<string, AnyDriver>;
  readonly reconciler: Reconciler;
  readonly history: History;
  readonly now: () => number;
  /** Runs one commit, confirm or way back after the other. */
  readonly inOrder: <T>(job: () => T | Promise<T>) => Promise<T>;
  /** Reads one candidate after the other: a small one does not overtake a large one that came first. */
  readonly readInOrder: <T>(job: () => T | Promise<T>) => Promise<T>;
  /** What is desired by the running revision. */
  desired(): ReadonlyMap<Ref, Resource>;
  /** Becomes the running revision: look and listeners follow. */
  applied(revision: StoredRevision, compiled: Compiled): void;
  /** Rewrites FILE and the manifests folder; the Fault, which is in the log too, where that cannot be done. */
  writeFace(revision: StoredRevision): Promise<Fault | undefined>;
}

/** What is to be committed; `files` of a stored revision, else they are read from the disk. */
export interface Wanted {
  readonly candidate: Candidate;
  readonly files?: StoredRevision['files'];
}

type Refusal = { readonly ok: false; readonly problems: readonly Problem[]; readonly faults: readonly Fault[] };

export const refuse = (problems: readonly Problem[], faults: readonly Fault[] = []): Refusal => ({
  ok: false,
  problems,
  faults,
});

const numberOf = (context: CommitContext): number => context.running()?.number ?? 0;

function moved(context: CommitContext, base: number | undefined): Fault | undefined {
  const running = numberOf(context);
  if (base === undefined || base === running) return undefined;
  return {
    code: 'base-moved',
    what: `revision ${base}`,
    why: `revision ${running} has been committed since the candidate was made`,
    retry: false,
  };
}

/** A candidate that may be switched to: resources as compiled, and those of them that are prepared. */
interface Ready {
  readonly from: number;
  readonly prepared: Prepared;
  readonly done: ReadonlySet<string>;
}

/** The whole way. A candidate without a base is made ready anew when another commit comes between. */
export async function commit(context: CommitContext, wanted: Wanted, options: CommitOptions): Promise<CommitAnswer> {
  const begun = performance.now();
  let done: ReadonlySet<string> = new Set();
  for (;;) {
    const ready = await makeReady(context, wanted, options, done);
    if ('ok' in ready) return ready;
    const prepareMs = performance.now() - begun;
    const answer = await context.inOrder(() => switchTo(context, wanted, ready, options));
    if (answer === 'again') {
      done = ready.done;
      continue;
    }
    if (!answer.ok) return answer;
    const tookMs = { prepare: prepareMs, switch: answer.switchMs, total: performance.now() - begun };
    const { revision, actions, notes } = answer;
    return { ok: true, revision, actions, tookMs, notes };
  }
}

const keyOf = (resource: Resource): string => `${resource.ref} ${JSON.stringify(resource.spec)}`;

async function makeReady(
  context: CommitContext,
  wanted: Wanted,
  options: CommitOptions,
  before: ReadonlySet<string>,
): Promise<Ready | Refusal> {
  const from = numberOf(context);
  const early = moved(context, wanted.candidate.base);
  if (early !== undefined) return refuse([], [early]);
  const prepared = await context.readInOrder(() => read(context, wanted, options.signal));
  if (!('compiled' in prepared)) return prepared;
  // Others have their turn between the steps: each takes milliseconds of the thread.
  await nextTurn();
  const { resources } = prepared.compiled;
  const planned = await context.reconciler.plan(resources);
  if (planned.faults.length > 0) return refuse([], planned.faults);
  const done = new Set(before);
  const fault = await prepare(context, toPrepare(planned.actions, resources), done, options);
  return fault === undefined ? { from, prepared, done } : refuse([], [fault]);
}

/** Loads and compiles, unless nobody wants it any more. */
async function read(context: CommitContext, wanted: Wanted, signal?: AbortSignal): Promise<Prepared | Refusal> {
  if (signal?.aborted === true) return refuse([], [{ ...cancelled }]);
  try {
    const prepared = await compileCandidate(context, wanted.candidate, wanted.files, signal);
    return 'compiled' in prepared ? prepared : refuse(prepared);
  } catch (error) {
    if (signal !== undefined && error === signal.reason) return refuse([], [{ ...cancelled }]);
    throw error;
  }
}

function toPrepare(actions: readonly Action[], resources: ReadonlyMap<Ref, Resource>): Resource[] {
  return actions.filter((action) => action.phase === 'prepare').flatMap((action) => resources.get(action.ref) ?? []);
}

const failedBefore = (context: CommitContext): ReadonlySet<Ref> =>
  new Set(context.reconciler.failures().map((failure) => failure.ref));

async function prepare(
  context: CommitContext,
  resources: readonly Resource[],
  done: Set<string>,
  options: CommitOptions,
): Promise<Fault | undefined> {
  const signal = options.signal ?? new AbortController().signal;
  const ill = failedBefore(context);
  for (const resource of resources.filter((each) => !done.has(keyOf(each)))) {
    const progress: Progress = (line, fraction) => options.progress?.(`${nameOf(resource.ref)}: ${line}`, fraction);
    try {
      await context.drivers.get(kindOf(resource.ref))?.prepare?.(resource.spec, progress, signal);
      if (signal.aborted) throw new FaultError('cancelled', resource.ref, 'cancelled');
    } catch (error) {
      const fault = faultOf(error);
      // What had failed before may go on failing: a commit elsewhere must stay possible.
      if (fault.code === 'cancelled' || !ill.has(resource.ref)) return fault;
    }
    done.add(keyOf(resource));
  }
  return undefined;
}

type Switched = {
  readonly ok: true;
  readonly revision: RevisionInfo;
  readonly actions: readonly Action[];
  readonly switchMs: number;
  readonly notes: readonly string[];
};

/** In order. 'again': the running revision is another one than what was made ready for, and more must be prepared. */
async function switchTo(
  context: CommitContext,
  wanted: Wanted,
  ready: Ready,
  options: CommitOptions,
): Promise<Switched | Refusal | 'again'> {
  let { prepared } = ready;
  if (numberOf(context) !== ready.from) {
    const late = moved(context, wanted.candidate.base);
    if (late !== undefined) return refuse([], [late]);
    // Manifests that the candidate leaves as they are may be others now.
    const now = await read(context, wanted, options.signal);
    if (!('compiled' in now)) return now;
    const planned = await context.reconciler.plan(now.compiled.resources);
    if (planned.faults.length > 0) return refuse([], planned.faults);
    const missing = toPrepare(planned.actions, now.compiled.resources).filter((each) => !ready.done.has(keyOf(each)));
    if (missing.length > 0) return 'again';
    prepared = now;
  }
  if (options.signal?.aborted === true) return refuse([], [{ ...cancelled }]);
  await nextTurn();
  const begun = performance.now();
  const ill = failedBefore(context);
  const pass = await context.reconciler.change(prepared.compiled.resources);
  if (pass.faults.length > 0) return refuse([], pass.faults);
  const switchMs = performance.now() - begun;
  const well = pass.actions.filter((action) => !ill.has(action.ref));
  await nextTurn();
  const outcome = await finish(context, prepared, well, options);
  if ('fault' in outcome) {
    await context.reconciler.revert(context.desired());
    return refuse([], [outcome.fault]);
  }
  await context.reconciler.retire(pass.actions);
  return { ok: true, revision: outcome.info, actions: pass.actions, switchMs, notes: outcome.notes };
}

const cancelled: Fault = { code: 'cancelled', what: 'commit', why: 'cancelled', retry: false };

/** Guests start and the revision is recorded; a Fault says that the world must go back. */
async function finish(
  context: CommitContext,
  prepared: Prepared,
  actions: readonly Action[],
  options: CommitOptions,
): Promise<{ info: RevisionInfo; notes: readonly string[] } | { fault: Fault }> {
  const abort = new AbortController();
  const signal = options.signal === undefined ? abort.signal : AbortSignal.any([abort.signal, options.signal]);
  const puts = actions.filter((action) => action.phase === 'switch' && action.verb === 'put');
  const settling = puts.map(async ({ ref }) => {
    const resource = prepared.compiled.resources.get(ref);
    await context.drivers.get(kindOf(ref))?.settle?.(resource?.spec, ref, signal);
  });
  try {
    await Promise.all(settling);
    if (signal.aborted) return { fault: { ...cancelled } };
    return await record(context, prepared, options);
  } catch (error) {
    // The others have ended before the world goes back under them.
    abort.abort();
    await Promise.allSettled(settling);
    return { fault: faultOf(error) };
  }
}

/** From here on it is the running revision. FaultError 'disk-full': it is not. */
async function record(
  context: CommitContext,
  prepared: Prepared,
  options: CommitOptions,
): Promise<{ info: RevisionInfo; notes: readonly string[] }> {
  const waiting = context.history.pending();
  const { by, comment = '', confirmMs } = options;
  const confirm: Confirm | undefined =
    confirmMs === undefined
      ? undefined
      : { previous: waiting?.previous ?? numberOf(context), confirmBy: context.now() + confirmMs };
  const revision = revisionOf(prepared, { when: context.now(), by, comment });
  const info = await context.history.record(revision, confirm);
  const stored = { ...revision, ...info };
  context.applied(stored, prepared.compiled);
  const notes: string[] = [];
  if (waiting !== undefined && confirm === undefined) notes.push(`ends the wait for a confirm of ${waiting.revision}`);
  if (confirm !== undefined) notes.push(`goes back to revision ${confirm.previous} unless confirmed`);
  const fault = confirm === undefined ? await context.writeFace(stored) : undefined;
  if (fault !== undefined) notes.push(`${fault.what} does not show it: ${fault.why}`);
  return { info, notes };
}

/** A revision to record. */
export function revisionOf(
  prepared: Prepared,
  about: Pick<RevisionInfo, 'when' | 'by' | 'comment'>,
): Omit<StoredRevision, 'number' | 'confirmBy'> {
  const { candidate, files } = prepared;
  return { ...about, document: candidate.document, manifests: candidate.manifests ?? {}, files };
}

/** Makes the pending commit permanent. */
export function confirm(context: CommitContext): Promise<Fault | RevisionInfo> {
  return context.inOrder(async () => {
    const pending = context.history.pending();
    const running = context.running();
    if (pending === undefined || running === undefined || running.number !== pending.revision) {
      return { code: 'not-found', what: 'confirm', why: 'no commit waits for it', retry: false };
    }
    try {
      context.history.confirm(pending.revision);
    } catch (error) {
      return faultOf(error);
    }
    await context.writeFace(running);
    const { number, when, by, comment } = running;
    return { number, when, by, comment };
  });
}
