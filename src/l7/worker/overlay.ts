// A map with what is to become of it: read as if it were so already, while others still read it as it is.

export class Overlay<V> {
  readonly base: Map<string, V>;
  readonly put = new Map<string, V>();
  readonly gone: Set<string>;

  /** `anew`: nothing of the base stays that is not set again. */
  constructor(base: Map<string, V>, anew: boolean) {
    this.base = base;
    this.gone = new Set(anew ? base.keys() : []);
  }

  get(key: string): V | undefined {
    return this.put.get(key) ?? (this.gone.has(key) ? undefined : this.base.get(key));
  }

  set(key: string, value: V): void {
    this.gone.delete(key);
    this.put.set(key, value);
  }

  drop(key: string): void {
    this.put.delete(key);
    this.gone.add(key);
  }

  /** Everything that will be there. */
  *values(): Generator<V, void> {
    for (const [key, value] of this.base) if (!this.gone.has(key) && !this.put.has(key)) yield value;
    yield* this.put.values();
  }

  /** Makes the base what was read. */
  merge(): void {
    for (const key of this.gone) this.base.delete(key);
    for (const [key, value] of this.put) this.base.set(key, value);
  }
}
