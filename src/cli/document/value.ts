// Documents as plain values: reading at a path, and changed copies. Values are never changed in place.
import { isMap } from '../../config/diff.ts';
import { parseDocument } from '../../config/yaml.ts';

// Completion asks at every key, and comparing needs two texts at once.
const mostKept = 4;
const kept = new Map<string, unknown>();

/** The text's plain value; an empty map where it is empty or can't be read. Reading the same text again is free. */
export function valueOf(text: string): unknown {
  const value = kept.has(text) ? kept.get(text) : (parseDocument(text, 'candidate').value ?? {});
  kept.delete(text);
  kept.set(text, value);
  for (const oldest of kept.keys()) {
    if (kept.size <= mostKept) break;
    kept.delete(oldest);
  }
  return value;
}

/** What stands at a path; undefined where nothing does. */
export function valueAt(value: unknown, path: readonly string[]): unknown {
  return path.reduce<unknown>(
    (inside, step) => (isMap(inside) && Object.hasOwn(inside, step) ? inside[step] : undefined),
    value,
  );
}

/** Keys of the map at a path, or the scalars of the list there. */
export function namesAt(value: unknown, path: readonly string[]): readonly string[] {
  const found = valueAt(value, path);
  if (Array.isArray(found)) return found.filter((item) => typeof item !== 'object').map(String);
  return isMap(found) ? Object.keys(found) : [];
}

/** A copy with `to` at the path; maps on the way are made. Throws RangeError where the way leads through a single value
 * or a list. */
export function withValue(value: unknown, path: readonly string[], to: unknown): unknown {
  const [step, ...rest] = path;
  if (step === undefined) return to;
  if (value !== undefined && value !== null && !isMap(value))
    throw new RangeError('a single value stands on the way there');
  const map = isMap(value) ? value : {};
  return { ...map, [step]: withValue(Object.hasOwn(map, step) ? map[step] : undefined, rest, to) };
}

/** A copy without what stands at the path. */
export function withoutValue(value: unknown, path: readonly string[]): unknown {
  const [step, ...rest] = path;
  if (step === undefined || !isMap(value) || !Object.hasOwn(value, step)) return value;
  if (rest.length > 0) return { ...value, [step]: withoutValue(value[step], rest) };
  return Object.fromEntries(Object.entries(value).filter(([key]) => key !== step));
}
