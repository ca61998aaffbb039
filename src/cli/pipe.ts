// What stands behind "|": the form of the answer, then filters over its lines.
import { runInNewContext } from 'node:vm';
import { stringify } from 'yaml';
import type { Word } from './words.ts';

export interface PipeHelp {
  readonly word: string;
  readonly help: string;
  /** What stands behind it. */
  readonly takes?: string;
}

/** All pipes, as "?" lists them. */
export const pipeWords: readonly PipeHelp[] = [
  { word: 'compare', help: 'what differs from the running configuration (after "show" in configuration mode)' },
  { word: 'count', help: 'number of lines' },
  { word: 'exclude', help: 'lines that the pattern does not match', takes: '<regular expression>' },
  { word: 'include', help: 'lines that the pattern matches', takes: '<regular expression>' },
  { word: 'json', help: 'the data as JSON, as the API gives it' },
  { word: 'no-more', help: 'without a pause after each page' },
  { word: 'yaml', help: 'the data as YAML' },
];

export type Filter = { readonly kind: 'include' | 'exclude'; readonly pattern: RegExp } | { readonly kind: 'count' };

export interface Pipes {
  readonly form: 'text' | 'json' | 'yaml' | 'compare';
  readonly page: boolean;
  readonly filters: readonly Filter[];
}

export type PipesRead = { readonly ok: true; readonly pipes: Pipes } | { readonly ok: false; readonly message: string };

const longestPattern = 1000;

/** Reads the pipes of a line. The form must come first; unique beginnings are enough. */
export function readPipes(parts: readonly (readonly Word[])[]): PipesRead {
  let form: Pipes['form'] = 'text';
  let page = true;
  const filters: Filter[] = [];
  for (const words of parts) {
    const name = pipeName(words);
    if (!name.ok) return name;
    const rest = words.slice(1);
    if (name.word === 'include' || name.word === 'exclude') {
      const pattern = patternOf(rest);
      if (!pattern.ok) return pattern;
      filters.push({ kind: name.word, pattern: pattern.pattern });
    } else if (rest.length > 0) {
      return { ok: false, message: `| ${name.word} takes nothing behind it` };
    } else if (name.word === 'count') {
      filters.push({ kind: 'count' });
    } else if (name.word === 'no-more') {
      page = false;
    } else if (form !== 'text' || filters.length > 0) {
      return { ok: false, message: `| ${name.word} must come first, and only one form can be asked for` };
    } else {
      form = name.word as Pipes['form'];
    }
  }
  return { ok: true, pipes: { form, page, filters } };
}

function pipeName(words: readonly Word[]): { ok: true; word: string } | { ok: false; message: string } {
  const [first] = words;
  const known = pipeWords.map((pipe) => pipe.word);
  if (!first) return { ok: false, message: `a word is missing after "|": one of ${known.join(', ')}` };
  if (known.includes(first.text)) return { ok: true, word: first.text };
  const matches = known.filter((word) => word.startsWith(first.text));
  const [only] = matches;
  if (only !== undefined && matches.length === 1) return { ok: true, word: only };
  const why = matches.length > 1 ? 'ambiguous' : 'unknown';
  const list = (matches.length > 1 ? matches : known).join(', ');
  return { ok: false, message: `| ${first.text}: ${why}; one of ${list}` };
}

/** Several words are one pattern with blanks between them. */
function patternOf(words: readonly Word[]): { ok: true; pattern: RegExp } | { ok: false; message: string } {
  const source = words.map((word) => word.text).join(' ');
  if (source === '') return { ok: false, message: 'a pattern is missing' };
  if (source.length > longestPattern)
    return { ok: false, message: `a pattern has at most ${longestPattern} characters` };
  try {
    return { ok: true, pattern: new RegExp(source, 'u') };
  } catch (error) {
    return { ok: false, message: (error as Error).message };
  }
}

/** JSON of command data; bigints as numbers where they are exact, else as text. */
export function printJson(data: unknown, indent = 2): string {
  return JSON.stringify(data, plainBigint, indent) ?? 'null';
}

function plainBigint(_key: string, value: unknown): unknown {
  if (typeof value !== 'bigint') return value;
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : String(value);
}

/** YAML of command data. */
export function printYaml(data: unknown): string {
  return stringify(JSON.parse(printJson(data, 0)), { lineWidth: 0 });
}

const filterTimeoutMs = 250;

/** The text behind the filters; a problem's message where a pattern takes too long. */
export function applyFilters(text: string, filters: readonly Filter[]): { text: string } | { message: string } {
  let lines = text.split('\n');
  if (lines.at(-1) === '') lines.pop();
  for (const filter of filters) {
    if (filter.kind === 'count') {
      lines = [`Count: ${lines.length} lines`];
      continue;
    }
    const kept = keepLines(lines, filter.pattern, filter.kind === 'include');
    if (!kept) return { message: 'the pattern takes too long: it backtracks without end on some line' };
    lines = kept;
  }
  return { text: lines.length === 0 ? '' : `${lines.join('\n')}\n` };
}

/** A pattern comes from outside and could hold the daemon's only main thread for ever: the VM's watchdog ends it. */
function keepLines(lines: readonly string[], pattern: RegExp, keep: boolean): string[] | undefined {
  try {
    const kept: string[] = runInNewContext(
      'lines.filter((line) => pattern.test(line) === keep)',
      { lines, pattern, keep },
      { timeout: filterTimeoutMs },
    );
    return [...kept];
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ERR_SCRIPT_EXECUTION_TIMEOUT') return undefined;
    throw error;
  }
}
