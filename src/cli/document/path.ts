// From words to a path in the document and the value behind it.
import { z } from 'zod';
import { parse } from 'yaml';
import type { Place } from './place.ts';
import type { Word } from '../words.ts';

/** Words that lead to a place; `rest` are the value's words. */
export interface Walked {
  readonly ok: true;
  readonly path: readonly string[];
  readonly place: Place;
  readonly rest: readonly Word[];
}

/** `at` is the word that doesn't fit; `options` what would. */
export interface Lost {
  readonly ok: false;
  readonly at: number;
  readonly message: string;
  readonly options: readonly string[];
}

/** Follows words from a place: exact ones, unique beginnings of fixed words, and names where a record is. */
export function walk(from: Place, words: readonly Word[]): Walked | Lost {
  const path: string[] = [];
  let place = from;
  for (const [index, word] of words.entries()) {
    const last = index === words.length - 1;
    const step = stepFrom(place, word, last);
    if (step === 'value') return { ok: true, path, place, rest: words.slice(index) };
    if (!('place' in step)) return { ok: false, at: index, ...step };
    path.push(step.name);
    place = step.place;
  }
  return { ok: true, path, place, rest: [] };
}

type Step = { name: string; place: Place } | { message: string; options: readonly string[] } | 'value';

function stepFrom(place: Place, word: Word, last: boolean): Step {
  const exact = word.literal ? undefined : place.words.get(word.text);
  if (exact) return { name: word.text, place: exact() };
  const takesValue = place.leaf || place.item !== undefined;
  // A value or a name may begin like a fixed word: then only words with something behind them are abbreviations.
  if (!word.literal && !place.entries && !(takesValue && last)) {
    const matches = [...place.words.keys()].filter((known) => known.startsWith(word.text));
    const [name = ''] = matches;
    const next = matches.length === 1 ? place.words.get(name) : undefined;
    if (next) return { name, place: next() };
    if (matches.length > 1 && !takesValue) return { message: 'ambiguous', options: matches };
  }
  if (isYaml(word)) return 'value';
  if (place.entries) {
    const key = z.safeParse(place.entries.key, word.text);
    if (key.success) return { name: word.text, place: place.entries.place() };
    return { message: `no valid name: ${firstMessage(key.error)}`, options: [] };
  }
  if (takesValue) return 'value';
  return { message: 'unknown word', options: [...place.words.keys()] };
}

function isYaml(word: Word): boolean {
  return word.literal && /^[[{]/.test(word.text);
}

export type ValueRead =
  | { readonly ok: true; readonly value: unknown }
  | { readonly ok: false; readonly message: string };

/** The value that the words give at a place, in the form that the document holds it. No words: an empty entry, or true
 * for a flag. Where a list is, the value is an array of what to append. */
export function readValue(place: Place, words: readonly Word[]): ValueRead {
  const [first] = words;
  if (first === undefined) return emptyValue(place);
  if (words.length === 1 && isYaml(first)) return readYaml(place, first.text);
  if (place.item) return readItems(place.item, words);
  if (words.length > 1) return { ok: false, message: 'one value is expected here: quote it where it has blanks' };
  return readScalar(place, first);
}

function emptyValue(place: Place): ValueRead {
  if (place.values.includes('true') && z.safeParse(place.schema, true).success) return { ok: true, value: true };
  if (place.words.size > 0 || place.entries) return { ok: true, value: {} };
  return { ok: false, message: 'a value is missing' };
}

function readItems(item: Place, words: readonly Word[]): ValueRead {
  const values: unknown[] = [];
  for (const word of words) {
    const read = isYaml(word) ? readYaml(item, word.text) : readScalar(item, word);
    if (!read.ok) return read;
    values.push(read.value);
  }
  return { ok: true, value: values };
}

function readYaml(place: Place, text: string): ValueRead {
  let value: unknown;
  try {
    value = parse(text, { maxAliasCount: 0 });
  } catch (error) {
    return { ok: false, message: `not YAML: ${(error as Error).message.split('\n')[0]}` };
  }
  return accepted(place, [value]);
}

/** An unquoted word means what it means in YAML (10 is a number) where the schema takes that, else the text. */
function readScalar(place: Place, word: Word): ValueRead {
  const typed = word.literal ? undefined : typedScalar(word.text);
  return accepted(place, typed === undefined ? [word.text] : [typed, word.text]);
}

function typedScalar(text: string): number | boolean | undefined {
  if (text === 'true') return true;
  if (text === 'false') return false;
  return /^[-+]?(\d+\.?\d*|\.\d+)$/.test(text) ? Number(text) : undefined;
}

function accepted(place: Place, values: readonly unknown[]): ValueRead {
  const errors: z.core.$ZodError[] = [];
  for (const value of values) {
    const result = z.safeParse(place.schema, value);
    if (result.success) return { ok: true, value };
    errors.push(result.error);
  }
  const message = tellingMessage(errors);
  const known = place.values.length > 0 ? `; one of ${place.values.join(', ')}` : '';
  const example = known === '' && place.examples.length > 0 ? `; like ${place.examples.join(' or ')}` : '';
  return { ok: false, message: `${message}${known}${example}` };
}

/** Of the errors of several readings of one word: one that is about the value, not about its type. */
export function tellingMessage(errors: readonly z.core.$ZodError[]): string {
  const about = errors.find((error) => error.issues[0]?.code !== 'invalid_type') ?? errors.at(-1);
  return about ? firstMessage(about) : 'not accepted';
}

/** The most telling message of a zod error: of a union, those of its alternatives. */
export function firstMessage(error: z.core.$ZodError): string {
  const [issue] = error.issues;
  if (!issue) return 'not accepted';
  if (issue.code !== 'invalid_union') return withPath(issue.path, issue.message);
  const messages = issue.errors.flatMap((branch) => branch.slice(0, 1)).map((inner) => inner.message);
  const unlike = messages.filter((message) => !message.startsWith('Invalid input: expected object'));
  return [...new Set(unlike.length > 0 ? unlike : messages)].join(', or ') || issue.message;
}

function withPath(path: readonly PropertyKey[], message: string): string {
  return path.length === 0 ? message : `${path.map(String).join('.')}: ${message}`;
}
