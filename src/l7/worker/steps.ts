// How a change travels to the workers: steps in order, as JSON in pieces that are small enough to be read one at a time
// between two turns of a worker. All workers read the same memory.
import type { Cluster, Listener, Route, Secret, StreamRoute } from '../../mesh/snapshot.ts';

/** From what a worker has to what it is to have. A name that comes takes the place of the same name. */
export type Step =
  | { readonly is: 'secret'; readonly secret: Secret }
  | { readonly is: 'no-secret'; readonly name: string }
  | { readonly is: 'cluster'; readonly cluster: Cluster }
  | { readonly is: 'no-cluster'; readonly name: string }
  | { readonly is: 'listener'; readonly listener: Listener }
  | { readonly is: 'no-listener'; readonly name: string }
  | { readonly is: 'no-table'; readonly name: string }
  /** Begins a table; hosts and streams that nothing is said of stay in it. */
  | { readonly is: 'table'; readonly name: string }
  | { readonly is: 'table-end' }
  | { readonly is: 'no-host'; readonly name: string }
  /** Begins a host (hostKey() names it); all its routes follow in their order. */
  | { readonly is: 'host'; readonly domains: readonly string[] }
  /** Those of its routes as it has them, from the first to before the last. */
  | { readonly is: 'kept'; readonly from: number; readonly to: number }
  /** `stat`: row of the counters. */
  | { readonly is: 'route'; readonly route: Route; readonly stat: number }
  /** The table's streams are those that follow. */
  | { readonly is: 'streams' }
  | { readonly is: 'stream'; readonly stream: StreamRoute; readonly stat: number };

/** No domain stands twice in a table, so these name a host. */
export function hostKey({ domains }: { readonly domains: readonly string[] }): string {
  return domains.join(' ');
}

/** Steps as text: piece after piece, each a JSON array. */
export interface Packed {
  readonly bytes: SharedArrayBuffer;
  /** Where each piece ends. */
  readonly ends: readonly number[];
}

/** Reading one takes a tenth of a millisecond. */
const PIECE_BYTES = 8 * 1024;

/** Packs what comes; undefined stands for work that gave no step. */
export function* pack(steps: Iterable<Step | undefined>): Generator<undefined, Packed, undefined> {
  const pieces: Buffer[] = [];
  let texts: string[] = [];
  let size = 0;
  const cut = (): void => {
    pieces.push(Buffer.from(`[${texts.join(',')}]`));
    texts = [];
    size = 0;
  };
  for (const step of steps) {
    if (step !== undefined) size += texts[texts.push(JSON.stringify(step)) - 1]!.length;
    if (size >= PIECE_BYTES) cut();
    yield;
  }
  cut();
  let end = 0;
  const ends = pieces.map((piece) => (end += piece.length));
  const bytes = new SharedArrayBuffer(end);
  const all = Buffer.from(bytes);
  for (const [i, piece] of pieces.entries()) {
    all.set(piece, ends[i]! - piece.length);
    yield;
  }
  return { bytes, ends };
}

export function* unpack({ bytes, ends }: Packed): Generator<Step, void> {
  let from = 0;
  for (const end of ends) {
    yield* JSON.parse(Buffer.from(bytes, from, end - from).toString()) as Step[];
    from = end;
  }
}
