// The change path. A candidate's way: load and compile, plan, prepare (outside the loop, minutes allowed), switch and
// verify (inside the loop, milliseconds), settle (guests start), record, retire. Failure before record goes back.
import { readFileSync } from 'node:fs';
import { isAbsolute, join, relative } from 'node:path';
import type { Problem } from '../config/problem.ts';
import { compile, type Compiled } from './compile.ts';
import type { Candidate, CommitAnswer, CommitOptions, RevisionInfo } from './engine.ts';
import { type Fault, FaultError, faultOf } from './faults.ts';
import type { History, StoredRevision } from './history.ts';
import { loadCandidate } from './load.ts';
import type { Reconciler } from './reconcile.ts';
import type { Action, AnyDriver, Progress, Ref, Resource } from './resource.ts';
import { kindOf, nameOf } from './resource.ts';
import type { AnySlice } from './slice.ts';

export interface CommitContext {
  readonly slices: readonly AnySlice[];
  readonly instance: string;
  readonly baseMac: string;
  readonly drivers: ReadonlyMap<string, AnyDriver>;
  readonly reconciler: Reconciler;
  readonly history: History;
  readonly now: () => number;
  /** Folder against which relative file names in the document are read. */
  readonly folder: string;
  running(): StoredRevision | undefined;
  /** Becomes the running revision: look and listeners follow. */
  applied(revision: StoredRevision, compiled: Compiled): void;
  /** Rewrites FILE and the manifests folder. */
  writeFace(revision: StoredRevision): void;
}

export interface Prepared {
  readonly candidate: Candidate;
  readonly compiled: Compiled;
  readonly files: Readonly<Record<string, Uint8Array>>;
}

type Refusal = { readonly ok: false; readonly problems: readonly Problem[]; readonly faults: readonly Fault[] };

export const refuse = (problems: readonly Problem[], faults: readonly Fault[] = []): Refusal => ({
  ok: false,
  problems,
  faults,
});

/** Loads and compiles; `files` are read from disk, or come from a stored revision. */
export function compileCandidate(
  context: CommitContext,
  candidate: Candidate,
  stored?: Readonly<Record<string, Uint8Array>>,
): Prepared | readonly Problem[] {
  const manifests = candidate.manifests ?? context.running()?.manifests ?? {};
  const loaded = loadCandidate(context.slices, candidate.document, manifests);
  if (!loaded.ok) return loaded.problems;
  const files: Record<string, Uint8Array> = {};
  const file = (name: string): Uint8Array | undefined => {
    const bytes = stored?.[name] ?? readInside(context.folder, name);
    if (bytes !== undefined) files[name] = bytes;
    return bytes;
  };
  const { slices, instance, baseMac } = context;
  const compiled = compile({ slices, document: loaded.document, instance, baseMac, file });
  if (!('resources' in compiled)) return compiled;
  return { candidate: { ...candidate, manifests }, compiled, files };
}

/** Files are named relative to FILE; a name that leads out of its folder reads nothing. */
function readInside(folder: string, name: string): Uint8Array | undefined {
  const path = join(folder, name);
  if (isAbsolute(name) || relative(folder, path).startsWith('..')) return undefined;
  try {
    return readFileSync(path);
  } catch {
    return undefined;
  }
}

function moved(context: CommitContext, base: number | undefined): Fault | undefined {
  const running = context.running()?.number ?? 0;
  if (base === undefined || base === running) return undefined;
  return {
    code: 'base-moved',
    what: `revision ${base}`,
    why: `revision ${running} has been committed since the candidate was made`,
    retry: false,
  };
}

/** The whole way. `inOrder` runs switch to record of one commit at a time. */
export async function commit(
  context: CommitContext,
  candidate: Candidate,
  options: CommitOptions,
  inOrder: <T>(job: () => Promise<T>) => Promise<T>,
  stored?: Readonly<Record<string, Uint8Array>>,
): Promise<CommitAnswer> {
  const begun = performance.now();
  const base = candidate.base ?? context.running()?.number ?? 0;
  const early = moved(context, base);
  if (early !== undefined) return refuse([], [early]);
  const prepared = compileCandidate(context, candidate, stored);
  if (!('compiled' in prepared)) return refuse(prepared);
  const planned = await context.reconciler.plan(prepared.compiled.resources);
  if (planned.faults.length > 0) return refuse([], planned.faults);
  const fault = await prepare(context, prepared.compiled.resources, planned.actions, options);
  if (fault !== undefined) return refuse([], [fault]);
  const prepareMs = performance.now() - begun;
  return inOrder(async () => {
    const late = moved(context, base);
    if (late !== undefined) return refuse([], [late]);
    const switched = performance.now();
    const ill = new Set(context.reconciler.failures().map((failure) => failure.ref));
    const pass = await context.reconciler.change(prepared.compiled.resources);
    if (pass.faults.length > 0) return refuse([], pass.faults);
    const switchMs = performance.now() - switched;
    const outcome = await finish(
      context,
      prepared,
      pass.actions.filter((action) => !ill.has(action.ref)),
      options,
    );
    if ('fault' in outcome) {
      await context.reconciler.change(compileRunning(context));
      return refuse([], [outcome.fault]);
    }
    const tookMs = { prepare: prepareMs, switch: switchMs, total: performance.now() - begun };
    return { ok: true, revision: outcome.info, actions: pass.actions, tookMs, notes: [] };
  });
}

function compileRunning(context: CommitContext): ReadonlyMap<Ref, Resource> {
  const running = context.running();
  if (running === undefined) return new Map();
  const compiled = compileCandidate(context, running, running.files);
  if (!('compiled' in compiled)) throw new Error('the running revision does not compile');
  return compiled.compiled.resources;
}

async function prepare(
  context: CommitContext,
  desired: ReadonlyMap<Ref, Resource>,
  actions: readonly Action[],
  options: CommitOptions,
): Promise<Fault | undefined> {
  const signal = options.signal ?? new AbortController().signal;
  for (const action of actions) {
    if (action.phase !== 'prepare') continue;
    const resource = desired.get(action.ref);
    const ill = context.reconciler.failures().some((failure) => failure.ref === action.ref);
    const progress: Progress = (line, fraction) => options.progress?.(`${nameOf(action.ref)}: ${line}`, fraction);
    try {
      await context.drivers.get(kindOf(action.ref))?.prepare?.(resource?.spec, progress, signal);
      if (signal.aborted) throw new FaultError('cancelled', action.ref, 'cancelled');
    } catch (error) {
      const fault = faultOf(error);
      // What had failed before may go on failing: a commit elsewhere must stay possible.
      if (!ill || fault.code === 'cancelled') return fault;
    }
  }
  return undefined;
}

/** Guests start and the revision is recorded; a Fault says that the world must go back. */
async function finish(
  context: CommitContext,
  prepared: Prepared,
  actions: readonly Action[],
  options: CommitOptions,
): Promise<{ info: RevisionInfo } | { fault: Fault }> {
  const signal = options.signal ?? new AbortController().signal;
  const puts = actions.filter((action) => action.phase === 'switch' && action.verb === 'put');
  try {
    await Promise.all(
      puts.map((action) => {
        const spec = prepared.compiled.resources.get(action.ref)?.spec;
        return context.drivers.get(kindOf(action.ref))?.settle?.(spec, action.ref, signal);
      }),
    );
    return { info: record(context, prepared, options) };
  } catch (error) {
    if (isDiskError(error)) return { fault: diskFault(error) };
    return { fault: faultOf(error) };
  }
}

function record(context: CommitContext, prepared: Prepared, options: CommitOptions): RevisionInfo {
  const previous = context.running()?.number ?? 0;
  const revision = {
    when: context.now(),
    by: options.by,
    comment: options.comment ?? '',
    document: prepared.candidate.document,
    manifests: prepared.candidate.manifests ?? {},
    files: prepared.files,
  };
  const confirmBy = options.confirmMs === undefined ? undefined : context.now() + options.confirmMs;
  // The timer is on disk before the revision is: a crash between the two leaves the old revision the highest.
  const next = context.history.newest() + 1;
  context.history.setPending(confirmBy === undefined ? undefined : { revision: next, previous, confirmBy });
  const info = context.history.record(revision);
  const stored = { ...revision, number: info.number };
  context.applied(stored, prepared.compiled);
  if (confirmBy === undefined) context.writeFace(stored);
  return confirmBy === undefined ? info : { ...info, confirmBy };
}

function isDiskError(error: unknown): error is NodeJS.ErrnoException {
  const code = (error as NodeJS.ErrnoException).code;
  return code === 'ENOSPC' || code === 'EROFS' || code === 'EIO' || code === 'EDQUOT';
}

function diskFault(error: NodeJS.ErrnoException): Fault {
  return { code: 'disk-full', what: 'history', why: `could not record the revision: ${error.message}`, retry: true };
}
