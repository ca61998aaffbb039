// From a manifest's plain object to a typed spec, or everything that is wrong with it.
import { z } from 'zod';
import { type Finding, judge } from '../../config/explain.ts';
import { type Problem, problemAt } from '../../config/problem.ts';
import type { Path } from '../../config/path.ts';
import type { Manifest } from '../../config/manifest.ts';

/** A manifest whose spec has been judged. `key` is "namespace/name". */
export interface Typed<T> {
  readonly manifest: Manifest;
  readonly key: string;
  readonly namespace: string;
  readonly spec: T;
}

/** Says what a schema can't: calls `complain` with a path inside the spec. */
export type Rules<T> = (spec: T, complain: (path: Path, message: string, hint?: string) => void) => void;

/** One kind that is understood. */
export interface Kind<T = unknown> {
  readonly group: string;
  readonly kind: string;
  readonly versions: readonly string[];
  readonly schema: z.ZodType<T>;
  readonly rules?: Rules<T>;
  /** Its fields stand in the object itself, not in a spec. */
  readonly whole?: boolean;
}

/** A field of the standard that this implementation lacks: naming it is better than not knowing it. */
export function unsupported(what = 'this'): z.ZodOptional<z.ZodNever> {
  return z.never({ error: `${what} is not supported` }).optional();
}

/** What a kind says of an object, wherever that stands. */
type Judged<T> = { readonly spec: T } | { readonly findings: readonly (Omit<Finding, 'part'> & Partial<Finding>)[] };

/** Objects never change: one that comes again, in another revision, is not judged again. */
const judged = new WeakMap<Kind, WeakMap<object, Judged<unknown>>>();

/** The typed manifest, or its Problems, all at once. */
export function readManifest<T>(kind: Kind<T>, manifest: Manifest): Typed<T> | readonly Problem[] {
  const { namespace, name } = manifest.metadata;
  const found = judgeOnce(kind, manifest);
  if ('spec' in found) return { manifest, key: `${namespace}/${name}`, namespace, spec: found.spec };
  return found.findings.map(({ path, message, hint, part }) => {
    const problem = problemAt(manifest, path, message, hint);
    return { ...problem, path: `${manifest.kind} ${namespace}/${name}: ${problem.path}`, ...manifest.at(path, part) };
  });
}

function judgeOnce<T>(kind: Kind<T>, { object, spec }: Manifest): Judged<T> {
  // Each kind has its own: what is there was judged by the schema of T.
  const known = (judged.get(kind as Kind) ?? new WeakMap<object, Judged<T>>()) as WeakMap<object, Judged<T>>;
  judged.set(kind as Kind, known);
  const there = known.get(object) ?? judgeNow(kind, kind.whole === true ? object : (spec ?? {}));
  known.set(object, there);
  return there;
}

function judgeNow<T>(kind: Kind<T>, value: unknown): Judged<T> {
  const from: Path = kind.whole === true ? [] : ['spec'];
  const result = judge(kind.schema, value);
  if ('findings' in result) return { findings: result.findings.map((f) => ({ ...f, path: [...from, ...f.path] })) };
  const spec = result.value as T; // judged by the schema of T
  const findings: Omit<Finding, 'part'>[] = [];
  kind.rules?.(spec, (path, message, hint) =>
    findings.push({ path: [...from, ...path], message, ...(hint !== undefined && { hint }) }),
  );
  return findings.length > 0 ? { findings } : { spec };
}
