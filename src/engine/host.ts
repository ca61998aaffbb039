// What slices' run.ts files and commands get to see of the engine.
import { join } from 'node:path';
import type { z } from 'zod';
import type { Compiled } from './compile.ts';
import type { EngineInput } from './open.ts';
import type { Reconciler } from './reconcile.ts';
import type { RevisionInfo } from './engine.ts';
import type { AnyDriver } from './resource.ts';
import type { Host, Look, Read } from './slice.ts';

/** Parts that come into being while the engine opens. */
export interface Live {
  compiled?: Compiled;
  reconciler?: Reconciler;
  drivers: ReadonlyMap<string, AnyDriver>;
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
