// Text to desired resources: parse every section, let slices add entries to other sections, check across sections,
// compile. Pure but for reading the files that the document names, which come in as a function.
import type { z } from 'zod';
import { closedSection, type Document } from '../../config/load.ts';
import type { Problem } from '../../config/problem.ts';
import { atOnce, type Work, workOn } from '../../lib/work/turns.ts';
import type { Ref, Resource } from '../resource.ts';
import type { Manifest } from '../../config/manifest.ts';
import type { AnySlice, Look } from '../slice.ts';

export interface CompileInput {
  readonly slices: readonly AnySlice[];
  readonly document: Document;
  readonly instance: string;
  readonly baseMac: string;
  readonly file: (name: string) => Uint8Array | undefined;
}

export interface Compiled {
  readonly document: Document;
  readonly look: Look;
  readonly resources: ReadonlyMap<Ref, Resource>;
}

type Json = Record<string, unknown>;

/** The desired resources, or all problems at once. */
export function compile(input: CompileInput): Compiled | readonly Problem[] {
  return atOnce(compiling(input));
}

/** The same, slice by slice, and in as small steps as slices make. */
export function* compiling(given: CompileInput): Generator<unknown, Compiled | readonly Problem[], undefined> {
  const input = { ...given, byKind: Map.groupBy(given.document.manifests, groupKind) };
  const problems: Problem[] = [];
  const sections = derive(input, problems);
  const look = makeLook(input, sections);
  if (problems.length > 0) return problems;
  for (const slice of input.slices) {
    yield;
    if (slice.schema === undefined || slice.check === undefined) continue;
    problems.push(...(yield* workOn(slice.check(sections[slice.name], look) as Work<readonly Problem[]>)));
  }
  problems.push(...unknownManifests(input));
  if (problems.length > 0) return problems;
  const resources = new Map<Ref, Resource>();
  for (const slice of input.slices) {
    yield;
    if (slice.compile === undefined) continue;
    const made = yield* workOn(slice.compile(sections[slice.name], look) as Work<readonly Resource[]>);
    for (const resource of made) {
      if (resources.has(resource.ref)) throw new Error(`${resource.ref} is compiled twice`);
      resources.set(resource.ref, resource);
    }
  }
  return { document: input.document, look, resources };
}

/** With the manifests by group and kind, found once: there may be thousands. */
type Input = CompileInput & { readonly byKind: ReadonlyMap<string, readonly Manifest[]> };

/** Sections after every slice has added its entries to others, in the order of the list. */
function derive(input: Input, problems: Problem[]): Json {
  const raw = structuredClone(input.document.raw) as Json;
  const sections: Json = { ...input.document.sections };
  const origin = new Map<string, string>();
  for (const slice of input.slices) {
    if (slice.schema === undefined) continue;
    if (origin.size > 0 && [...origin.keys()].some((path) => path.startsWith(`${slice.name}.`))) {
      sections[slice.name] = reparse(input, slice, raw[slice.name], origin, problems);
    }
    const derived = slice.derive?.(sections[slice.name], makeLook(input, sections)) ?? {};
    for (const [name, entries] of Object.entries(derived)) {
      raw[name] ??= {};
      merge(raw[name] as Json, entries as Json, [name], slice.name, { input, origin, problems });
    }
  }
  return sections;
}

interface MergeContext {
  readonly input: Input;
  readonly origin: Map<string, string>;
  readonly problems: Problem[];
}

/** Maps merge key by key; only the same leaf given twice is a Problem. */
function merge(into: Json, from: Json, path: readonly string[], slice: string, context: MergeContext): void {
  for (const [key, value] of Object.entries(from)) {
    const at = [...path, key];
    const there = Object.hasOwn(into, key) ? into[key] : undefined;
    if (there === undefined) {
      into[key] = value;
      context.origin.set(at.join('.'), slice);
    } else if (isMap(there) && isMap(value)) {
      merge(there, value, at, slice, context);
      context.origin.set(at.join('.'), slice);
    } else {
      const message = `is made by ${slice} and given here too`;
      context.problems.push(problemAt(context.input.document, at, message));
    }
  }
}

function isMap(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function reparse(
  input: CompileInput,
  slice: AnySlice,
  raw: unknown,
  origin: ReadonlyMap<string, string>,
  problems: Problem[],
): unknown {
  const result = (slice.schema as z.ZodType).safeParse(raw);
  if (result.success) return closedSection(result.data);
  for (const issue of result.error.issues) {
    const path = [slice.name, ...issue.path.map(String)];
    const made = path.map((_, i) => origin.get(path.slice(0, i + 1).join('.'))).findLast((o) => o !== undefined);
    const message = made === undefined ? issue.message : `${issue.message} (made by ${made})`;
    problems.push(problemAt(input.document, path, message));
  }
  return input.document.sections[slice.name];
}

function makeLook(input: Input, sections: Json): Look {
  const nameOf = new Map(input.slices.map((slice) => [slice.schema, slice.name]));
  const look = (schema: z.ZodType): unknown => {
    const name = nameOf.get(schema);
    if (name === undefined) throw new Error('look: no slice has this schema');
    return sections[name];
  };
  return Object.assign(look as Look, {
    manifests: (kind: string): readonly Manifest[] => input.byKind.get(kind) ?? [],
    problem: (path: readonly (string | number)[], message: string, hint?: string): Problem =>
      problemAt(input.document, path, message, hint),
    file: input.file,
    instance: input.instance,
    baseMac: input.baseMac,
  });
}

function problemAt(document: Document, path: readonly (string | number)[], message: string, hint?: string): Problem {
  const problem = { file: document.file, ...document.at(path), path: path.join('.'), message };
  return hint === undefined ? problem : { ...problem, hint };
}

/** "gateway.networking.k8s.io/HTTPRoute"; core kinds have no group: "Secret". */
function groupKind(m: Manifest): string {
  const slash = m.apiVersion.indexOf('/');
  return slash < 0 ? m.kind : `${m.apiVersion.slice(0, slash)}/${m.kind}`;
}

function unknownManifests(input: Input): Problem[] {
  const known = new Set(input.slices.flatMap((slice) => slice.manifests ?? []));
  const unknown = new Set([...input.byKind].flatMap(([kind, list]) => (known.has(kind) ? [] : list)));
  return input.document.manifests
    .filter((m) => unknown.has(m))
    .map((m) => ({
      file: m.file,
      line: m.line,
      column: m.column,
      path: `${m.kind} ${m.metadata.namespace}/${m.metadata.name}`,
      message: `kind ${m.kind} of ${m.apiVersion} is not known`,
    }));
}
