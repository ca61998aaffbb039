// The text of a file -> its documents, a piece of the text at a time. What an earlier reading of the file had as well
// is taken from there: reading costs what the change does.
import { defaultLimits, type Limits } from './limits.ts';
import { readStream, type Stream, type Tree } from './yaml.ts';

/** A part of a file that holds whole documents. */
export interface Piece {
  readonly text: string;
  /** Ends of lines in it. */
  readonly lineEnds: number;
  /** Its documents, with places as if the file began with it. */
  readonly stream: Stream;
}

/** The pieces of a text, in order. `known` gives the piece of that text that was read of the same file, with the same
 * limits, where there is one. */
export function* readPieces(
  text: string,
  file: string,
  known: (text: string) => Piece | undefined,
  limits: Limits = defaultLimits,
): Generator<undefined, readonly Piece[], undefined> {
  const texts = documentsOf(text);
  const left = { tokens: limits.tokens, aliases: limits.aliases, values: limits.values };
  const pieces: Piece[] = [];
  for (const each of texts) {
    // A part of a string keeps the whole of it: what may be there for long is copied.
    const piece = known(each) ?? pieceOf(Buffer.from(each, 'utf16le').toString('utf16le'), file, limits);
    if (texts.length === 1) return [piece];
    const { broken, tokens, aliases, values } = piece.stream;
    left.tokens -= tokens;
    left.aliases -= aliases;
    left.values -= values;
    // Bounds are those of the whole file, and what is no YAML here may be understood by what comes before: the file is
    // read in one go.
    if (broken || Math.min(left.tokens, left.aliases, left.values) < 0) return [pieceOf(text, file, limits)];
    pieces.push(piece);
    yield;
  }
  return pieces;
}

/** The same tree where so many lines come before it. */
export function movedDown(tree: Tree, lines: number): Tree {
  if (lines === 0) return tree;
  return {
    ...tree,
    problems: tree.problems.map((problem) => ({ ...problem, line: problem.line + lines })),
    at: (path, part) => {
      const { line, column } = tree.at(path, part);
      return { line: line + lines, column };
    },
  };
}

function pieceOf(text: string, file: string, limits: Limits): Piece {
  let lineEnds = 0;
  for (let at = -1; (at = text.indexOf('\n', at + 1)) >= 0;) lineEnds += 1;
  return { text, lineEnds, stream: readStream(text, file, limits) };
}

/** Text between lines that begin a document: "---" at the first column does so wherever it stands (YAML 1.2, 9.1.2). A
 * text with directives, or with documents that end without another's beginning, stays whole. */
function documentsOf(text: string): readonly string[] {
  if (/^(%|\.\.\.)/m.test(text)) return [text];
  return text.split(/(?<=\n)(?=---(?:[ \t\r\n]|$))/);
}
