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
