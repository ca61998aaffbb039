// From a manifest's plain object to a typed spec, or everything that is wrong with it.
import { z } from 'zod';
import { judge } from '../../config/explain.ts';
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

/** The typed manifest, or its Problems, all at once. */
export function readManifest<T>(kind: Kind<T>, manifest: Manifest): Typed<T> | readonly Problem[] {
  const { namespace, name } = manifest.metadata;
  const problem = (path: Path, message: string, hint?: string): Problem => {
    const found = problemAt(manifest, path, message, hint);
    return { ...found, path: `${manifest.kind} ${namespace}/${name}: ${found.path}` };
  };
  const judged = judge(kind.schema, kind.whole === true ? manifest.object : (manifest.spec ?? {}));
  const from: Path = kind.whole === true ? [] : ['spec'];
  if ('findings' in judged) {
    return judged.findings.map((f) => {
      const path = [...from, ...f.path];
      return { ...problem(path, f.message, f.hint), ...manifest.at(path, f.part) };
    });
  }
  const spec = judged.value as T; // judged by the schema of T
  const problems: Problem[] = [];
  kind.rules?.(spec, (path, message, hint) => problems.push(problem([...from, ...path], message, hint)));
  return problems.length > 0 ? problems : { manifest, key: `${namespace}/${name}`, namespace, spec };
}
