// Bytes -> the frozen document, or everything that is wrong with it.
import type { z } from 'zod';
import { type Finding, judge, meant } from './explain.ts';
import { decodeText, defaultLimits, type Limits } from './limits.ts';
import { atOnce } from '../lib/work/turns.ts';
import { type Manifest, type ReadFiles, readingManifests, type SourceFile } from './manifest.ts';
import { type Path, printPath } from './path.ts';
import type { Problem } from './problem.ts';
import { parseDocument, type Position, type Tree } from './yaml.ts';

/** A loaded document with its manifests. Everything in it is frozen. */
export interface Document {
  readonly file: string;
  readonly text: string;
  /** What each section's schema made of it, by its name; absent sections have their defaults. */
  readonly sections: Readonly<Record<string, unknown>>;
  /** The sections as they were written, before any schema. */
  readonly raw: Readonly<Record<string, unknown>>;
  readonly manifests: readonly Manifest[];
  /** What the manifests were read from. */
  readonly files: ReadFiles;
  /** Position of the value at the path, or of its nearest ancestor. */
  readonly at: (path: Path) => Position;
}

/** What `load` takes: the document's bytes and name, a schema for each section, and the manifest files. */
export interface LoadInput extends SourceFile {
  readonly sections: Readonly<Record<string, z.ZodType>>;
  readonly manifests?: readonly SourceFile[];
  /** Documents that were loaded before, with the same schemas and limits: what they have in common with this one is not
   * read again. */
  readonly before?: readonly Document[];
  readonly limits?: Limits;
}

export type Loaded =
  | { readonly ok: true; readonly document: Document }
  | { readonly ok: false; readonly problems: readonly Problem[] };

/** The document, or all of its Problems in the order of their places: the document's own first, then file by file. */
export function load(input: LoadInput): Loaded {
  return atOnce(loading(input));
}

/** The same, manifest by manifest. */
export function* loading(input: LoadInput): Generator<undefined, Loaded, undefined> {
  const { file, bytes, sections: schemas, before = [], limits = defaultLimits } = input;
  const sources = input.manifests ?? [];
  const known = before.map((each) => each.files);
  const { manifests, files, problems: manifestProblems } = yield* readingManifests(sources, known, limits);
  const text = decodeText(bytes, file, limits);
  if (typeof text !== 'string') return { ok: false, problems: [text, ...manifestProblems] };
  const same = before.find((each) => each.text === text && each.file === file);
  const own = same ?? readDocument(text, file, schemas, limits);
  const ownProblems = 'problems' in own ? own.problems : [];
  const problems = inOrder([...ownProblems, ...manifestProblems], [file, ...sources.map((each) => each.file)]);
  if (problems.length > 0) return { ok: false, problems: bounded(problems, limits.problems) };
  const { sections, raw, at } = own;
  return { ok: true, document: Object.freeze({ file, text, sections, raw, manifests, files, at }) };
}

type Own = Pick<Document, 'sections' | 'raw' | 'at'> & { readonly problems: readonly Problem[] };

function readDocument(text: string, file: string, schemas: LoadInput['sections'], limits: Limits): Own {
  const tree = parseDocument(text, file, limits);
  const { sections, problems } = readSections(tree, schemas);
  const raw = (tree.value ?? {}) as Readonly<Record<string, unknown>>;
  return { sections: Object.freeze(sections), raw, at: tree.at, problems: [...tree.problems, ...problems] };
}

function readSections(
  tree: Tree,
  schemas: Readonly<Record<string, z.ZodType>>,
): { sections: Record<string, unknown>; problems: Problem[] } {
  const sections: Record<string, unknown> = {};
  const findings: Finding[] = [];
  const top = tree.value ?? {};
  if (typeof top !== 'object' || Array.isArray(top)) {
    findings.push({ path: [], part: 'value', message: 'the document must be a map of sections' });
    return { sections, problems: findings.map((finding) => place(tree, finding)) };
  }
  // Where the text is no YAML there is nothing to hold against the schemas.
  if (tree.value === undefined && tree.problems.length > 0) return { sections, problems: [] };
  for (const key of Object.keys(top)) {
    if (Object.hasOwn(schemas, key)) continue;
    const hint = meant(key, Object.keys(schemas));
    findings.push({ path: [key], part: 'key', message: `there is no section "${key}"`, ...hint });
  }
  for (const [name, schema] of Object.entries(schemas)) {
    const judged = judgeSection(schema, Object.hasOwn(top, name) ? Reflect.get(top, name) : undefined);
    if ('value' in judged) sections[name] = closedSection(judged.value);
    else findings.push(...judged.findings.map((finding) => ({ ...finding, path: [name, ...finding.path] })));
  }
  const known = new Set(tree.problems.map((problem) => problem.path));
  const fresh = findings.filter((finding) => !known.has(printPath(finding.path)));
  return { sections, problems: fresh.map((finding) => place(tree, finding)) };
}

/** A section that is absent or empty is what the schema makes of nothing, else of an empty map. */
function judgeSection(schema: z.ZodType, value: unknown): ReturnType<typeof judge> {
  if (value !== undefined && value !== null) return judge(schema, value);
  const absent = judge(schema, undefined);
  return 'value' in absent ? absent : judge(schema, {});
}

function place(tree: Tree, finding: Finding): Problem {
  const { path, part, message, hint } = finding;
  const { line, column } = tree.at(path, part);
  const problem = { file: tree.file, line, column, path: printPath(path), message };
  return hint === undefined ? problem : { ...problem, hint };
}

function inOrder(problems: readonly Problem[], files: readonly string[]): Problem[] {
  return problems.toSorted(
    (a, b) => files.indexOf(a.file) - files.indexOf(b.file) || a.line - b.line || a.column - b.column,
  );
}

function bounded(problems: readonly Problem[], most: number): readonly Problem[] {
  const last = problems[most - 1];
  if (problems.length <= most || !last) return problems;
  const rest = problems.length - most + 1;
  return [...problems.slice(0, most - 1), { ...last, path: '', message: `and ${rest} more problems from here on` }];
}

/** A section, frozen. What it holds by name is what was written and nothing else: whoever asks for the VLAN
 * "constructor" finds none of Object's. */
export function closedSection(value: unknown): unknown {
  const map = typeof value === 'object' && value !== null && isPlain(value);
  return freeze(map ? Object.setPrototypeOf(value, null) : value);
}

/** Freezes plain maps and lists all the way down. */
function freeze(value: unknown): unknown {
  const plain = Array.isArray(value) || (typeof value === 'object' && value !== null && isPlain(value));
  if (!plain) return value;
  for (const inner of Object.values(value)) freeze(inner);
  return Object.freeze(value);
}

function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}
