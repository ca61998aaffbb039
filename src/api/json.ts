// Where JSON text goes wrong: V8 says what, but not always where.

const number = String.raw`-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?`;
const token = new RegExp(
  String.raw`\s*(?:([{}[\],:])|("(?:[^"\\]+|\\[^])*")|((?:${number}|true|false|null)(?![\w.])))`,
  'y',
);

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
