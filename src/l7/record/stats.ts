// What the router counts, by route, by worker, by listener.
import type { Snapshot } from '../../mesh/snapshot.ts';
import type { EngineStats } from '../transport.ts';
import type { RouteStats } from './counters.ts';

export interface RouteRow extends RouteStats {
  readonly table: string;
  readonly route: string;
}

export interface WorkerStats extends EngineStats {
  readonly worker: number;
  readonly logDropped: number;
  /** Exceptions that were answered with 500. */
  readonly faults: number;
  /** Milliseconds of the longest piece of work on the last change, between two turns of the engine. */
  readonly changeMs: number;
}

export interface ListenerStats {
  readonly listener: string;
  readonly connections: number;
  /** Turned away: because of all that are there, because of those of their client. */
  readonly over: number;
  readonly overClient: number;
}

/** What was counted at a listener that has that tag. */
type Counted = Omit<ListenerStats, 'listener'> & { readonly tag: number };

/** The listeners in force. */
export function listenerStats(
  counted: readonly Counted[],
  tagOf: (listener: string) => number,
  snapshot: Snapshot | undefined,
): readonly ListenerStats[] {
  const crowds = new Map(counted.map((crowd) => [crowd.tag, crowd]));
  return (snapshot?.listeners ?? []).map(({ name }) => {
    const { connections = 0, over = 0, overClient = 0 } = crowds.get(tagOf(name)) ?? {};
    return { listener: name, connections, over, overClient };
  });
}
