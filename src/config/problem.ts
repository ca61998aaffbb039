import { type Path, printPath } from './path.ts';

/** A fault of the input: where it stands and what is wrong with it. Lines and columns count from 1. */
export interface Problem {
  readonly file: string;
  readonly line: number;
  readonly column: number;
  /** Dotted path in the document: "ports.swp1.vlan.access". */
  readonly path: string;
  readonly message: string;
  /** What the writer may have meant. */
  readonly hint?: string;
}

/** "file:line:col: path: message (hint)" as compilers print it. */
export function printProblem(p: Problem): string {
  const path = p.path === '' ? '' : `${p.path}: `;
  const hint = p.hint === undefined ? '' : ` (${p.hint})`;
  return `${p.file}:${p.line}:${p.column}: ${path}${p.message}${hint}`;
}

/** The text or object that positions are asked of: a Tree, a Document, a Manifest. */
export interface Place {
  readonly file: string;
  at(path: Path): { readonly line: number; readonly column: number };
}

/** A Problem with the value at the path. */
export function problemAt(place: Place, path: Path, message: string, hint?: string): Problem {
  const { line, column } = place.at(path);
  const problem = { file: place.file, line, column, path: printPath(path), message };
  return hint === undefined ? problem : { ...problem, hint };
}
