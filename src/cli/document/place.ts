// The document as the CLI walks it, made from the slices' zod schemas: an object is a set of words, a record a name and
// then its entry, a union its alternatives side by side, an array of scalars a list that `set` appends to.
import { z } from 'zod';
import type { AnySlice } from '../../engine/slice.ts';

type Schema = z.core.$ZodType;

/** One place in the document: what may follow there. A union may be several of these at once. */
export interface Place {
  readonly schema: Schema;
  readonly help: string;
  readonly examples: readonly string[];
  /** What holds where nothing is written, as text. */
  readonly fallback?: string;
  /** A password or a key: not shown to everyone. */
  readonly secret: boolean;
  /** Set by the switch itself: not offered by help and completion. */
  readonly hidden: boolean;
  /** The section whose names are meant here ("vlans"), for completion: `.meta({ names: 'vlans' })`. */
  readonly names?: string;
  /** Fixed words. */
  readonly words: ReadonlyMap<string, () => Place>;
  /** A name of the writer's choice, then its entry. */
  readonly entries?: Entries;
  /** A list; its items. */
  readonly item?: Place;
  /** A single value is possible here. */
  readonly leaf: boolean;
  /** All of its values, where they are countable. */
  readonly values: readonly string[];
}

export interface Entries {
  readonly key: Schema;
  readonly place: () => Place;
}

/** The root of the document: one word a slice that has a section. */
export function documentRoot(slices: readonly AnySlice[]): Place {
  const words = new Map<string, () => Place>();
  for (const slice of slices) {
    const schema = slice.schema as Schema | undefined;
    if (schema)
      words.set(
        slice.name,
        once(() => placeOf(schema)),
      );
  }
  return { ...nothing(z.unknown()), words };
}

interface Notes {
  help?: string;
  examples?: readonly string[];
  fallback?: string;
  secret?: boolean;
  hidden?: boolean;
  names?: string;
}

// A lazy schema that names itself without anything between would not end.
const deepest = 32;

/** What a schema allows at its place. */
export function placeOf(schema: Schema, outer: Notes = {}, depth = 0): Place {
  const notes = notesOf(schema, outer);
  if (depth > deepest) return { ...nothing(schema, notes), leaf: true };
  const inner = innerOf(schema, notes);
  if (inner) return { ...placeOf(inner, notes, depth + 1), schema };
  const def = (schema as z.core.$ZodTypes)._zod.def;
  switch (def.type) {
    case 'object':
      return { ...nothing(schema, notes), words: wordsOf(def.shape) };
    case 'record':
      return recordPlace(schema, def.keyType, def.valueType, notes);
    case 'array':
      return { ...nothing(schema, notes), item: placeOf(def.element, {}, depth + 1) };
    case 'union':
      return merged(schema, def.options, notes, depth);
    case 'intersection':
      return merged(schema, [def.left, def.right], notes, depth);
    case 'enum':
      return { ...nothing(schema, notes), leaf: true, values: Object.values(def.entries).map(String) };
    case 'literal':
      return { ...nothing(schema, notes), leaf: true, values: def.values.map(String) };
    case 'boolean':
      return { ...nothing(schema, notes), leaf: true, values: ['true', 'false'] };
    default:
      return { ...nothing(schema, notes), leaf: true };
  }
}

function nothing(schema: Schema, notes: Notes = {}): Place {
  const { help = '', examples = [], secret = false, hidden = false, fallback, names } = notes;
  return {
    schema,
    help,
    examples,
    secret,
    hidden,
    words: new Map(),
    leaf: false,
    values: [],
    ...(fallback === undefined ? {} : { fallback }),
    ...(names === undefined ? {} : { names }),
  };
}

/** What `.meta()` says; the outermost word counts. */
function notesOf(schema: Schema, outer: Notes): Notes {
  const meta = z.globalRegistry.get(schema as z.ZodType);
  if (!meta) return outer;
  const notes: Notes = { ...outer };
  notes.help ??= meta.description;
  if (Array.isArray(meta['examples'])) notes.examples ??= meta['examples'].map(String);
  if (meta['secret'] === true) notes.secret = true;
  if (meta['hidden'] === true) notes.hidden = true;
  if (typeof meta['names'] === 'string') notes.names ??= meta['names'];
  return notes;
}

/** The schema beneath a wrapper, as the writer meets it (the input side of a pipe); notes its default. */
function innerOf(schema: Schema, notes: Notes): Schema | undefined {
  const def = (schema as z.core.$ZodTypes)._zod.def;
  switch (def.type) {
    case 'default':
    case 'prefault':
      notes.fallback ??= scalarText(def.defaultValue);
      return def.innerType;
    case 'optional':
    case 'nonoptional':
    case 'nullable':
    case 'readonly':
    case 'catch':
    case 'success':
    case 'promise':
      return def.innerType;
    case 'lazy':
      return def.getter();
    case 'pipe':
      return (def.in as z.core.$ZodTypes)._zod.def.type === 'transform' ? def.out : def.in;
    default:
      return undefined;
  }
}

function scalarText(value: unknown): string | undefined {
  return ['string', 'number', 'boolean'].includes(typeof value) ? String(value) : undefined;
}

function wordsOf(shape: Readonly<Record<string, Schema>>): Map<string, () => Place> {
  return new Map(Object.entries(shape).map(([word, schema]) => [word, once(() => placeOf(schema))]));
}

function recordPlace(schema: Schema, key: Schema, value: Schema, notes: Notes): Place {
  const keys = placeOf(key);
  if (keys.values.length === 0) {
    return { ...nothing(schema, notes), entries: { key, place: once(() => placeOf(value)) } };
  }
  const words = new Map(keys.values.map((word) => [word, once(() => placeOf(value))]));
  return { ...nothing(schema, notes), words };
}

function merged(schema: Schema, options: readonly Schema[], notes: Notes, depth: number): Place {
  const places = options.map((option) => placeOf(option, {}, depth + 1));
  const words = new Map<string, () => Place>();
  for (const place of places) {
    for (const [word, next] of place.words) {
      const other = words.get(word);
      words.set(word, other ? once(() => eitherOf(other(), next())) : next);
    }
  }
  const entries = places.find((place) => place.entries)?.entries;
  const item = places.find((place) => place.item)?.item;
  const names = notes.names ?? places.find((place) => place.names !== undefined)?.names;
  const own = nothing(schema, notes);
  return {
    ...own,
    help: own.help || [...new Set(places.map((place) => place.help))].filter((help) => help !== '').join(', or '),
    examples: own.examples.length > 0 ? own.examples : places.flatMap((place) => place.examples),
    secret: own.secret || places.some((place) => place.secret),
    words,
    leaf: places.some((place) => place.leaf),
    values: places.flatMap((place) => place.values),
    ...(entries ? { entries } : {}),
    ...(item ? { item } : {}),
    ...(names === undefined ? {} : { names }),
  };
}

/** The same word in two alternatives of a union. */
function eitherOf(a: Place, b: Place): Place {
  const union = z.union([a.schema as z.ZodType, b.schema as z.ZodType]);
  return merged(union, [a.schema, b.schema], a.help ? { help: a.help } : {}, 0);
}

function once<T>(make: () => T): () => T {
  let made: { value: T } | undefined;
  return () => (made ??= { value: make() }).value;
}

/** What a value at this place looks like, in words: its help, range and default. */
export function describe(place: Place): string {
  const range = rangeOf(place.schema);
  const help = [place.help || typeOf(place), range].filter((part) => part !== '').join(', ');
  return place.fallback === undefined ? help : `${help} (default ${place.fallback})`;
}

function typeOf(place: Place): string {
  if (place.words.size > 0 || place.entries) return '';
  return place.item ? 'list of values' : 'value';
}

/** "1..4094" where the schema is a number with bounds. */
function rangeOf(schema: Schema): string {
  const json = jsonSchemaOf(schema);
  const { minimum, maximum } = json;
  if (minimum === undefined || maximum === undefined || Math.abs(maximum) >= Number.MAX_SAFE_INTEGER) return '';
  return `${minimum}..${maximum}`;
}

function jsonSchemaOf(schema: Schema): { minimum?: number; maximum?: number } {
  const def = (schema as z.core.$ZodTypes)._zod.def;
  const inner = innerOf(schema, {});
  if (inner) return jsonSchemaOf(inner);
  if (def.type !== 'number') return {};
  return z.toJSONSchema(schema as z.ZodType, { io: 'input', unrepresentable: 'any' });
}
