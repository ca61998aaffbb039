// What happens at start, before anything else may change: which revision is it, and is FILE new to us. And the way back
// from a commit that nobody confirmed.
import type { Logger } from 'pino';
import { decodeText } from '../config/limits.ts';
import { printProblem, type Problem } from '../config/problem.ts';
import type { Clock } from '../lib/clock.ts';
import { type CommitContext, revisionOf } from './commit.ts';
import { type Fault, faultOf } from './faults.ts';
import { compileCandidate, type Prepared } from './revision/candidate.ts';
import { editOf, type Face, readFace } from './revision/face.ts';
import type { History, Pending } from './revision/history.ts';
import type { FaceText, RevisionInfo, StoredRevision } from './revision/revision.ts';

/** Input that nothing can run with. */
export class ProblemsError extends Error {
  readonly problems: readonly Problem[];
  constructor(problems: readonly Problem[]) {
    super(problems.map(printProblem).join('\n'));
    this.name = 'ProblemsError';
    this.problems = problems;
  }
}

/** Brings up the revision that counts: FILE where its text is unknown and good, else the newest in history (the one
 * before it, where an unconfirmed commit is overdue). Lenient: what cannot be made is a failure, the rest comes up.
 * Returns what is wrong with FILE, where it is not taken in for that. */
export async function boot(context: CommitContext, face: Face, log: Logger): Promise<readonly Problem[]> {
  const problems = await takeEdit(context, face);
  if (problems === undefined) return [];
  const overdue = takeOverdue(context, log);
  const stored = storedToRun(context.history, overdue?.previous, log);
  if (stored === undefined) throw new ProblemsError(problems.length > 0 ? problems : [atFile(face, noFile)]);
  for (const problem of problems) log.error({ problem }, 'the file is not taken in');
  const prepared = await compileCandidate(context, stored, stored.files);
  if (!('compiled' in prepared)) throw new ProblemsError(prepared);
  const runs = overdue === undefined ? stored : await wentBack(context, prepared, stored, overdue, log);
  // Somebody's text that is not good yet is theirs to mend.
  await bringUp(context, runs, prepared, problems.length === 0);
  return problems;
}

/** Takes FILE in where somebody edited it. What is wrong with it, and empty where it is ours; undefined: it runs. */
async function takeEdit(context: CommitContext, face: Face): Promise<readonly Problem[] | undefined> {
  const { text, problems } = readFace(face);
  if (problems.length > 0) return problems;
  const edit = text === undefined ? undefined : editOf(face, text, context.history);
  return edit === undefined ? [] : takeIn(context, face, edit);
}

/** The revision of that number, else the newest that can be read. */
function storedToRun(history: History, number: number | undefined, log: Logger): StoredRevision | undefined {
  if (number !== undefined) return history.read(number);
  for (const info of history.list()) {
    const stored = history.read(info.number);
    if (stored !== undefined) return stored;
    log.error({ revision: info.number }, 'a revision cannot be read, and is passed over');
  }
  return undefined;
}

const noFile = 'no such file, and no revision in history';
const emptied = 'the file is empty; a document that wants nothing says {}';

const atFile = (face: Face, message: string): Problem => ({ file: face.file, line: 1, column: 1, path: '', message });

/** Undefined: it runs. */
async function takeIn(context: CommitContext, face: Face, text: FaceText): Promise<readonly Problem[] | undefined> {
  const files = [[face.file, text.document] as const, ...Object.entries(text.manifests)];
  const unreadable = files.map(([name, bytes]) => decodeText(bytes, name)).filter((each) => typeof each !== 'string');
  if (unreadable.length > 0) return unreadable;
  const document = Buffer.from(text.document).toString('utf8');
  // A text that a full disk or a crash cut off at its beginning is nobody's wish to have nothing any more.
  if (document.trim() === '' && context.history.list().length > 0) return [atFile(face, emptied)];
  const manifests = Object.fromEntries(
    Object.entries(text.manifests).map(([name, bytes]) => [name, Buffer.from(bytes).toString('utf8')]),
  );
  const prepared = await compileCandidate(context, { document, manifests });
  if (!('compiled' in prepared)) return prepared.map((each) => ({ ...each, file: fileOf(each, face) }));
  const revision = revisionOf(prepared, { when: context.now(), by: 'file', comment: '' });
  let info: RevisionInfo;
  try {
    info = await context.history.record(revision);
  } catch (error) {
    return [atFile(face, faultOf(error).why)];
  }
  await bringUp(context, { ...revision, ...info }, prepared, true);
  return undefined;
}

/** Problems of a candidate name its document midplane.yaml. */
const fileOf = (problem: Problem, face: Face): string => (problem.file === 'midplane.yaml' ? face.file : problem.file);

/** A disk that does not take the record does not keep the switch from going back. */
async function wentBack(
  context: CommitContext,
  prepared: Prepared,
  stored: StoredRevision,
  overdue: Pending,
  log: Logger,
): Promise<StoredRevision> {
  try {
    const revision = revisionOf(prepared, aboutGoingBack(context, overdue));
    return { ...revision, ...(await context.history.record(revision)) };
  } catch (error) {
    log.error({ fault: faultOf(error) }, 'the way back is not recorded');
    return stored;
  }
}

function aboutGoingBack(context: CommitContext, { revision, previous }: Pending) {
  return {
    when: context.now(),
    by: 'confirm timer',
    comment: `rollback ${previous}: ${revision} was not confirmed`,
  };
}

async function bringUp(
  context: CommitContext,
  revision: StoredRevision,
  prepared: Prepared,
  shown: boolean,
): Promise<void> {
  await context.reconciler.adopt(prepared.compiled.resources);
  context.applied(revision, prepared.compiled);
  // The face follows at the confirm.
  if (shown && context.history.pending()?.revision !== revision.number) await context.writeFace(revision);
}

/** Set where the newest revision was to be confirmed and was not in time. */
function takeOverdue(context: CommitContext, log: Logger): Pending | undefined {
  const pending = context.history.pending();
  if (pending === undefined || pending.confirmBy > context.now()) return undefined;
  if (context.history.read(pending.previous) === undefined) return undefined;
  log.warn({ revision: pending.revision, back: pending.previous }, 'not confirmed in time');
  return pending;
}

/** From a commit that was not confirmed to what it goes back to: lenient, since there is nothing better to go to. The
 * Fault where it could not be recorded; undefined too where it was confirmed in the meantime. */
function goBack(context: CommitContext, pending: Pending): Promise<Fault | undefined> {
  return context.inOrder(async () => {
    if (context.history.pending()?.revision !== pending.revision) return undefined;
    const stored = context.history.read(pending.previous);
    const prepared = stored === undefined ? undefined : await compileCandidate(context, stored, stored.files);
    if (stored === undefined || prepared === undefined || !('compiled' in prepared)) {
      return { code: 'not-found', what: `revision ${pending.previous}`, why: 'it cannot be read', retry: false };
    }
    await context.reconciler.revert(prepared.compiled.resources);
    try {
      const revision = revisionOf(prepared, aboutGoingBack(context, pending));
      const recorded = { ...revision, ...(await context.history.record(revision)) };
      context.applied(recorded, prepared.compiled);
      await context.writeFace(recorded);
    } catch (error) {
      // Also where it cannot be recorded: the world has gone back.
      context.applied(stored, prepared.compiled);
      return faultOf(error);
    }
    return undefined;
  });
}

const againMs = 30_000;
// A timer of more than 2^31 ms would fire at once.
const longestMs = 2 ** 31 - 1;

export interface ConfirmTimer extends Disposable {
  /** Follows what waits for a confirm now. */
  set(): void;
}

/** Goes back by itself when a confirm does not come. */
export function confirmTimer(
  context: CommitContext,
  clock: Clock,
  log: Logger,
  broken: (error: unknown) => void,
): ConfirmTimer {
  let timer: Disposable | undefined;
  let closed = false;
  const wait = (ms: number): void => {
    timer?.[Symbol.dispose]();
    timer = closed ? undefined : clock.after(Math.min(Math.max(0, ms), longestMs), () => void fire().catch(broken));
  };
  const set = (): void => {
    const pending = context.history.pending();
    if (pending === undefined) timer?.[Symbol.dispose]();
    else wait(pending.confirmBy - clock.now());
  };
  const fire = async (): Promise<void> => {
    const pending = context.history.pending();
    if (pending === undefined) return;
    if (pending.confirmBy > clock.now()) return set();
    log.warn({ revision: pending.revision, back: pending.previous }, 'not confirmed in time');
    const fault = await goBack(context, pending);
    if (fault === undefined) return set();
    log.error({ fault }, 'the way back is not recorded');
    wait(againMs);
  };
  return {
    set,
    [Symbol.dispose]() {
      closed = true;
      timer?.[Symbol.dispose]();
    },
  };
}
