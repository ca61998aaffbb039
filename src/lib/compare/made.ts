import { same } from './same.ts';

/** Gives what was made so far, by name, of a thing that never changes: as long as `basis`, what else it was made of, is
 * the same. It is gone with the thing. */
export type MadeOf<T> = (of: object, basis: unknown) => Map<string, T>;

export function madeOf<T>(): MadeOf<T> {
  const before = new WeakMap<object, { readonly basis: unknown; readonly made: Map<string, T> }>();
  return (of, basis) => {
    const there = before.get(of);
    if (there !== undefined && same(there.basis, basis)) return there.made;
    const made = new Map<string, T>();
    before.set(of, { basis, made });
    return made;
  };
}
