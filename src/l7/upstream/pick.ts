// Which endpoint of a cluster takes the next request. Only healthy ones are asked.
import type { Cluster } from '../../mesh/snapshot.ts';
import type { UpstreamPiece } from '../record/line.ts';

/** An endpoint with what the worker knows of it. */
export interface Backend {
  /** The engine's id. */
  readonly id: number;
  readonly address: string;
  readonly port: number;
  weight: number;
  /** Its name, for the access log. */
  logged: UpstreamPiece;
  healthy: boolean;
  /** Requests under way. */
  active: number;
  /** How long a connection to it may lie idle, less than what the server itself says; undefined: it says nothing. */
  idleMs: number | undefined;
  /** Smooth weighted round robin: what it is owed. */
  owed: number;
}

/** The healthy ones, made anew when endpoints change. */
export interface Choice {
  readonly backends: readonly Backend[];
  readonly total: number;
  readonly even: boolean;
  next: number;
}

export function choiceOf(all: Iterable<Backend>, start: number): Choice {
  const backends = [...all].filter((b) => b.healthy && b.weight > 0);
  const total = backends.reduce((sum, b) => sum + b.weight, 0);
  return { backends, total, even: backends.every((b) => b.weight === backends[0]!.weight), next: start };
}

/** xorshift32: a cheap sequence of 32-bit numbers; not for secrets. */
export function createRandom(seed: number): () => number {
  let x = seed | 0 || 1;
  return () => {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    return x >>> 0;
  };
}

/** The next backend, or undefined where none is healthy. `random` gives 32-bit numbers. */
export function pick(choice: Choice, policy: Cluster['policy'], random: () => number): Backend | undefined {
  const { backends } = choice;
  if (backends.length <= 1) return backends[0];
  if (policy === 'random') return weighted(choice, random());
  if (policy === 'least-request') {
    const one = weighted(choice, random());
    const two = weighted(choice, random());
    return (two.active + 1) * one.weight < (one.active + 1) * two.weight ? two : one;
  }
  return choice.even ? inTurn(choice) : smooth(choice);
}

function inTurn(choice: Choice): Backend {
  const backend = choice.backends[choice.next % choice.backends.length]!;
  choice.next = (choice.next + 1) % choice.backends.length;
  return backend;
}

/** Each is owed its weight a turn, the one that is owed most pays the total (the way nginx spreads weights). */
function smooth(choice: Choice): Backend {
  let best = choice.backends[0]!;
  for (const backend of choice.backends) {
    backend.owed += backend.weight;
    if (backend.owed > best.owed) best = backend;
  }
  best.owed -= choice.total;
  return best;
}

function weighted(choice: Choice, random: number): Backend {
  const { backends } = choice;
  if (choice.even) return backends[random % backends.length]!;
  let left = random % choice.total;
  for (const backend of backends) {
    if (left < backend.weight) return backend;
    left -= backend.weight;
  }
  return backends[0]!;
}
