// One session of the CLI, free of any transport: a line comes in, text goes out.
//
//   1. the line is split into words and pipes        words.ts, pipe.ts
//   2. the words are found in the mode's tree        tree.ts
//   3. the command runs, or the verb edits           slices, editing.ts, changing.ts
//   4. its data or text passes the pipes             pipe.ts
import { setImmediate } from 'node:timers/promises';
import type { AnyCommand, Role } from '../engine/slice.ts';
import { faulted, faultIn, lost } from './answers.ts';
import { draftOf, isChanged } from './document/candidate.ts';
import { changingVerbs, operationalChanges } from './verbs/changing.ts';
import { expectAt, type Expected } from './complete.ts';
import { documentRoot } from './document/place.ts';
import { editingVerbs, noArguments } from './verbs/editing.ts';
import { applyFilters, printJson, printYaml, readPipes, type Pipes } from './pipe.ts';
import { done, levelOf, refused } from './verbs/state.ts';
import type { Call, ExitCode, Output, Result, Run, SessionOptions, State, Verb } from './verbs/state.ts';
import { commandEntries, commandTree, mayDo, parseArguments, resolve, type Resolved, type TreeNode } from './tree.ts';
import { maxLineLength, splitLine, type Line, type Word } from './words.ts';

export interface Answer {
  readonly text: string;
  readonly exitCode: ExitCode;
  /** What a program gets in place of the text. */
  readonly data?: unknown;
  /** A long text may be shown page by page. */
  readonly page: boolean;
  /** A unix socket that takes an interactive terminal over. */
  readonly attach?: string;
  readonly ends: boolean;
}

export interface Session {
  /** The prompt of the mode; in configuration mode a line with the place stands above it. */
  prompt(): string;
  /** Runs one line. Expected failures are answers; what is thrown is a broken invariant. */
  execute(line: string, out: Output, signal: AbortSignal): Promise<Answer>;
  /** What may stand at the end of the text: for Tab and "?". */
  expect(text: string): Promise<Expected>;
  /** There are edits that no commit has taken. */
  hasEdits(): boolean;
}

const promptName = 'midplane';

function beginning(options: SessionOptions): State {
  const root = { path: [], place: documentRoot(options.engine.slices) };
  return { mode: 'operational', draft: undefined, levels: [root], warned: false };
}

/** Paths of all commands of both modes, each with the role that it takes. */
export function rolesOfCommands(options: SessionOptions): readonly { readonly path: string; readonly role: Role }[] {
  const { operational, configuration } = verbsOf(beginning(options), options, () => '');
  return [...operational, ...configuration].map(({ path, role }) => ({ path, role }));
}

export function openSession(options: SessionOptions): Session {
  const state = beginning(options);
  let line = '';
  const { runTree, ...verbs } = verbsOf(state, options, () => line);
  const operational = commandTree<Run>(verbs.operational, options.role);
  const configuration = commandTree<Run>(verbs.configuration, options.role);
  const tree = (): TreeNode<Run> => (state.mode === 'operational' ? operational : configuration);
  return {
    prompt: () => prompt(state, options.hostname()),
    hasEdits: () => state.draft !== undefined && isChanged(state.draft),
    expect: (text) => expectAt(text, { tree: tree(), runTree, state, read: options.engine.read }),
    async execute(text, out, signal) {
      // A pasted page must not keep others waiting: each line gives the loop a turn.
      await setImmediate();
      line = text;
      const read = readLine(text);
      if ('exitCode' in read) return finish(read, plainPipes, out);
      if (read.line.words.length === 0) return finish(done(), plainPipes, out);
      const found = resolve(tree(), read.line.words);
      if (!found.ok) {
        const { words } = read.line;
        const result = notFor(options.role, Object.values(verbs), words) ?? lost(text, words, found);
        return finish(result, read.pipes, out);
      }
      const { form, filters } = read.pipes;
      const filtered = filterOutput(out, filters);
      const result = await enter(found, text, read.line.words, { out: filtered.out, signal, form });
      return finish(filtered.with(result), read.pipes, out);
    },
  };
}

interface Verbs {
  readonly operational: readonly Verb[];
  readonly configuration: readonly Verb[];
}

/** All that can be entered in each mode, by whichever role. */
function verbsOf(state: State, options: SessionOptions, line: () => string): Verbs & { runTree: TreeNode<Run> } {
  const shows = commandEntries(options.commands).map((entry) => ({ ...entry, run: runCommand(entry.run, options) }));
  const runTree = commandTree<Run>(shows, options.role);
  return {
    runTree,
    operational: [...shows, ...operationalVerbs(state, options)],
    configuration: [
      ...editingVerbs(state, options, line),
      ...changingVerbs(state, options),
      ...leavingVerbs(state),
      runVerb(runTree, line),
    ],
  };
}

/** A command that only another role may run is refused by its name; help and completion don't show it. */
function notFor(role: Role, modes: readonly (readonly Verb[])[], words: readonly Word[]): Result | undefined {
  for (const verbs of modes) {
    const found = resolve(commandTree(verbs, 'admin'), words);
    if (!found.ok || mayDo(role, found.entry.role)) continue;
    const { path: what, role: needed } = found.entry;
    return faulted({ code: 'not-permitted', what, why: `it needs the role ${needed}, yours is ${role}`, retry: false });
  }
  return undefined;
}

const mostCollected = 4 * 1024 * 1024;

/** What a command writes bit by bit passes the filters too; a count needs all of it first. */
function filterOutput(out: Output, filters: Pipes['filters']): { out: Output; with(result: Result): Result } {
  if (filters.length === 0) return { out, with: (result) => result };
  const counts = filters.some((filter) => filter.kind === 'count');
  let collected = '';
  const pass = (write: (text: string) => void) => (text: string) => {
    if (counts) collected = (collected + text).slice(-mostCollected);
    const filtered = counts ? undefined : applyFilters(text, filters);
    if (filtered && 'text' in filtered) write(filtered.text);
  };
  return {
    out: { columns: out.columns, write: pass((text) => out.write(text)), redraw: pass((text) => out.redraw(text)) },
    with: (result) => ({ ...result, text: (columns) => collected + result.text(columns) }),
  };
}

const plainPipes: Pipes = { form: 'text', page: false, filters: [] };

function readLine(text: string): { line: Line; pipes: Pipes } | Result {
  if (text.length > maxLineLength) return refused(`a line has at most ${maxLineLength} characters`);
  const line = splitLine(text);
  if (line.open) return refused(`the ${line.open} is not closed`);
  const pipes = readPipes(line.pipes);
  return pipes.ok ? { line, pipes: pipes.pipes } : refused(pipes.message);
}

function prompt(state: State, hostname: string): string {
  const host = `${promptName}@${hostname}`;
  if (state.mode === 'operational') return `${host}> `;
  const place = ['edit', ...levelOf(state).path].join(' ');
  return `[${place}]\n${host}# `;
}

/** Reads the arguments, then runs. */
async function enter(
  found: Resolved<Run>,
  line: string,
  words: readonly Word[],
  how: Pick<Call, 'out' | 'signal' | 'form'>,
): Promise<Result> {
  const { entry, rest } = found;
  let args: unknown;
  if (entry.takes.kind === 'arguments') {
    const parsed = parseArguments(entry.takes.args, rest);
    if (!parsed.ok) {
      const at = words.length - rest.length + parsed.at;
      return lost(line, words, { at, message: parsed.message, options: [] });
    }
    args = parsed.args;
  }
  try {
    return await entry.run({ ...how, words: rest, args });
  } catch (error) {
    const fault = faultIn(error, entry.path);
    if (fault) return faulted(fault);
    if (how.signal.aborted) return faulted({ code: 'cancelled', what: entry.path, why: 'interrupted', retry: false });
    throw error;
  }
}

// How long a command may still tidy up and say its last words after ^C.
const lastWordsMs = 2_000;

/** A slice's command as a verb: its data, rendered when it is asked for. */
function runCommand(command: AnyCommand, options: SessionOptions): Run {
  return async (call) => {
    using cut = cutAfterAbort(call.signal, options);
    const answer = command.run(call.args, options.engine.read, call.signal);
    if (!isStream(answer)) {
      const data: unknown = await Promise.race([answer, cut.cut]);
      if (data === cutMark) return faulted({ code: 'cancelled', what: command.path, why: 'interrupted', retry: false });
      const attach = call.form === 'text' ? command.attach?.(data) : undefined;
      const text = (columns: number): string => command.render(data, columns);
      return { exitCode: 0, data, text, ...(attach === undefined ? {} : { attach }) };
    }
    const redraw = command.path.startsWith('monitor') && call.form === 'text';
    const steps = answer[Symbol.asyncIterator]();
    for (;;) {
      const step = await Promise.race([steps.next(), cut.cut]);
      if (step === cutMark) void steps.return?.();
      if (step === cutMark || step.done === true) return done();
      const text = formed(call.form, step.value, () => command.render(step.value, call.out.columns));
      if (redraw) call.out.redraw(text);
      else call.out.write(text);
    }
  };
}

const cutMark = Symbol('cut');

/** Settles some time after the signal aborts. */
function cutAfterAbort(signal: AbortSignal, { clock }: SessionOptions): Disposable & { cut: Promise<typeof cutMark> } {
  const { promise: cut, resolve } = Promise.withResolvers<typeof cutMark>();
  let timer: Disposable | undefined;
  const begin = (): void => {
    timer = clock.after(lastWordsMs, () => resolve(cutMark));
  };
  if (signal.aborted) begin();
  else signal.addEventListener('abort', begin, { once: true });
  return {
    cut,
    [Symbol.dispose]() {
      signal.removeEventListener('abort', begin);
      timer?.[Symbol.dispose]();
    },
  };
}

function isStream(answer: unknown): answer is AsyncIterable<unknown> {
  return typeof answer === 'object' && answer !== null && Symbol.asyncIterator in answer;
}

function formed(form: Call['form'], data: unknown, text: () => string): string {
  if (form === 'json') return `${printJson(data, 0)}\n`;
  return form === 'yaml' ? `---\n${printYaml(data)}` : text();
}

/** The answer behind its pipes. */
function finish(result: Result, pipes: Pipes, out: Output): Answer {
  const shaped = shape(result, pipes, out.columns);
  const filtered = applyFilters(shaped.text, result.exitCode === 0 ? pipes.filters : []);
  const base = { exitCode: shaped.exitCode, page: pipes.page, ends: result.ends === true };
  const more = {
    ...(result.data === undefined ? {} : { data: result.data }),
    ...(result.attach === undefined ? {} : { attach: result.attach }),
  };
  if ('message' in filtered) return { ...base, ...more, exitCode: 1, text: `${filtered.message}\n` };
  return { ...base, ...more, text: filtered.text };
}

function shape(result: Result, pipes: Pipes, columns: number): { text: string; exitCode: ExitCode } {
  const { exitCode, data } = result;
  if (pipes.form === 'compare' && exitCode === 0) {
    if (result.compare) return { exitCode, text: result.compare() };
    return { exitCode: 1, text: '| compare stands behind "show" in configuration mode\n' };
  }
  if (pipes.form === 'json' && data !== undefined) return { exitCode, text: `${printJson(data)}\n` };
  if (pipes.form === 'yaml' && data !== undefined) return { exitCode, text: printYaml(data) };
  return { exitCode, text: result.text(columns) };
}

function operationalVerbs(state: State, options: SessionOptions): readonly Verb[] {
  const leave = async (): Promise<Result> => {
    if (state.draft && isChanged(state.draft) && !state.warned) {
      state.warned = true;
      return refused(
        'there are edits that no commit has taken: "configure" goes back to them, another exit loses them',
      );
    }
    return { ...done(), ends: true };
  };
  const viewer = { role: 'viewer', takes: noArguments } as const;
  return [
    ...operationalChanges(options),
    {
      path: 'configure',
      help: 'edit the configuration',
      role: 'admin',
      takes: noArguments,
      run: async () => {
        const kept = state.draft !== undefined && isChanged(state.draft);
        if (!kept) state.draft = draftOf(options.engine.running());
        state.mode = 'configuration';
        state.warned = false;
        return done(kept ? 'your edits are still here; "compare" shows them, "discard" throws them away\n' : '');
      },
    },
    { ...viewer, path: 'exit', help: 'end the session', run: leave },
    { ...viewer, path: 'quit', help: 'end the session', run: leave },
    { ...viewer, path: 'help', help: "how to find one's way", run: async () => done(helpText) },
  ];
}

function leavingVerbs(state: State): readonly Verb[] {
  const leave = (): Result => {
    state.mode = 'operational';
    state.levels.splice(1);
    const kept = state.draft !== undefined && isChanged(state.draft);
    return done(kept ? 'edits that no commit has taken are kept until this session ends\n' : '');
  };
  const admin = { role: 'admin', takes: noArguments } as const;
  return [
    {
      ...admin,
      path: 'exit',
      help: 'out of the last "edit", or out of configuration mode',
      run: async () => {
        if (state.levels.length === 1) return leave();
        state.levels.pop();
        return done();
      },
    },
    { ...admin, path: 'quit', help: 'out of configuration mode', run: async () => leave() },
    { ...admin, path: 'help', help: "how to find one's way", run: async () => done(helpText) },
  ];
}

function runVerb(runTree: TreeNode<Run>, line: () => string): Verb {
  return {
    path: 'run',
    help: 'a command of operational mode',
    role: 'admin',
    takes: { kind: 'command' },
    run: async (call) => {
      const found = resolve(runTree, call.words);
      const all = splitLine(line()).words;
      if (found.ok) return enter(found, line(), all, call);
      return lost(line(), all, { ...found, at: all.length - call.words.length + found.at });
    },
  };
}

const helpText = `?           what can stand here        Tab         complete the word
show ...    what there is              | json      the same as data
configure   edit the configuration; then set, delete, show, compare, commit, exit
Words may be shortened as long as they are clear. ^C stops a command, ^D or exit leaves.
`;
