// A line as the CLI reads it: words, quoted text, bracketed YAML values, "|" between a command and its pipes, ";"
// between commands. Positions are kept, so that Tab and "?" know the word under the cursor.

export interface Word {
  readonly text: string;
  /** Quoted or bracketed: never a keyword, never completed. */
  readonly literal: boolean;
  readonly start: number;
}

/** The words of one command and of each pipe behind it. */
export interface Line {
  readonly words: readonly Word[];
  readonly pipes: readonly (readonly Word[])[];
  /** The line ends inside a quote or a bracket. */
  readonly open?: 'quote' | 'bracket';
}

export const maxLineLength = 64 * 1024;

const closers: Readonly<Record<string, string>> = { '[': ']', '{': '}' };

/** Splits a line; an empty line, or one that begins with "#" or "!", has no words. */
export function splitLine(text: string): Line {
  const first = text.trimStart()[0];
  if (first === '#' || first === '!') return { words: [], pipes: [] };
  const parts: Word[][] = [[]];
  let at = 0;
  let open: Line['open'];
  while (at < text.length) {
    const char = text.charAt(at);
    if (/\s/.test(char)) {
      at += 1;
    } else if (char === '|') {
      parts.push([]);
      at += 1;
    } else {
      const word = readWord(text, at);
      parts.at(-1)?.push({ text: word.text, literal: word.literal, start: at });
      open = word.open;
      at = word.end;
    }
  }
  const [words = [], ...pipes] = parts;
  return open === undefined ? { words, pipes } : { words, pipes, open };
}

interface Piece {
  text: string;
  literal: boolean;
  end: number;
  open?: Line['open'];
}

function readWord(text: string, start: number): Piece {
  const char = text.charAt(start);
  if (char === '"' || char === "'") return readQuoted(text, start, char);
  if (char in closers) return readBracketed(text, start);
  let end = start;
  while (end < text.length && !/[\s|]/.test(text.charAt(end))) end += 1;
  return { text: text.slice(start, end), literal: false, end };
}

/** In double quotes a backslash keeps the next character; single quotes keep all. */
function readQuoted(text: string, start: number, quote: string): Piece {
  let value = '';
  let at = start + 1;
  while (at < text.length && text[at] !== quote) {
    if (quote === '"' && text[at] === '\\' && at + 1 < text.length) at += 1;
    value += text[at];
    at += 1;
  }
  const piece: Piece = { text: value, literal: true, end: Math.min(at + 1, text.length) };
  if (at >= text.length) piece.open = 'quote';
  return piece;
}

function readBracketed(text: string, start: number): Piece {
  const wanted: string[] = [];
  let at = start;
  while (at < text.length) {
    const char = text.charAt(at);
    const closer = closers[char];
    if (char === '"' || char === "'") at = readQuoted(text, at, char).end - 1;
    else if (closer !== undefined) wanted.push(closer);
    else if (char === wanted.at(-1)) wanted.pop();
    at += 1;
    if (wanted.length === 0) return { text: text.slice(start, at), literal: true, end: at };
  }
  return { text: text.slice(start), literal: true, end: at, open: 'bracket' };
}

/** The commands of a text: one a line, or several in a line, each but the last with a ";" behind it. A ";" inside
 * quotes or a word separates nothing. */
export function splitCommands(text: string): readonly string[] {
  const commands: string[] = [];
  for (const line of text.split(/\r\n|\r|\n/)) {
    let from = 0;
    for (const part of [splitLine(line).words, ...splitLine(line).pipes].flat()) {
      const end = part.start + part.text.length;
      // What stands there as it is read has no quotes.
      if (part.literal || !part.text.endsWith(';') || line.slice(part.start, end) !== part.text) continue;
      commands.push(line.slice(from, end - 1));
      from = end;
    }
    commands.push(line.slice(from));
  }
  return commands.map((command) => command.trim()).filter((command) => command !== '');
}

/** A word as it must be typed: quoted where it has blanks, quotes, "|", or begins like a literal or a comment. */
export function quoteWord(text: string): string {
  if (text !== '' && !/[\s|"'\\]/.test(text) && !/^[[{#!;]/.test(text)) return text;
  return `"${text.replace(/["\\]/g, '\\$&')}"`;
}
