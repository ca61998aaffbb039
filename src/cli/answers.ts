// Problems, faults and the outcome of a change as lines of text.
import { printProblem, type Problem } from '../config/problem.ts';
import type { CommitAnswer, RevisionInfo } from '../engine/engine.ts';
import { FaultError, type Fault } from '../engine/faults.ts';
import { ago, printable, textWidth } from '../lib/table.ts';
import type { Lost } from './document/path.ts';
import type { Result } from './verbs/state.ts';
import type { Word } from './words.ts';

/** "what: why (code)", and whether trying again can help. */
export function printFault(fault: Pick<Fault, 'what' | 'why' | 'retry'> & { readonly code: string }): string {
  const again = fault.retry ? '; trying again may help' : '';
  return `${fault.what}: ${fault.why} (${fault.code}${again})`;
}

/** An answer that names everything that is wrong: exit 1 for problems of the input, else 2. */
export function failed(head: string, problems: readonly Problem[], faults: readonly Fault[]): Result {
  const lines = [...problems.map(printProblem), ...faults.map(printFault)].map(printable);
  return {
    exitCode: problems.length > 0 ? 1 : 2,
    data: { problems, faults },
    text: () => [...lines, head, ''].join('\n'),
  };
}

/** A fault as an answer. */
export function faulted(fault: Fault): Result {
  return { exitCode: 2, data: { problems: [], faults: [fault] }, text: () => `${printable(printFault(fault))}\n` };
}

/** The actions of a plan, a line each. */
export function printActions(actions: readonly { readonly phase: string; readonly line: string }[]): string {
  return actions.map((action) => `${action.phase.padEnd(7)}  ${printable(action.line)}\n`).join('');
}

/** The fault in what a command threw; undefined where it is a broken invariant. What the system refuses while a command
 * looks (a device that is gone by now) is the world's doing: KernelError and node's own errors of system calls. */
export function faultIn(error: unknown, what: string): Fault | undefined {
  if (error instanceof FaultError) return error.fault;
  if (!(error instanceof Error) || (error.name !== 'KernelError' && !('syscall' in error))) return undefined;
  return { code: 'refused', what, why: error.message, retry: true };
}

/** The outcome of a commit. `now` in milliseconds since 1970. */
export function committed(answer: CommitAnswer & { ok: true }, now: number): Result {
  const { revision, actions, tookMs, notes } = answer;
  const many = actions.length === 1 ? '1 action' : `${actions.length} actions`;
  const lines = [`revision ${revision.number} is running: ${many} in ${ago(tookMs.total)}`];
  if (revision.confirmBy !== undefined) {
    const left = ago(revision.confirmBy - now);
    lines.push(`it goes back by itself in ${left}, unless "commit" confirms it`);
  }
  lines.push(...notes.map((note) => `note: ${printable(note)}`));
  return { exitCode: 0, data: answer, text: () => `${lines.join('\n')}\n` };
}

/** "12, 3m12s ago by admin@ssh:10.0.0.5" */
export function printRevision(revision: RevisionInfo, now: number): string {
  const comment = revision.comment === '' ? '' : `, "${printable(revision.comment)}"`;
  return `${revision.number}, ${ago(now - revision.when)} ago by ${printable(revision.by)}${comment}`;
}

/** A line that could not be read: the line, a mark under the word, what is wrong, and what would fit. */
export function lost(line: string, words: readonly Word[], where: Pick<Lost, 'at' | 'message' | 'options'>): Result {
  const word = words[where.at];
  const column = word ? word.start : line.trimEnd().length + 1;
  const options = where.options.length === 0 ? '' : `; one of ${[...where.options].sort().join(', ')}`;
  const text = `${printable(line)}\n${' '.repeat(textWidth(line.slice(0, column)))}^ ${where.message}${options}\n`;
  return { exitCode: 1, text: () => text };
}
