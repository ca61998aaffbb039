// The verbs of configuration mode that edit and show the candidate.
import { z } from 'zod';
import { compareTo, compareValues, deleteValue, setValue, textOf, yamlAt, type Draft } from '../document/candidate.ts';
import { valueAt, valueOf } from '../document/value.ts';
import { lost } from '../answers.ts';
import { readValue, walk, type Walked } from '../document/path.ts';
import {
  done,
  draftIn,
  levelOf,
  refused,
  type Call,
  type Result,
  type SessionOptions,
  type State,
  type Verb,
} from './state.ts';
import type { Takes } from '../tree.ts';
import { splitLine, type Word } from '../words.ts';

/** Verbs without arguments take these. */
export const noArguments: Takes = { kind: 'arguments', args: z.object({}) };

/** `set delete edit up top show compare`, on the state's candidate. `line` gives the line being run, for messages. */
export function editingVerbs(state: State, options: SessionOptions, line: () => string): readonly Verb[] {
  const verb = (path: string, help: string, takes: Takes, run: (call: Call) => Result): Verb => ({
    path,
    help,
    role: 'admin',
    takes,
    run: async (call) => run(call),
  });
  const at = (call: Call, then: (walked: Walked, path: readonly string[]) => Result): Result => {
    const level = levelOf(state);
    const walked = walk(level.place, call.words);
    if (walked.ok) return then(walked, [...level.path, ...walked.path]);
    return notFound(line(), call.words, walked.at, walked);
  };
  return [
    verb('set', 'set a value, or append to a list', { kind: 'place', value: 'set' }, (call) =>
      at(call, (walked, path) => {
        if (path.length === 0) return refused('set what? a path and a value are expected');
        const read = readValue(walked.place, walked.rest);
        if (read.ok) return trySet(state, path, read.value, walked.place.item !== undefined);
        return notFound(line(), call.words, call.words.length - walked.rest.length, { ...read, options: [] });
      }),
    ),
    verb('delete', 'take a value, an entry or a section away', { kind: 'place', value: 'delete' }, (call) =>
      at(call, ({ rest }, path) => remove(state, path, rest)),
    ),
    verb('edit', 'go to a place, so that paths start there', { kind: 'place', value: 'none' }, (call) =>
      at(call, (walked, path) => goTo(state, walked, path)),
    ),
    verb('up', 'one level up', noArguments, () => goUp(state)),
    verb('top', 'to the top of the document', noArguments, () => {
      state.levels.splice(1);
      return done();
    }),
    verb('show', 'the candidate, or a part of it', { kind: 'place', value: 'none' }, (call) =>
      at(call, (walked, path) => {
        if (walked.rest.length > 0) return refused('a path without a value is expected');
        return showDraft(draftIn(state), path);
      }),
    ),
    verb('compare', 'what the candidate changes, against its base or revision N', compareTakes, ({ args }) =>
      compare(draftIn(state), (args as { revision?: number }).revision, options),
    ),
  ];
}

function remove(state: State, path: readonly string[], rest: readonly Word[]): Result {
  if (path.length === 0) return refused('delete what? a path is expected');
  const items = rest.map((word) => word.text);
  const next = deleteValue(draftIn(state), path, items);
  if (!next) return refused(`there is no ${[...path, ...items].join(' ')}`);
  state.draft = next;
  return done();
}

function goTo(state: State, { place, rest, path: steps }: Walked, path: readonly string[]): Result {
  if (rest.length > 0 || (place.words.size === 0 && !place.entries)) return refused('nothing can be edited below this');
  if (steps.length > 0) state.levels.push({ path, place });
  return done();
}

function compare(draft: Draft, revision: number | undefined, { engine }: SessionOptions): Result {
  const from = revision === undefined ? draft.base : engine.revision(revision);
  if (!from) return refused(`there is no revision ${revision}`);
  return done(compareTo(from.document, draft) || 'no changes\n');
}

const compareTakes: Takes = {
  kind: 'arguments',
  args: z.object({ revision: z.int().min(1).optional().meta({ description: 'a revision of "show history"' }) }),
};

function trySet(state: State, path: readonly string[], value: unknown, append: boolean): Result {
  try {
    state.draft = setValue(draftIn(state), path, value, append);
    return done();
  } catch (error) {
    // The document has a single value where the path goes on, as a union allows.
    if (error instanceof RangeError) return refused(`${error.message}: delete it first`);
    throw error;
  }
}

function showDraft(draft: Draft, path: readonly string[]): Result {
  return {
    exitCode: 0,
    data: valueAt(draft.value, path) ?? null,
    text: () => (path.length === 0 ? textOf(draft) : yamlAt(draft.value, path)),
    compare: () =>
      path.length === 0
        ? compareTo(draft.base.document, draft)
        : compareValues(valueAt(valueOf(draft.base.document), path), valueAt(draft.value, path)),
  };
}

function goUp(state: State): Result {
  const { path } = levelOf(state);
  if (path.length === 0) return refused('this is the top');
  const [root = levelOf(state)] = state.levels;
  // A name and its entry are one step for the writer, so up goes to the nearest place where something can be edited.
  for (let length = path.length - 1; length >= 0; length -= 1) {
    const walked = walk(root.place, path.slice(0, length).map(literal));
    if (!walked.ok || (walked.place.words.size === 0 && !walked.place.entries)) continue;
    while (levelOf(state).path.length > length) state.levels.pop();
    if (levelOf(state).path.length < length) state.levels.push({ path: path.slice(0, length), place: walked.place });
    return done();
  }
  return done();
}

/** A path's element as a word: words of the document are found by their text. */
function literal(text: string): Word {
  return { text, literal: false, start: 0 };
}

function notFound(
  line: string,
  words: readonly Word[],
  at: number,
  why: { readonly message: string; readonly options: readonly string[] },
): Result {
  const all = splitLine(line).words;
  return lost(line, all, { at: all.length - words.length + at, message: why.message, options: why.options });
}
