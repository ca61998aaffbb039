// Puts the engine together and brings the switch up: read the history, adopt what the world has, take in FILE where it
// is new to us, keep the confirm timer, watch for drift.
import { randomBytes } from 'node:crypto';
import { fstatSync, ftruncateSync, mkdirSync, openSync, writeSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Logger } from 'pino';
import type { Problem } from '../config/problem.ts';
import type { Kernel } from '../kernel/kernel.ts';
import type { Clock } from '../lib/clock.ts';
import { serial } from '../lib/queue.ts';
import { boot, confirmTimer } from './boot.ts';
import { commit, type CommitContext, compileCandidate, refuse } from './commit.ts';
import type { Candidate, CommitAnswer, CommitOptions, Engine, RevisionInfo } from './engine.ts';
import { writeFace } from './face.ts';
import type { Fault } from './faults.ts';
import { type Ids, openBaseMac } from './ids.ts';
import { type History, openHistory, type StoredRevision } from './history.ts';
import { type Live, makeHost, makeRead } from './host.ts';
import { openReconciler, type Reconciler, type World } from './reconcile.ts';
import type { AnyDriver } from './resource.ts';
import type { AnyCommand, AnySlice, Host } from './slice.ts';

export interface EngineInput {
  readonly slices: readonly AnySlice[];
  readonly kernel: Kernel;
  readonly clock: Clock;
  readonly log: Logger;
  readonly instance: string;
  /** FILE, the face of the running revision. */
  readonly file: string;
  /** Folder of manifests; absent: none are read or written. */
  readonly manifests?: string;
  readonly state: string;
  /** Default: /run/midplane/<instance>. */
  readonly run?: string;
  readonly ids: Ids;
  /** Kernel kinds and those that main adds, in the order in which they build on each other; slices' own come after. */
  readonly drivers: readonly AnyDriver[];
  readonly commands: readonly AnyCommand[];
  readonly live: ReadonlyMap<string, unknown>;
}

export interface OpenEngine extends Engine, AsyncDisposable {
  readonly host: Host;
  /** Problems of FILE where it could not be taken in and an older revision runs. */
  readonly fileProblems: readonly Problem[];
  /** Once all run.ts files have published: what nobody desires goes. */
  settled(): Promise<void>;
}

const auditMs = 30_000;

/** Throws ProblemsError where nothing can run: FILE is bad and there is no history. */
export async function openEngine(input: EngineInput): Promise<OpenEngine> {
  mkdirSync(input.state, { recursive: true, mode: 0o700 });
  const history = openHistory(input.state);
  const live: Live = { drivers: new Map(), listeners: new Set() };
  const read = makeRead(input, live);
  const host = makeHost(input, live, read);
  const own = input.slices.flatMap((slice) => slice.drivers?.(input.kernel, host) ?? []);
  live.drivers = new Map([...input.drivers, ...own].map((driver) => [driver.kind, driver]));
  live.reconciler = openReconciler(worldOf(input, live));
  const context = contextOf(input, live, history, live.reconciler);
  const inOrder = serial();
  const change = async (candidate: Candidate, options: CommitOptions, files?: StoredRevision['files']) => {
    const answer = await commit(context, candidate, options, inOrder, files);
    if (answer.ok) timer.set();
    return answer;
  };
  const rollback = (number: number, options: CommitOptions): Promise<CommitAnswer> => {
    const stored = history.read(number);
    if (stored === undefined) return Promise.resolve(refuse([], [notFound(`revision ${number}`, 'not in history')]));
    const comment = options.comment ?? `rollback ${number}`;
    return change({ document: stored.document, manifests: stored.manifests }, { ...options, comment }, stored.files);
  };
  const timer = confirmTimer(input.clock, history, rollback);
  const fileProblems = await boot(context, input, input.log);
  timer.set();
  const audit = setInterval(() => void live.reconciler?.audit(), auditMs);
  audit.unref();
  return {
    ...faceOf(input, context, live.reconciler),
    read,
    host,
    fileProblems,
    settled: async () => void (await live.reconciler?.audit()),
    commit: change,
    rollback,
    confirm: (by) => Promise.resolve(confirm(context, by, input.log, () => timer.set())),
    onRevision: host.onRevision,
    async [Symbol.asyncDispose]() {
      clearInterval(audit);
      timer[Symbol.dispose]();
      await inOrder(async () => live.reconciler?.close());
    },
  };
}

function worldOf(input: EngineInput, live: Live): World {
  return {
    drivers: live.drivers,
    clock: input.clock,
    actionLog: openActionLog(join(input.state, 'actions.log')),
    broken: (error) =>
      queueMicrotask(() => {
        throw error;
      }),
    note: (level, message, fields) => input.log[level](fields, message),
  };
}

function contextOf(input: EngineInput, live: Live, history: History, reconciler: Reconciler): CommitContext {
  let running: StoredRevision | undefined;
  return {
    slices: input.slices,
    instance: input.instance,
    baseMac: openBaseMac(join(input.state, 'mac'), randomBytes),
    drivers: live.drivers,
    reconciler,
    history,
    now: () => input.clock.now(),
    folder: dirname(input.file),
    running: () => running,
    applied(revision, compiled) {
      running = revision;
      live.compiled = compiled;
      for (const listener of live.listeners) listener(revision);
    },
    writeFace: (revision) => writeFace(input, revision),
  };
}

type Asking = 'slices' | 'commands' | 'running' | 'check' | 'plan' | 'history' | 'revision';

/** The part that changes nothing. */
function faceOf(input: EngineInput, context: CommitContext, reconciler: Reconciler): Pick<Engine, Asking> {
  return {
    slices: input.slices,
    commands: [...input.slices.flatMap((slice) => slice.commands ?? []), ...input.commands],
    running() {
      const running = context.running();
      if (running === undefined) throw new Error('no revision runs');
      return running;
    },
    check(candidate) {
      const result = compileCandidate(context, candidate);
      return Promise.resolve('compiled' in result ? [] : result);
    },
    async plan(candidate) {
      const result = compileCandidate(context, candidate);
      if (!('compiled' in result)) return refuse(result);
      const pass = await reconciler.plan(result.compiled.resources);
      return pass.faults.length > 0 ? refuse([], pass.faults) : { ok: true, actions: pass.actions };
    },
    history: () => context.history.list(),
    revision: (number) => context.history.read(number),
  };
}

function notFound(what: string, why: string): Fault {
  return { code: 'not-found', what, why, retry: false };
}

function confirm(context: CommitContext, by: string, log: Logger, set: () => void): Fault | RevisionInfo {
  const pending = context.history.pending();
  const stored = pending === undefined ? undefined : context.history.read(pending.revision);
  if (stored === undefined) return notFound('confirm', 'no commit waits for it');
  context.history.setPending(undefined);
  set();
  context.writeFace(stored);
  log.info({ revision: stored.number, by }, 'confirmed');
  return { number: stored.number, when: stored.when, by: stored.by, comment: stored.comment };
}

const actionLogBytes = 1024 * 1024;

/** Appends by one write(2) a line; begins anew when it has grown large. */
function openActionLog(path: string): (line: string) => void {
  const fd = openSync(path, 'a', 0o600);
  let size = fstatSync(fd).size;
  return (line) => {
    if (size > actionLogBytes) {
      ftruncateSync(fd, 0);
      size = 0;
    }
    size += writeSync(fd, line);
  };
}
