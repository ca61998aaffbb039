// zod's issues in the words of the people who write documents: what was expected, what stands there, what was meant.
//
// Schemas run through zod's core, whose raw issues still know the schema that raised them: from it come the known words
// for a hint, and the branches of a union, which are judged again here to tell the one that was meant.
import { z } from 'zod';
import { nearest } from '../lib/compare/nearest.ts';
import type { Path } from './path.ts';

/** One thing wrong in a value, before it has a position. */
export interface Finding {
  readonly path: Path;
  /** Whether the key at the path is wrong, or its value. */
  readonly part: 'key' | 'value';
  readonly message: string;
  readonly hint?: string;
}

type Raw = z.core.$ZodRawIssue;
type Schema = z.core.$ZodType;

/** Parses the value: the result, or everything that is wrong with it. The schema must not be asynchronous. */
export function judge(schema: Schema, value: unknown): { readonly value: unknown } | { readonly findings: Finding[] } {
  const { value: result, issues } = run(schema, value);
  return issues.length === 0 ? { value: result } : { findings: issues.flatMap((issue) => explain(issue)) };
}

function run(schema: Schema, value: unknown): { value: unknown; issues: Raw[] } {
  const payload = schema._zod.run({ value, issues: [] }, { async: false });
  if (payload instanceof Promise) throw new Error('a schema of the document is asynchronous');
  return payload;
}

function explain(issue: Raw): Finding[] {
  const path = (issue.path ?? []).map((step) => (typeof step === 'number' ? step : String(step)));
  if (issue.code === 'unrecognized_keys') return issue.keys.map((key) => unknownKey(path, key, issue));
  if (issue.code === 'invalid_union') return explainUnion(path, issue);
  if (issue.code === 'invalid_key') return explainKey(path, issue);
  return [{ path, part: 'value', ...words(issue) }];
}

function unknownKey(path: Path, key: string, issue: Raw): Finding {
  return unknown([...path, key], key, knownKeys(issue));
}

function unknown(path: Path, key: string, known: readonly string[]): Finding {
  return { path, part: 'key', message: `"${key}" is not known here`, ...meant(key, known) };
}

const knownKeys = ({ inst }: Raw): readonly string[] => wordsOf(inst);

function wordsOf(schema: unknown): readonly string[] {
  return schema instanceof z.core.$ZodObject ? Object.keys(schema._zod.def.shape) : [];
}

/** The key of a map that was probably meant as `word`. */
function misspeltKey(word: string, input: unknown): string | undefined {
  if (typeof input !== 'object' || input === null) return undefined;
  return Object.keys(input).find((key) => nearest(key, [word]) !== undefined);
}

function explainKey(path: Path, issue: Raw): Finding[] {
  const { inst } = issue;
  const key = String(path.at(-1) ?? '');
  if (!(inst instanceof z.core.$ZodRecord)) return [{ path, part: 'key', message: `"${key}" can't stand here` }];
  const { issues } = run(inst._zod.def.keyType, key);
  return issues.slice(0, 1).map((inner) => {
    const { message, hint } = words(inner);
    return { path, part: 'key', message: `as a key: ${message}`, ...(hint === undefined ? {} : { hint }) };
  });
}

/** What is wrong for the branch of the union that was probably meant. */
function explainUnion(path: Path, issue: Raw): Finding[] {
  const { inst, input } = issue;
  if (!(inst instanceof z.core.$ZodUnion))
    return [{ path, part: 'value', message: 'is none of the forms allowed here' }];
  if (inst instanceof z.core.$ZodDiscriminatedUnion) {
    const { discriminator } = inst._zod.def;
    const options = [...(inst._zod.propValues?.[discriminator] ?? [])];
    const given = typeof input === 'object' && input !== null ? Reflect.get(input, discriminator) : undefined;
    const misspelt = given === undefined ? misspeltKey(discriminator, input) : undefined;
    const map = path.at(-1) === discriminator ? path.slice(0, -1) : path;
    if (misspelt !== undefined) return [unknown([...map, misspelt], misspelt, [discriminator])];
    return [{ path, part: 'value', ...choice(options, given) }];
  }
  const options = leaves(inst);
  const branches = options.map((option) => run(option, input).issues);
  const closest = closestBranches(branches, input, new Set(options.flatMap(wordsOf)));
  const first = closest[0] ?? [];
  const found =
    closest.length > 1 && closest.every((issues) => issues.length === 1 && atRoot(issues[0]))
      ? [{ path: [], part: 'value' as const, ...together(closest.flat()) }]
      : first.flatMap((inner) => explain(inner));
  return found.map((finding) => ({ ...finding, path: [...path, ...finding.path] }));
}

/** The branches of a union, with those of unions inside it. */
function leaves(union: z.core.$ZodUnion): readonly Schema[] {
  return union._zod.def.options.flatMap((option: Schema) =>
    option instanceof z.core.$ZodUnion && !(option instanceof z.core.$ZodDiscriminatedUnion)
      ? leaves(option)
      : [option],
  );
}

function atRoot(issue: Raw | undefined): boolean {
  return issue?.path === undefined || issue.path.length === 0;
}

/** Branches of the input's own type before others; of these, those that understood most of it. `known` are the words of
 * all of them. */
function closestBranches(branches: readonly Raw[][], input: unknown, known: ReadonlySet<string>): readonly Raw[][] {
  const sameType = branches.filter((issues) => !issues.some((issue) => atRoot(issue) && isOtherType(issue, input)));
  const candidates = sameType.length > 0 ? sameType : branches;
  // What is nearly a word of the branch, and no word of another, speaks for it.
  const speaks = (key: string, issue: Raw): boolean => !known.has(key) && nearest(key, knownKeys(issue)) !== undefined;
  const strange = (issue: Raw): number =>
    issue.code === 'unrecognized_keys' ? issue.keys.filter((key) => !speaks(key, issue)).length : 1;
  const strangers = (issues: readonly Raw[]): number => issues.reduce((sum, issue) => sum + strange(issue), 0);
  const least = Math.min(...candidates.map(strangers));
  const best = candidates.filter((issues) => strangers(issues) === least);
  const scalar = typeof input !== 'object' || input === null;
  return scalar ? candidates : best;
}

function isOtherType(issue: Raw, input: unknown): boolean {
  if (issue.code === 'invalid_type') return true;
  return issue.code === 'invalid_value' && issue.values.every((value) => typeof value !== typeof input);
}

/** One message for scalar branches that all refused: types and words are listed, other reasons joined. */
function together(issues: readonly Raw[]): { message: string; hint?: string } {
  const input = issues[0]?.input;
  const values = issues.flatMap((issue) => (issue.code === 'invalid_value' ? issue.values : []));
  const types = issues.flatMap((issue) => (issue.code === 'invalid_type' ? [typeWord(issue.expected)] : []));
  if (values.length + types.length === 0) {
    const all = issues.map((issue) => words(issue));
    const hint = all.find((each) => each.hint !== undefined)?.hint;
    return { message: [...new Set(all.map((each) => each.message))].join('; or '), ...(hint && { hint }) };
  }
  if (types.length === 0) {
    const others = issues.filter((issue) => issue.code !== 'invalid_value').map((issue) => words(issue).message);
    const main = choice(values, input);
    return { ...main, message: [main.message, ...others].join('; or ') };
  }
  const names = [...new Set([...types, ...values.map((value) => show(value))])];
  return { message: mustBe(names.join(' or '), input) };
}

function words(issue: Raw): { message: string; hint?: string } {
  const own = ownMessage(issue);
  if (own !== undefined) {
    const suggestion: unknown = issue.code === 'custom' ? issue.params?.['meant'] : undefined;
    return typeof suggestion === 'string' ? { message: own, hint: `did you mean ${suggestion}?` } : { message: own };
  }
  switch (issue.code) {
    case 'invalid_type':
      return wrongType(issue.expected, issue.input);
    case 'invalid_value':
      return choice(issue.values, issue.input);
    case 'too_small':
      return { message: bound('at least', issue.origin, issue.minimum, issue.inclusive !== false, issue.input) };
    case 'too_big':
      return { message: bound('at most', issue.origin, issue.maximum, issue.inclusive !== false, issue.input) };
    case 'not_multiple_of':
      return { message: `must be a multiple of ${issue.divisor}, not ${show(issue.input)}` };
    case 'invalid_format':
      return { message: `${show(issue.input)} is not written as ${format(issue)}` };
    default:
      return { message: 'is not allowed here' };
  }
}

/** The message that the schema's author gave, if one was given. */
function ownMessage(issue: Raw): string | undefined {
  if (issue.message !== undefined) return issue.message;
  const message = z.core.util.finalizeIssue({ ...issue }, undefined, { localeError: () => '' }).message;
  return message === '' || message === 'Invalid input' ? undefined : message;
}

function wrongType(expected: string, input: unknown): { message: string; hint?: string } {
  const message = mustBe(typeWord(expected), input);
  const hint = typeHint(expected, input);
  return hint === undefined ? { message } : { message, hint };
}

function typeHint(expected: string, input: unknown): string | undefined {
  const map = expected === 'object' || expected === 'record';
  if (input === null && map) return 'write {} for an entry without settings';
  if (expected === 'string' && (typeof input === 'number' || typeof input === 'boolean'))
    return `write "${input}" in quotes`;
  if (expected === 'array' && (typeof input === 'string' || typeof input === 'number')) return `write [${input}]`;
  if (typeof input !== 'string') return undefined;
  if (expected === 'boolean') {
    if (/^(yes|on|true|y|enabled?)$/i.test(input)) return 'write true';
    return /^(no|off|false|n|disabled?)$/i.test(input) ? 'write false' : undefined;
  }
  const number = expected === 'number' || expected === 'int';
  return number && /^-?[0-9]+(\.[0-9]+)?$/.test(input) ? `write ${input} without quotes` : undefined;
}

const typeWords: Readonly<Record<string, string>> = {
  string: 'text',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  object: 'a map',
  record: 'a map',
  array: 'a list',
  tuple: 'a list',
  null: 'empty',
};

function typeWord(expected: string): string {
  return typeWords[expected] ?? expected;
}

function choice(values: readonly unknown[], input: unknown): { message: string; hint?: string } {
  const list = [...new Set(values)].map((value) => (typeof value === 'string' ? value : show(value)));
  const shown = list.length > 12 ? `${list.slice(0, 12).join(', ')}, ... (${list.length} in all)` : list.join(', ');
  const message = mustBe(list.length === 1 ? shown : `one of ${shown}`, input);
  const suggestion = typeof input === 'string' ? nearest(input, list) : undefined;
  return suggestion === undefined ? { message } : { message, hint: `did you mean "${suggestion}"?` };
}

function mustBe(what: string, input: unknown): string {
  return input === undefined ? `is missing; it must be ${what}` : `must be ${what}, not ${show(input)}`;
}

function bound(word: string, origin: string, limit: unknown, inclusive: boolean, input: unknown): string {
  const edge = inclusive
    ? `${word} ${String(limit)}`
    : `${word === 'at least' ? 'more' : 'less'} than ${String(limit)}`;
  const plural = Number(limit) === 1 ? '' : 's';
  if (origin === 'string') return `must have ${edge} character${plural}, not ${String(input).length}`;
  if (origin === 'array' || origin === 'set' || origin === 'map' || origin === 'object') {
    const entries = typeof input === 'object' && input !== null ? Object.keys(input).length : 0;
    return `must have ${edge} ${Number(limit) === 1 ? 'entry' : 'entries'}, not ${entries}`;
  }
  return `must be ${edge}, not ${show(input)}`;
}

function format(issue: z.core.$ZodRawIssue<z.core.$ZodIssueInvalidStringFormat>): string {
  if ('pattern' in issue && issue.format === 'regex') return `${String(issue.pattern)} asks`;
  if ('prefix' in issue) return `text that begins with "${String(issue.prefix)}"`;
  return issue.format;
}

/** A value as it may stand in a message: short, on one line. */
function show(value: unknown): string {
  if (value === null || value === undefined) return 'empty';
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'object') return 'a map';
  const text = JSON.stringify(value) ?? 'something';
  return text.length > 64 ? `${text.slice(0, 60)}..."` : text;
}

/** The hint for an unknown word: the nearest known one, or all of them where they are few. */
export function meant(word: string, known: readonly string[]): { hint?: string } {
  const suggestion = nearest(word, known);
  if (suggestion !== undefined) return { hint: `did you mean "${suggestion}"?` };
  if (known.length === 0) return {};
  return known.length <= 10 ? { hint: `known here: ${known.join(', ')}` } : {};
}
