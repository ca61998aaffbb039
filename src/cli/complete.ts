// What may stand at the cursor: words of the tree, values of arguments, places and names of the candidate. Serves "?"
// (with its help) and Tab (what can be typed).
import type { AnyCommand, Read } from '../engine/slice.ts';
import { namesAt, valueAt } from './document/value.ts';
import { describe, type Place } from './document/place.ts';
import { walk } from './document/path.ts';
import { pipeWords } from './pipe.ts';
import { levelOf, type Run, type State } from './verbs/state.ts';
import { argumentsOf, descend, fillArguments, type Argument, type Entry, type TreeNode } from './tree.ts';
import { quoteWord, splitLine, type Word } from './words.ts';

/** One thing that may stand here. A hint ("<1..4094>", "<enter>") can't be typed as it is. */
export interface Choice {
  readonly word: string;
  readonly help: string;
  readonly hint: boolean;
}

export interface Expected {
  /** Where the word under the cursor begins, and what of it is there. */
  readonly start: number;
  readonly partial: string;
  readonly choices: readonly Choice[];
}

export interface Around {
  readonly tree: TreeNode<Run>;
  /** The operational tree, behind "run". */
  readonly runTree: TreeNode<Run>;
  readonly state: State;
  readonly read: Read;
}

const enter: Choice = { word: '<enter>', help: 'run the command', hint: true };
const pipe: Choice = { word: '|', help: 'filter or reshape the output', hint: true };

/** The choices at the end of the text, those that begin like the word there. */
export async function expectAt(text: string, around: Around): Promise<Expected> {
  const line = splitLine(text);
  const segment = line.pipes.at(-1) ?? line.words;
  const under = /\s$/.test(text) ? undefined : segment.at(-1);
  const nothing: Expected = { start: text.length, partial: '', choices: [] };
  if (line.open || under?.literal) return nothing;
  const before = under ? segment.slice(0, -1) : segment;
  const all = line.pipes.length > 0 ? choicesOfPipe(before) : await choicesAt(around.tree, before, around, under);
  const partial = under?.text ?? '';
  const choices = all.filter((choice) =>
    choice.hint ? partial === '' || isPlaceholder(choice) : starts(choice, partial),
  );
  return { start: under?.start ?? text.length, partial, choices: unique(choices) };
}

/** "<value>" still holds while the word is being typed; "<enter>" does not. */
function isPlaceholder(choice: Choice): boolean {
  return choice !== enter && choice !== pipe;
}

function starts(choice: Choice, partial: string): boolean {
  return choice.word.startsWith(partial);
}

function unique(choices: readonly Choice[]): readonly Choice[] {
  const seen = new Set<string>();
  return choices.filter((choice) => !seen.has(choice.word) && seen.add(choice.word));
}

function choicesOfPipe(before: readonly Word[]): readonly Choice[] {
  const [first] = before;
  if (!first) return pipeWords.map(({ word, help }) => ({ word, help, hint: false }));
  const matches = pipeWords.filter(({ word }) => word === first.text || word.startsWith(first.text));
  const [only] = matches.length === 1 ? matches : [];
  if (only?.takes === undefined || before.length > 1) return [enter, pipe];
  return [{ word: only.takes, help: only.help, hint: true }];
}

async function choicesAt(
  tree: TreeNode<Run>,
  before: readonly Word[],
  around: Around,
  under: Word | undefined,
): Promise<readonly Choice[]> {
  const found = descend(tree, before);
  if (!found.ok) return [];
  const { node, used } = found;
  const rest = before.slice(used);
  const words: Choice[] = [];
  if (rest.length === 0) {
    for (const [word, child] of node.children) words.push({ word, help: child.help || groupOf(child), hint: false });
    words.sort((a, b) => (a.word < b.word ? -1 : 1));
  }
  if (!node.entry) return words;
  return [...words, ...(await choicesOf(node.entry, rest, around, under))];
}

/** A group without help of its own: the words below it. */
function groupOf(node: TreeNode<Run>): string {
  return [...node.children.keys()].slice(0, 6).join(', ');
}

async function choicesOf(
  entry: Entry<Run>,
  rest: readonly Word[],
  around: Around,
  under: Word | undefined,
): Promise<readonly Choice[]> {
  const { takes } = entry;
  if (takes.kind === 'command') return choicesAt(around.runTree, rest, around, under);
  if (takes.kind === 'place') return choicesOfPlace(rest, takes.value, around.state);
  const words = under ? [...rest, under] : rest;
  // The word under the cursor counts as typed only to find an argument named by the word before it.
  const { filled, pending } = fillArguments(takes.args, rest);
  if (pending && words.length >= rest.length) return choicesOfArgument(pending, takes.complete, around.read);
  const open = argumentsOf(takes.args).filter((argument) => !filled.has(argument.name) || argument.rest);
  const [next] = open;
  const ready = open.every((argument) => argument.optional || filled.has(argument.name));
  const ends = ready ? [enter, pipe] : [];
  if (!next) return ends;
  const values = await choicesOfArgument(next, takes.complete, around.read);
  const names = open
    .filter((argument) => argument.optional && !filled.has(argument.name) && (argument !== next || open.length > 1))
    .map((argument): Choice => ({ word: argument.name, help: argument.help, hint: false }));
  return [...values, ...names, ...ends];
}

async function choicesOfArgument(
  argument: Argument,
  complete: AnyCommand['complete'],
  read: Read,
): Promise<readonly Choice[]> {
  const { name, help, values } = argument;
  const known = values.length > 0 ? values : ((await complete?.(name, read)) ?? []);
  const choices = known.map((value): Choice => ({ word: quoteWord(value), help: '', hint: false }));
  if (values.length > 0) return choices.map((choice) => ({ ...choice, help }));
  return [{ word: `<${name}>`, help, hint: true }, ...choices];
}

function choicesOfPlace(rest: readonly Word[], value: 'set' | 'delete' | 'none', state: State): readonly Choice[] {
  const level = levelOf(state);
  const walked = walk(level.place, rest);
  if (!walked.ok) return [];
  const path = [...level.path, ...walked.path];
  const document = state.draft?.value;
  const { place } = walked;
  // A single value is complete; a list takes more.
  if (walked.rest.length > 0 && !place.item) return [enter];
  const here = namesAt(document, path);
  const choices: Choice[] = [];
  if (value === 'delete') {
    choices.push(...here.map((name) => ({ word: quoteWord(name), help: helpOf(place, name), hint: false })));
    return valueAt(document, path) === undefined || path.length === 0 ? choices : [...choices, enter];
  }
  for (const [word, next] of place.words) {
    const below = next();
    if (!below.hidden) choices.push({ word, help: describe(below), hint: false });
  }
  if (place.entries) {
    choices.push({ word: '<name>', help: describe(place.entries.place()) || 'a name', hint: true });
    choices.push(...here.map((name) => ({ word: quoteWord(name), help: '', hint: false })));
  }
  if (value === 'set') choices.push(...choicesOfValue(place, document));
  const complete = value === 'none' ? true : walked.rest.length > 0 || (path.length > 0 && !needsValue(place));
  return complete ? [...choices, enter] : choices;
}

function helpOf(place: Place, name: string): string {
  const next = place.words.get(name);
  return next ? describe(next()) : '';
}

function needsValue(place: Place): boolean {
  return place.words.size === 0 && !place.entries && !place.values.includes('true');
}

function choicesOfValue(place: Place, document: unknown): readonly Choice[] {
  const target = place.item ?? place;
  if (!target.leaf) return [];
  const help = describe(place.item && place.help === '' ? place.item : place);
  const choices = target.values.map((word): Choice => ({ word, help, hint: false }));
  const names = target.names ?? place.names;
  if (names !== undefined) {
    for (const word of namesAt(document, names.split('.')))
      choices.push({ word: quoteWord(word), help: '', hint: false });
  }
  const example = target.examples[0] ?? place.examples[0];
  if (target.values.length > 0 && example === undefined) return choices;
  return [{ word: example === undefined ? '<value>' : `<${example}>`, help, hint: true }, ...choices];
}

/** What Tab does: the text that replaces the word under the cursor, with a blank behind it where it is complete. */
export function completion(expected: Expected): string | undefined {
  const words = expected.choices.filter((choice) => !choice.hint).map((choice) => choice.word);
  const [first, ...others] = words;
  if (first === undefined) return undefined;
  if (others.length === 0) return `${first} `;
  let common = first;
  for (const word of others) while (!word.startsWith(common)) common = common.slice(0, -1);
  return common.length > expected.partial.length ? common : undefined;
}

/** The choices as "?" lists them. */
export function printChoices(expected: Expected, columns: number): string {
  const { choices } = expected;
  if (choices.length === 0) return '  nothing is known here\n';
  const width = Math.min(32, Math.max(...choices.map((choice) => choice.word.length)));
  return choices
    .map(({ word, help }) => {
      const line = `  ${word.padEnd(width)}  ${help}`.trimEnd();
      return `${line.length > columns ? `${line.slice(0, columns - 1)}…` : line}\n`;
    })
    .join('');
}
