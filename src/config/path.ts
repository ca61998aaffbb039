/** The keys and indexes that lead to a value, from the top of a document. */
export type Path = readonly (string | number)[];

/** The path with dots: `ports.swp1.vlan`. A step that would not read back alone is quoted: `routes."0.0.0.0/0".via`. */
export function printPath(path: Path): string {
  return path.map((step) => (/^[^\s."[\]:]+$/.test(String(step)) ? String(step) : JSON.stringify(step))).join('.');
}

/** Whether `path` is `ancestor` or lies below it. */
export function isWithin(path: Path, ancestor: Path): boolean {
  return ancestor.length <= path.length && ancestor.every((step, i) => String(step) === String(path[i]));
}
