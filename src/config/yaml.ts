// Text -> trees with positions. YAML 1.2 core schema and nothing that makes two readers disagree: no merge keys, no
// tags of one's own, no duplicate keys, keys are text, numbers are finite and exact.
//
//   1. the text is checked for length and characters (limits.ts)
//   2. tokens are counted while the syntax tree grows: depth, aliases and tokens are bounded here, before anything
// recurses
//   3. syntax tree -> nodes (yaml's Composer)
//   4. nodes -> frozen plain values (tree.ts)
import { Composer, CST, Lexer, LineCounter, type ParsedNode, Parser, type Document as YamlDocument } from 'yaml';
import { checkText, defaultLimits, type Limits } from './limits.ts';
import type { Problem } from './problem.ts';
import { type Path, printPath } from './path.ts';
import { locate, readTree } from './tree.ts';

/** Where something stands; both count from 1. */
export interface Position {
  readonly line: number;
  readonly column: number;
}

/** One YAML document of a file. */
export interface Tree {
  readonly file: string;
  /** Frozen plain data, without what `problems` are about; undefined where the text is no YAML or is empty. */
  readonly value: unknown;
  readonly problems: readonly Problem[];
  /** Position of the value at the path, or of its key; of the nearest ancestor where the path leads nowhere. */
  readonly at: (path: Path, part?: 'key' | 'value') => Position;
}

/** The one document in the text. A second one in the same file is a Problem. */
export function parseDocument(text: string, file: string, limits: Limits = defaultLimits): Tree {
  const [first = emptyTree(file, []), second] = parseStream(text, file, limits);
  if (!second) return first;
  const extra: Problem = { file, ...second.at([]), path: '', message: 'a second document starts here; one is allowed' };
  return { ...first, value: undefined, problems: [...first.problems, extra] };
}

/** All documents in the text, in order; none for a text of comments only. If the text can't be read as YAML at all, one
 * tree with the Problem. */
export function parseStream(text: string, file: string, limits: Limits = defaultLimits): readonly Tree[] {
  return readStream(text, file, limits).trees;
}

/** The documents in a text, and how much of what is bounded they have. */
export interface Stream {
  readonly trees: readonly Tree[];
  readonly tokens: number;
  readonly aliases: number;
  readonly values: number;
  /** Some of the text is no YAML, or there is too much of it. */
  readonly broken: boolean;
}

/** As `parseStream`. */
export function readStream(text: string, file: string, limits: Limits = defaultLimits): Stream {
  const none = { tokens: 0, aliases: 0, values: 0, broken: true };
  const checked = checkText(text, file, limits);
  if (typeof checked !== 'string') return { ...none, trees: [emptyTree(file, [checked])] };
  const lines = new LineCounter();
  const position = (offset: number): Position => {
    const { line, col } = lines.linePos(Math.min(offset, text.length));
    return { line: Math.max(1, line), column: Math.max(1, col) };
  };
  const scanned = scan(checked, lines, limits);
  if ('message' in scanned) {
    const { offset, message } = scanned;
    return { ...none, trees: [emptyTree(file, [{ file, ...position(offset), path: '', message }])] };
  }
  const composer = new Composer({
    schema: 'core',
    version: '1.2',
    uniqueKeys: false,
    prettyErrors: false,
    resolveKnownTags: false,
  });
  const trees: Tree[] = [];
  let values = 0;
  let broken = false;
  for (const document of composer.compose(scanned.syntax, false, text.length)) {
    const read = treeOf(document, file, position, { ...limits, values: limits.values - values });
    values += read.values;
    broken ||= read.broken;
    trees.push(read.tree);
  }
  return { trees, tokens: scanned.tokens, aliases: scanned.aliases, values, broken };
}

interface TooMuch {
  readonly offset: number;
  readonly message: string;
}

interface Scanned {
  readonly syntax: readonly CST.Token[];
  readonly tokens: number;
  readonly aliases: number;
}

/** The syntax tree, grown token by token and given up at the first limit. */
function scan(text: string, lines: LineCounter, limits: Limits): Scanned | TooMuch {
  const parser = new Parser(lines.addNewLine);
  const syntax: CST.Token[] = [];
  lines.addNewLine(0);
  let count = 0;
  let aliases = 0;
  for (const lexeme of new Lexer().lex(text)) {
    if (++count === Math.min(worthCounting, limits.tokens)) {
      const offset = endOfTokens(text, limits.tokens);
      if (offset !== undefined) {
        for (let at = parser.offset; (at = text.indexOf('\n', at) + 1) > 0 && at <= offset;) lines.addNewLine(at);
        return { offset, message: `more than ${limits.tokens} tokens` };
      }
    }
    if (CST.tokenType(lexeme) === 'alias' && ++aliases > limits.aliases) {
      return { offset: parser.offset, message: `more than ${limits.aliases} aliases` };
    }
    for (const token of parser.next(lexeme)) syntax.push(token);
    // The stack holds the document and a scalar besides the collections.
    if (parser.stack.length > limits.depth + 2) {
      return { offset: parser.offset, message: `nested deeper than ${limits.depth} levels` };
    }
  }
  for (const token of parser.end()) syntax.push(token);
  return { syntax, tokens: count, aliases };
}

/** From so many tokens on the tree of too many would be a burden: they are counted before more of it grows. */
const worthCounting = 200_000;

/** Where the tokens that are allowed end, in a text that has more of them. */
function endOfTokens(text: string, most: number): number | undefined {
  let count = 0;
  let offset = 0;
  for (const lexeme of new Lexer().lex(text)) {
    if (++count > most) return offset;
    // Three marks of the lexer's own are no text (yaml's CST.tokenType).
    if (!['\u0002', '\u0018', '\u001f'].includes(lexeme)) offset += lexeme.length;
  }
  return undefined;
}

function treeOf(
  document: YamlDocument.Parsed<ParsedNode>,
  file: string,
  position: (offset: number) => Position,
  limits: Limits,
): { readonly tree: Tree; readonly values: number; readonly broken: boolean } {
  const faults = [...document.errors, ...document.warnings];
  const problems = faults.slice(0, limits.problems).map((fault) => ({
    file,
    ...position(fault.pos[0]),
    path: '',
    message: plain(fault.code, fault.message),
  }));
  const { explicit, version } = document.directives.yaml;
  if (explicit === true && version !== '1.2') {
    problems.push({ file, ...position(0), path: '', message: `YAML ${version} is not read; YAML 1.2 is` });
  }
  if (problems.length > 0) return { tree: emptyTree(file, problems), values: 0, broken: true };
  const read = readTree(document, limits);
  const at: Tree['at'] = (path, part = 'value') => position(locate(document, path, part));
  for (const fault of read.faults) {
    problems.push({ file, ...position(fault.offset), path: printPath(fault.path), message: fault.message });
  }
  return { tree: { file, value: read.value, problems, at }, values: read.values, broken: false };
}

/** The parser's words where they are plain, our own where they are not. */
function plain(code: string, message: string): string {
  if (code === 'TAB_AS_INDENT') return 'a tab can not indent; use spaces';
  if (code === 'TAG_RESOLVE_FAILED') return 'tags ("!name") are not read';
  if (code === 'MULTIPLE_DOCS') return 'a second document starts here; one is allowed';
  return message.charAt(0).toLowerCase() + message.slice(1);
}

function emptyTree(file: string, problems: readonly Problem[]): Tree {
  const first = problems[0] ?? { line: 1, column: 1 };
  return { file, value: undefined, problems, at: () => ({ line: first.line, column: first.column }) };
}
