// What happens at start, before anything else may change: which revision is it, and is FILE new to us.
import type { Logger } from 'pino';
import { printProblem, type Problem } from '../config/problem.ts';
import type { Clock } from '../lib/clock.ts';
import { type CommitContext, compileCandidate, type Prepared } from './commit.ts';
import type { CommitOptions } from './engine.ts';
import { type Face, type FaceText, readFace, sameFace } from './face.ts';
import type { History, StoredRevision } from './history.ts';
import { kindOf, type Ref, type Resource } from './resource.ts';
import { loadCandidate } from './load.ts';

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
 * before it, where an unconfirmed commit is overdue). Lenient: what cannot be made is a failure, the rest comes up. */
export async function boot(context: CommitContext, face: Face, log: Logger): Promise<readonly Problem[]> {
  const { history } = context;
  const overdue = takeOverdue(history, context.now(), log);
  const stored = history.read(overdue ?? history.newest());
  const text = readFace(face);
  const edited = text !== undefined && !known(history, text);
  const fresh = edited ? takeIn(context, face, text) : { problems: [] };
  if (fresh.prepared !== undefined) {
    await bringUp(context, record(context, fresh.prepared, 'file', ''), fresh.prepared);
    return [];
  }
  if (stored === undefined) {
    const missing = {
      file: face.file,
      line: 1,
      column: 1,
      path: '',
      message: 'no such file, and no revision in history',
    };
    throw new ProblemsError(edited ? fresh.problems : [missing]);
  }
  for (const problem of fresh.problems) log.error({ problem }, 'the file is not taken in');
  const prepared = compileCandidate(context, stored, stored.files);
  if (!('compiled' in prepared)) throw new ProblemsError(prepared);
  const revision = overdue === undefined ? stored : record(context, prepared, 'confirm timer', `rollback ${overdue}`);
  await bringUp(context, revision, prepared);
  return fresh.problems;
}

function known(history: History, text: FaceText): boolean {
  return history.list().some((info) => {
    const stored = history.read(info.number);
    return stored !== undefined && sameFace(text, stored);
  });
}

function takeIn(
  context: CommitContext,
  face: Face,
  text: FaceText,
): { readonly prepared?: Prepared; readonly problems: readonly Problem[] } {
  const loaded = loadCandidate(context.slices, text.document, text.manifests, face.file);
  if (!loaded.ok) return { problems: loaded.problems };
  const document = Buffer.from(text.document).toString('utf8');
  const prepared = compileCandidate(context, { document, manifests: text.manifests });
  return 'compiled' in prepared ? { prepared, problems: [] } : { problems: prepared };
}

function record(context: CommitContext, prepared: Prepared, by: string, comment: string): StoredRevision {
  const revision = {
    when: context.now(),
    by,
    comment,
    document: prepared.candidate.document,
    manifests: prepared.candidate.manifests ?? {},
    files: prepared.files,
  };
  return { ...revision, number: context.history.record(revision).number };
}

async function bringUp(context: CommitContext, revision: StoredRevision, prepared: Prepared): Promise<void> {
  const { resources } = prepared.compiled;
  await prepareAll(context, resources);
  await context.reconciler.adopt(resources);
  context.applied(revision, prepared.compiled);
  context.writeFace(revision);
}

/** Time for preparations before the switch comes up, and for those that go on behind it, ms. */
const prepareMs = { wait: 5000, most: 600_000 };

/** A failed preparation (an image that is gone) shows as that resource's own failure when it is put. A slow one holds up
 * nothing else: what it is for fails until it is done, and is tried again. */
async function prepareAll(context: CommitContext, resources: ReadonlyMap<Ref, Resource>): Promise<void> {
  const signal = AbortSignal.timeout(prepareMs.most);
  const all = [...resources].map(([ref, resource]) =>
    context.drivers.get(kindOf(ref))?.prepare?.(resource.spec, () => undefined, signal),
  );
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise((done) => (timer = setTimeout(done, prepareMs.wait)));
  await Promise.race([Promise.allSettled(all), late]);
  clearTimeout(timer);
}

/** The revision to go back to, where the newest was to be confirmed and was not in time. */
function takeOverdue(history: History, now: number, log: Logger): number | undefined {
  const pending = history.pending();
  if (pending === undefined) return undefined;
  const lost = pending.revision > history.newest();
  if (!lost && pending.confirmBy > now) return undefined;
  history.setPending(undefined);
  if (lost || history.read(pending.previous) === undefined) return undefined;
  log.warn({ revision: pending.revision, back: pending.previous }, 'not confirmed in time');
  return pending.previous;
}

/** Goes back by itself when a confirm does not come. `set` follows the pending file. */
export function confirmTimer(
  clock: Clock,
  history: History,
  rollback: (previous: number, options: CommitOptions) => Promise<unknown>,
): Disposable & { set(): void } {
  let timer: Disposable | undefined;
  const fire = (): void => {
    const pending = history.pending();
    if (pending === undefined) return;
    if (pending.confirmBy > clock.now()) return set();
    void rollback(pending.previous, { by: 'confirm timer', comment: `rollback ${pending.previous}: not confirmed` });
  };
  const set = (): void => {
    timer?.[Symbol.dispose]();
    const pending = history.pending();
    // A timer of more than 2^31 ms would fire at once.
    const wait =
      pending === undefined ? undefined : Math.min(Math.max(0, pending.confirmBy - clock.now()), 2 ** 31 - 1);
    timer = wait === undefined ? undefined : clock.after(wait, fire);
  };
  return { set, [Symbol.dispose]: () => timer?.[Symbol.dispose]() };
}
