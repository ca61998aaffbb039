// Where JSON text goes wrong: V8 says what, but not always where.

const number = String.raw`-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?`;
const token = new RegExp(
  String.raw`\s*(?:([{}[\],:])|("(?:[^"\\]|\\[^])*")|((?:${number}|true|false|null)(?![\w.])))`,
  'y',
);

/** Texts up to this length are searched for the place of a fault; of longer ones V8's own word has to do. */
export const mostSearched = 64 * 1024;

const deepest = 200;

/** Whether brackets are nested deeper than anything that is read here: JSON.parse takes seconds for millions. */
export function isTooDeep(source: string): boolean {
  let depth = 0;
  let quoted = false;
  for (let at = 0; at < source.length; at += 1) {
    const code = source.charCodeAt(at);
    if (code === 0x22) quoted = !quoted;
    else if (quoted && code === 0x5c) at += 1;
    else if (!quoted && (code === 0x5b || code === 0x7b)) depth += 1;
    else if (!quoted && (code === 0x5d || code === 0x7d)) depth -= 1;
    if (depth > deepest) return true;
  }
  return false;
}

/** The place in a message of JSON.parse; the first column of the first line where it names none. */
export function placeInMessage(message: string): { readonly line: number; readonly column: number } {
  const [, line = '1', column = '1'] = /\(line (\d+) column (\d+)\)/.exec(message) ?? [];
  return { line: Number(line), column: Number(column) };
}

type Wanted = 'value' | 'value-or-end' | 'key' | 'key-or-end' | 'colon' | 'comma-or-end' | 'nothing';

/** Line and column, from 1, of the first token that can't stand where it is; of the end of a text that is cut off. */
export function placeOfFault(source: string): { readonly line: number; readonly column: number } {
  const before = source.slice(0, offsetOfFault(source));
  const lineStart = before.lastIndexOf('\n') + 1;
  return { line: before.split('\n').length, column: before.length - lineStart + 1 };
}

function offsetOfFault(source: string): number {
  const open: string[] = [];
  let wanted: Wanted = 'value';
  token.lastIndex = 0;
  for (;;) {
    const from = token.lastIndex;
    const match = token.exec(source);
    if (!match) return from + source.slice(from).search(/\S|$/);
    const next = step(wanted, match[1] ?? (match[2] === undefined ? 'scalar' : 'string'), open);
    if (!next) return match.index + match[0].length - match[0].trimStart().length;
    wanted = next;
  }
}

/** What may follow; undefined where the token does not fit. */
function step(wanted: Wanted, found: string, open: string[]): Wanted | undefined {
  const ends = wanted === 'comma-or-end' || wanted.endsWith('-or-end');
  if (found === '}' || found === ']') {
    const opener = found === '}' ? '{' : '[';
    if (!ends || open.pop() !== opener) return undefined;
    return afterValue(open);
  }
  if (found === ',') return wanted !== 'comma-or-end' ? undefined : open.at(-1) === '{' ? 'key' : 'value';
  if (found === ':') return wanted === 'colon' ? 'value' : undefined;
  if (wanted === 'key' || wanted === 'key-or-end') return found === 'string' ? 'colon' : undefined;
  if (wanted !== 'value' && wanted !== 'value-or-end') return undefined;
  if (found !== '{' && found !== '[') return afterValue(open);
  open.push(found);
  return found === '{' ? 'key-or-end' : 'value-or-end';
}

function afterValue(open: readonly string[]): Wanted {
  return open.length === 0 ? 'nothing' : 'comma-or-end';
}
