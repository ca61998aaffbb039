// Routes of connections that go on as they come, compiled: which one takes a connection, and where it goes.
import type { Listener, StreamRoute } from '../../mesh/snapshot.ts';
import type { Split } from '../head/act.ts';
import { RoutePiece } from '../record/line.ts';
import type { HelloMode } from '../transport.ts';
import type { ClusterState } from '../upstream/upstream.ts';

/** A share of a stream's connections. */
interface StreamTarget {
  /** Undefined: it does not exist. */
  readonly cluster: ClusterState | undefined;
  readonly until: number;
}

export interface Stream extends Split<StreamTarget> {
  readonly name: string;
  /** The name, for the access log. */
  readonly logged: RoutePiece;
  /** Row of the counters. */
  readonly stat: number;
  /** 0: as the engine has it. */
  readonly idleMs: number;
}

/** The streams of a table. Where two have the same name of a server, or none, the first counts. */
export interface StreamTable {
  readonly plain: Stream | undefined;
  readonly exact: ReadonlyMap<string, Stream>;
  /** ".suffix" of "*.suffix", the longest first. */
  readonly suffixes: readonly (readonly [string, Stream])[];
  readonly any: Stream | undefined;
}

export interface StreamContext {
  readonly stat: number;
  readonly turn: number;
  readonly cluster: (key: string) => ClusterState | undefined;
}

/** Compiles the streams of a table; `context` gives what each needs. */
export function compileStreams(
  routes: readonly StreamRoute[],
  context: (route: StreamRoute) => StreamContext,
): StreamTable {
  const exact = new Map<string, Stream>();
  const suffixes = new Map<string, Stream>();
  let plain: Stream | undefined;
  let any: Stream | undefined;
  for (const route of routes) {
    const stream = compileStream(route, context(route));
    if (route.sni === undefined) plain ??= stream;
    for (const name of route.sni ?? []) {
      if (name === '*') any ??= stream;
      else if (!name.startsWith('*.')) exact.set(name, exact.get(name) ?? stream);
      else if (!suffixes.has(name.slice(1))) suffixes.set(name.slice(1), stream);
    }
  }
  return { plain, exact, suffixes: [...suffixes].toSorted(([a], [b]) => b.length - a.length), any };
}

function compileStream(route: StreamRoute, { stat, turn, cluster }: StreamContext): Stream {
  let total = 0;
  const targets = route.clusters.map(({ cluster: key, weight }) => {
    total += weight;
    return { cluster: cluster(key), until: total };
  });
  const idleMs = route.idleMs ?? 0;
  return { name: route.name, logged: new RoutePiece(route.name), stat, turn, targets, total, idleMs };
}

/** All streams of a table, some of them more than once. */
export function* streamsIn({ plain, exact, suffixes, any }: StreamTable): Generator<Stream, void> {
  if (plain !== undefined) yield plain;
  yield* exact.values();
  for (const [, stream] of suffixes) yield stream;
  if (any !== undefined) yield any;
}

/** The stream for a server's name as a ClientHello says it, "" where it says none. */
export function streamFor(table: StreamTable, name: string): Stream | undefined {
  if (name === '') return table.any;
  const found = table.exact.get(name);
  if (found !== undefined) return found;
  return table.suffixes.find(([suffix]) => name.length > suffix.length && name.endsWith(suffix))?.[1] ?? table.any;
}

/** When the engine is to ask about a connection of the listener: before its first byte where a server may speak
 * first. */
export function helloOf({ protocol, proxyFrom }: Listener): HelloMode {
  if (protocol === 'HTTP' && proxyFrom === undefined) return 'never';
  return (protocol === 'TCP' || protocol === 'auto') && proxyFrom === undefined ? 'at-once' : 'bytes';
}
