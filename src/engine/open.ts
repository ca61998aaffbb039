// Puts the engine together and brings the switch up: read the history, adopt what the world has, take in FILE where it
// is new to us, keep the confirm timer, watch for drift.
import { randomBytes } from 'node:crypto';
import { closeSync, fstatSync, ftruncateSync, mkdirSync, openSync, readdirSync, rmSync, writeSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { serial } from '../lib/work/queue.ts';
import { boot, confirmTimer, type ConfirmTimer } from './boot.ts';
import { commit, type CommitContext, confirm, refuse, type Wanted } from './commit.ts';
import type { Candidate, CommitAnswer, CommitOptions, Engine } from './engine.ts';
import { type Fault, faultOf } from './faults.ts';
import { type EngineInput, type Live, makeHost, makeRead } from './host.ts';
import { openBaseMac } from './ids.ts';
import { portsIn } from './kinds/row.ts';
import { openReconciler, type Reconciler } from './loop/reconcile.ts';
import type { World } from './loop/world.ts';
import { compileCandidate } from './revision/candidate.ts';
import { writeFace } from './revision/face.ts';
import { type History, openHistory } from './revision/history.ts';
import type { StoredRevision } from './revision/revision.ts';
import type { Host, Read } from './slice.ts';

export interface OpenEngine extends Engine, AsyncDisposable {
  readonly host: Host;
  /** Once all run.ts files have published: what nobody desires goes. */
  settled(): Promise<void>;
  /** No more changes: the next are refused, a commit that prepares is cancelled, one that switches is finished or goes
   * back. Resolves when none is left. */
  freeze(): Promise<void>;
}

const auditMs = 30_000;
/** Commits and confirms that may wait at the same time. */
const mostWaiting = 1000;

/** Throws ProblemsError where nothing can run: FILE is bad and there is no history. */
export async function openEngine(input: EngineInput): Promise<OpenEngine> {
  mkdirSync(input.state, { recursive: true, mode: 0o700 });
  // What a crash left of a file that was to take another's place.
  const halves = readdirSync(input.state).filter((name) => name.endsWith('.tmp'));
  for (const name of halves) rmSync(join(input.state, name), { recursive: true });
  const history = openHistory(input.state);
  const live: Live = { drivers: new Map(), listeners: new Set() };
  const read = makeRead(input, live);
  const host = makeHost(input, live, read);
  const own = input.slices.flatMap((slice) => slice.drivers?.(input.kernel, host) ?? []);
  live.drivers = new Map([...input.drivers, ...own].map((driver) => [driver.kind, driver]));
  const log = openActionLog(join(input.state, 'actions.log'));
  const world = worldOf(input, live, log.write);
  const reconciler = openReconciler(world);
  live.reconciler = reconciler;
  const context = contextOf(input, live, history, reconciler);
  const timer = confirmTimer(context, input.clock, input.log, world.broken);
  const audits = auditing(input, reconciler, world);
  try {
    live.fileProblems = await boot(context, input, input.log);
    timer.set();
    audits.begin();
    return {
      ...asking(input, context, read),
      ...changing(context, timer, world, input),
      host,
      fileProblems: () => live.fileProblems ?? [],
      settled: async () => void (await reconciler.settled()),
      onRevision: (listener) => host.onRevision(listener),
      [Symbol.asyncDispose]: () => close(context, log, timer, audits),
    };
  } catch (error) {
    await close(context, log, timer, audits);
    throw error;
  }
}

async function close(context: CommitContext, log: ActionLog, ...timers: readonly Disposable[]): Promise<void> {
  for (const timer of timers) timer[Symbol.dispose]();
  await context.inOrder(() => context.reconciler.close());
  log.close();
}

function worldOf(input: EngineInput, live: Live, actionLog: (line: string) => void): World {
  return {
    drivers: live.drivers,
    clock: input.clock,
    actionLog,
    broken: (error) =>
      queueMicrotask(() => {
        throw error;
      }),
    note: (level, message, fields) => input.log[level](fields, message),
  };
}

function contextOf(input: EngineInput, live: Live, history: History, reconciler: Reconciler): CommitContext {
  let running: StoredRevision | undefined;
  const known: CommitContext['known'] = {};
  return {
    slices: input.slices,
    instance: input.instance,
    baseMac: openBaseMac(join(input.state, 'mac'), randomBytes),
    drivers: live.drivers,
    reconciler,
    history,
    now: () => input.clock.now(),
    folder: dirname(input.file),
    inOrder: serial(),
    readInOrder: serial(),
    running: () => running,
    known,
    desired: () => live.compiled?.resources ?? new Map(),
    applied(revision, compiled) {
      running = revision;
      known.running = compiled.document;
      live.compiled = compiled;
      for (const listener of live.listeners) listener(revision);
    },
    async writeFace(revision) {
      try {
        await writeFace(input, revision);
        live.fileProblems = [];
        return undefined;
      } catch (error) {
        const fault = faultOf(error);
        input.log.error({ fault }, 'the file does not show the running revision');
        return fault;
      }
    },
  };
}

type Asking = 'slices' | 'commands' | 'read' | 'running' | 'check' | 'plan' | 'drift' | 'history' | 'revision';

/** The part that changes nothing. */
function asking(input: EngineInput, context: CommitContext, read: Read): Pick<Engine, Asking> {
  // One after the other: what many clients ask at once takes no more memory than what one asks.
  const inTurn = serial(mostWaiting);
  const compiled = (candidate: Candidate) => inTurn(() => compileCandidate(context, candidate));
  return {
    slices: input.slices,
    commands: [...input.slices.flatMap((slice) => slice.commands ?? []), ...input.commands],
    read,
    running() {
      const running = context.running();
      if (running === undefined) throw new Error('no revision runs');
      const { number, when, by, comment, document, manifests } = running;
      const revision = { number, when, by, comment, document, manifests };
      const pending = context.history.pending();
      return pending?.revision === number ? { ...revision, confirmBy: pending.confirmBy } : revision;
    },
    async check(candidate) {
      const result = await compiled(candidate);
      return 'compiled' in result ? [] : result;
    },
    async plan(candidate) {
      const result = await compiled(candidate);
      if (!('compiled' in result)) return refuse(result);
      const pass = await context.reconciler.plan(result.compiled.resources);
      return pass.faults.length > 0 ? refuse([], pass.faults) : { ok: true, actions: pass.actions };
    },
    drift: () => context.reconciler.drift(),
    history: () => context.history.list(),
    revision: (number) => context.history.read(number),
  };
}

/** The part that changes. What throws there is a broken invariant: the process ends, whoever asked. */
function changing(
  context: CommitContext,
  timer: ConfirmTimer,
  world: World,
  input: EngineInput,
): Pick<OpenEngine, 'commit' | 'confirm' | 'rollback' | 'freeze'> {
  let waiting = 0;
  const freezing = new AbortController();
  const { promise: idle, resolve: isIdle } = Promise.withResolvers<void>();
  const counted = async <T>(work: () => Promise<T>): Promise<T> => {
    waiting += 1;
    try {
      return await work();
    } catch (error) {
      world.broken(error);
      throw error;
    } finally {
      waiting -= 1;
      if (waiting === 0 && freezing.signal.aborted) isIdle();
    }
  };
  const change = async (wanted: Wanted, options: CommitOptions): Promise<CommitAnswer> => {
    if (freezing.signal.aborted) return refuse([], [frozen]);
    if (waiting >= mostWaiting) return refuse([], [tooMany]);
    return counted(async () => {
      const signals = options.signal === undefined ? [] : [options.signal];
      const signal = AbortSignal.any([...signals, freezing.signal]);
      const answer = await commit(context, wanted, { ...options, signal });
      timer.set();
      return answer;
    });
  };
  return {
    freeze() {
      freezing.abort();
      if (waiting === 0) isIdle();
      return idle;
    },
    commit: (candidate, options) => change({ candidate }, options),
    rollback(number, options) {
      const stored = context.history.read(number);
      if (stored === undefined) return Promise.resolve(refuse([], [notInHistory(number)]));
      const { document, manifests, files } = stored;
      const comment = options.comment ?? `rollback ${number}`;
      return change({ candidate: { document, manifests }, files }, { ...options, comment });
    },
    async confirm(by) {
      if (freezing.signal.aborted) return frozen;
      if (waiting >= mostWaiting) return tooMany;
      const answer = await counted(() => confirm(context));
      timer.set();
      if (!('code' in answer)) input.log.info({ revision: answer.number, by }, 'confirmed');
      return answer;
    },
  };
}

const frozen: Fault = { code: 'busy', what: 'commit', why: 'this daemon is ending', retry: true };
const tooMany: Fault = { code: 'busy', what: 'commit', why: `${mostWaiting} commits wait already`, retry: true };

function notInHistory(number: number): Fault {
  return { code: 'not-found', what: `revision ${number}`, why: 'not in history', retry: false };
}

/** Reads everything now and then: what no event told of is found. */
function auditing(input: EngineInput, reconciler: Reconciler, world: World): Disposable & { begin(): void } {
  let timer: Disposable | undefined;
  let closed = false;
  const audit = async (): Promise<void> => {
    await reconciler.audit();
    const refs = [...reconciler.desired().keys(), ...reconciler.failures().map(({ ref }) => ref)];
    try {
      input.ids.retain('port', portsIn(refs), input.clock.monotonic());
    } catch (error) {
      input.log.warn({ fault: faultOf(error) }, 'ids are not freed');
    }
    begin();
  };
  const begin = (): void => {
    if (!closed) timer = input.clock.after(auditMs, () => void audit().catch(world.broken));
  };
  return {
    begin,
    [Symbol.dispose]() {
      closed = true;
      timer?.[Symbol.dispose]();
    },
  };
}

const actionLogBytes = 1024 * 1024;

interface ActionLog {
  readonly write: (line: string) => void;
  readonly close: () => void;
}

/** Appends by one write(2) a call; begins anew when it has grown large. A full disk costs the line, not the change. */
function openActionLog(path: string): ActionLog {
  const fd = openSync(path, 'a', 0o600);
  let size = fstatSync(fd).size;
  const write = (line: string): void => {
    try {
      if (size > actionLogBytes) {
        ftruncateSync(fd, 0);
        size = 0;
      }
      size += writeSync(fd, line);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === undefined) throw error;
    }
  };
  return { write, close: () => closeSync(fd) };
}
