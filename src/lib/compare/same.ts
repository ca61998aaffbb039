/** Whether two values, plain data both, are the same. What is one object in both is not looked into. */
export function same(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  if (Array.isArray(a)) {
    if (!Array.isArray(b) || a.length !== b.length) return false;
    for (let i = 0; i < a.length; i += 1) if (!same(a[i], b[i])) return false;
    return true;
  }
  if (Array.isArray(b)) return false;
  let keys = 0;
  for (const key in a) {
    if (!(key in b) || !same(a[key as keyof typeof a], b[key as keyof typeof b])) return false;
    keys += 1;
  }
  return keys === Object.keys(b).length;
}
