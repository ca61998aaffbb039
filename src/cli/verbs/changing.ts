// The verbs that make the candidate the running configuration, or take it back: commit, rebase, rollback, discard.
import { z } from 'zod';
import type { CommitAnswer, CommitOptions } from '../../engine/engine.ts';
import type { Action } from '../../engine/resource.ts';
import { committed, failed, faulted, printActions, printRevision } from '../answers.ts';
import { candidateOf, compareTo, compareValues, draftOf, draftOfOld } from '../document/candidate.ts';
import { explainConflicts, isChanged, rebase } from '../document/candidate.ts';
import { valueOf } from '../document/value.ts';
import { noArguments } from './editing.ts';
import { done, draftIn, refused, type Call, type Result, type SessionOptions, type State, type Verb } from './state.ts';
import type { Takes } from '../tree.ts';

const longestConfirmMinutes = 7 * 24 * 60;
const commentText = z.array(z.string()).min(1).meta({ description: 'why, for the history' });

const confirmedTakes: Takes = {
  kind: 'arguments',
  args: z.object({
    minutes: z
      .number()
      .min(0.1)
      .max(longestConfirmMinutes)
      .default(10)
      .meta({ description: 'until it goes back by itself' }),
    comment: commentText.optional(),
  }),
};

const revisionTakes: Takes = {
  kind: 'arguments',
  args: z.object({
    revision: z.int().min(0).meta({ description: 'a revision of "show history"; 0 is the running one' }),
  }),
};

/** `commit rebase rollback discard` of configuration mode, on the state's candidate. */
export function changingVerbs(state: State, options: SessionOptions): readonly Verb[] {
  const verb = (path: string, help: string, takes: Takes, run: (call: Call) => Promise<Result> | Result): Verb => ({
    path,
    help,
    role: 'admin',
    takes,
    run: async (call) => run(call),
  });
  return [
    verb('commit', 'make the candidate the running configuration; confirms a confirmed commit', noArguments, (call) =>
      commit(state, options, call, {}),
    ),
    verb('commit check', 'say what is wrong with the candidate, and what a commit would do', noArguments, () =>
      check(state, options),
    ),
    verb('commit confirmed', 'commit, and go back by itself unless confirmed by "commit"', confirmedTakes, (call) => {
      const { minutes, comment } = call.args as { minutes: number; comment?: string[] };
      return commit(state, options, call, { confirmMs: Math.round(minutes * 60_000), ...commented(comment) });
    }),
    verb(
      'commit comment',
      'commit with a text for the history',
      { kind: 'arguments', args: z.object({ comment: commentText }) },
      (call) => commit(state, options, call, commented((call.args as { comment: string[] }).comment)),
    ),
    verb('rebase', 'put the edits on top of what is running now', noArguments, () => rebased(state, options)),
    verb('rebase mine', 'the same; where both changed something, yours counts', noArguments, () =>
      rebased(state, options, 'mine'),
    ),
    verb('rebase theirs', 'the same; where both changed something, theirs counts', noArguments, () =>
      rebased(state, options, 'theirs'),
    ),
    verb('rollback', 'load a revision into the candidate; 0 is the running one', revisionTakes, (call) =>
      loadRevision(state, options, (call.args as { revision: number }).revision),
    ),
    verb('discard', 'throw the edits away', noArguments, () => {
      state.draft = draftOf(options.engine.running());
      return done('the candidate is the running configuration again\n');
    }),
  ];
}

function commented(comment: readonly string[] | undefined): { comment?: string } {
  return comment ? { comment: comment.join(' ') } : {};
}

/** Makes the pending commit permanent. */
async function confirm(options: SessionOptions): Promise<Result> {
  const answer = await options.engine.confirm(options.who);
  if ('code' in answer) return faulted(answer);
  return { exitCode: 0, data: answer, text: () => `revision ${answer.number} is confirmed\n` };
}

async function check(state: State, options: SessionOptions): Promise<Result> {
  const answer = await options.engine.plan(candidateOf(draftIn(state)));
  if (!answer.ok) return explainFailure(answer, state, options, 'the check failed');
  const { actions } = answer;
  const head = actions.length === 0 ? 'valid; nothing would change\n' : 'valid; a commit would do this:\n';
  return { exitCode: 0, data: { actions }, text: () => head + printActions(actions) };
}

async function commit(
  state: State,
  options: SessionOptions,
  call: Call,
  how: Pick<CommitOptions, 'comment' | 'confirmMs'>,
): Promise<Result> {
  const { engine, clock, who } = options;
  const draft = draftIn(state);
  if (!isChanged(draft)) {
    const confirmed = how.confirmMs === undefined ? await engine.confirm(who) : undefined;
    if (confirmed === undefined || 'code' in confirmed) return done('no changes to commit\n');
    return { exitCode: 0, data: confirmed, text: () => `revision ${confirmed.number} is confirmed\n` };
  }
  const candidate = candidateOf(draft);
  const { cameInBy } = options;
  if (how.confirmMs === undefined && cameInBy !== undefined) {
    const plan = await engine.plan(candidate);
    const cut = plan.ok ? plan.actions.find((action) => cuts(action, cameInBy)) : undefined;
    if (cut) return refused(warnOfCut(cut, cameInBy));
  }
  const progress = (line: string, fraction?: number): void => call.out.write(progressLine(line, fraction));
  const answer = await engine.commit(candidate, { ...how, by: who, progress, signal: call.signal });
  if (!answer.ok) return explainFailure(answer, state, options, 'the commit failed; nothing has changed');
  state.draft = draftOf(engine.running());
  return committed(answer, clock.now());
}

/** A line of progress, with the percentage where the fraction is known. */
export function progressLine(line: string, fraction?: number): string {
  return fraction === undefined ? `${line}\n` : `${line} ${Math.floor(fraction * 100)}%\n`;
}

/** Whether an action takes away the address that the session stands on. It errs on the side of asking. */
function cuts(action: Action, address: string): boolean {
  if (action.verb !== 'drop' || action.unwanted !== true) return false;
  const [before = '', after] = action.ref.toLowerCase().split(address.toLowerCase(), 2);
  return after !== undefined && !/[0-9a-f.]$/.test(before) && !/^[0-9a-f.]/.test(after);
}

function warnOfCut(action: Action, address: string): string {
  return `this takes away ${address}, the way that you came in by (${action.line}): use "commit confirmed MINUTES"`;
}

function explainFailure(
  answer: Extract<CommitAnswer, { ok: false }>,
  state: State,
  options: SessionOptions,
  head: string,
): Result {
  const moved = answer.faults.some((fault) => fault.code === 'base-moved');
  const result = failed(head, answer.problems, answer.faults);
  if (!moved) return result;
  const draft = draftIn(state);
  const running = options.engine.running();
  const text = [
    `revision ${printRevision(running, options.clock.now())} is running\n`,
    `the candidate was made from ${draft.base.number}\n`,
    `theirs, since ${draft.base.number}:\n`,
    compareValues(valueOf(draft.base.document), valueOf(running.document)),
    'yours:\n',
    compareTo(draft.base.document, draft),
    '"rebase" puts your edits on top of theirs\n',
  ].join('');
  return { ...result, text: (columns) => result.text(columns) + text };
}

function rebased(state: State, options: SessionOptions, prefer?: 'mine' | 'theirs'): Result {
  const draft = draftIn(state);
  const running = options.engine.running();
  if (running.number === draft.base.number) return done(`revision ${running.number} is still the base\n`);
  const answer = rebase(draft, running, prefer);
  if (answer.ok) {
    state.draft = answer.draft;
    const changes = compareTo(running.document, answer.draft);
    return done(`the candidate is based on revision ${running.number} now\n${changes || 'it changes nothing\n'}`);
  }
  const many = answer.conflicts.length === 1 ? 'one place' : `${answer.conflicts.length} places`;
  return refused(
    `both changed ${many}:\n${explainConflicts(draft, running, answer.conflicts)}` +
      'nothing was merged: "rebase mine" or "rebase theirs" decides, or edit the candidate',
  );
}

function loadRevision(state: State, options: SessionOptions, number: number): Result {
  const { engine } = options;
  const running = engine.running();
  if (number === 0 || number === running.number) {
    state.draft = draftOf(running);
    return done('the candidate is the running configuration again\n');
  }
  const revision = engine.revision(number);
  if (!revision) return refused(`there is no revision ${number}`);
  state.draft = draftOfOld(running, revision);
  return done(`revision ${number} is the candidate; "compare" shows what it changes, "commit" makes it run\n`);
}

/** `commit` and `rollback N` of operational mode: confirm a pending commit, go back to a revision at once. */
export function operationalChanges(options: SessionOptions): readonly Verb[] {
  const { engine, who, clock } = options;
  return [
    {
      path: 'commit',
      help: 'confirm a confirmed commit',
      role: 'admin',
      takes: noArguments,
      run: () => confirm(options),
    },
    {
      path: 'rollback',
      help: 'make a revision the running configuration again, at once',
      role: 'admin',
      takes: revisionTakes,
      run: async (call) => {
        const { revision } = call.args as { revision: number };
        if (revision === 0) return refused('0 is the running configuration; "show history" lists the others');
        const progress = (line: string, fraction?: number): void => call.out.write(progressLine(line, fraction));
        const answer = await engine.rollback(revision, { by: who, progress, signal: call.signal });
        if (!answer.ok) return failed('the rollback failed; nothing has changed', answer.problems, answer.faults);
        return committed(answer, clock.now());
      },
    },
  ];
}
