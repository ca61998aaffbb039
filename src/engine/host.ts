// What the engine is given, and what slices' run.ts files and commands get to see of it.
import type { Logger } from 'pino';
import { join } from 'node:path';
import type { z } from 'zod';
import type { Problem } from '../config/problem.ts';
import type { Kernel } from '../kernel/kernel.ts';
import type { Clock } from '../lib/clock.ts';
import type { Ids } from './ids.ts';
import type { Reconciler } from './loop/reconcile.ts';
import type { AnyDriver } from './resource.ts';
import type { Compiled } from './revision/compile.ts';
import type { RevisionInfo } from './revision/revision.ts';
import type { AnyCommand, AnySlice, Host, Look, Read } from './slice.ts';

export interface EngineInput {
  readonly slices: readonly AnySlice[];
  readonly kernel: Kernel;
  readonly clock: Clock;
  readonly log: Logger;
  readonly instance: string;
  /** FILE, the face of the running revision. */
  readonly file: string;
  /** Folder of manifests; absent: none are read or written. */
  readonly manifests?: string;
  readonly state: string;
  /** Default: /run/midplane/<instance>. */
  readonly run?: string;
  readonly ids: Ids;
  /** Kernel kinds and those that main adds, in the order in which they build on each other; slices' own come after. */
  readonly drivers: readonly AnyDriver[];
  readonly commands: readonly AnyCommand[];
  readonly live: ReadonlyMap<string, unknown>;
}

/** Parts that come into being while the engine opens. */
export interface Live {
  compiled?: Compiled;
  reconciler?: Reconciler;
  drivers: ReadonlyMap<string, AnyDriver>;
  fileProblems?: readonly Problem[];
  readonly listeners: Set<(revision: RevisionInfo) => void>;
}

/** Read only; throws before the first revision is applied. */
export function makeRead(input: EngineInput, live: Live): Read {
  const look = (): Look => {
    if (live.compiled === undefined) throw new Error('no revision runs');
    return live.compiled.look;
  };
  return {
    instance: input.instance,
    kernel: input.kernel,
    ids: input.ids,
    running: <S extends z.ZodType>(schema: S) => look()(schema),
    look,
    desired: () => live.reconciler?.desired() ?? new Map(),
    failures: () => live.reconciler?.failures() ?? [],
    actual: async (kind) => (await live.drivers.get(kind)?.read('all')) ?? new Map(),
    live: <T>(slice: string) => input.live.get(slice) as T | undefined,
  };
}

export function makeHost(input: EngineInput, live: Live, read: Read): Host {
  return {
    kernel: input.kernel,
    ids: input.ids,
    clock: input.clock,
    log: input.log,
    instance: input.instance,
    folders: { state: input.state, run: input.run ?? join('/run/midplane', input.instance) },
    read,
    publish: (owner, resources) => live.reconciler?.publish(owner, resources),
    onRevision(listener) {
      live.listeners.add(listener);
      return { [Symbol.dispose]: () => void live.listeners.delete(listener) };
    },
  };
}
