// The threads of the L7 router as a resource: how many there are, and how long what they carry may outlive them.
import type { Driver, Ref, Resource } from '../engine/resource.ts';
import type { Look } from '../engine/slice.ts';
import { defaultDrainMs, gatewaySectionSchema } from './manifest/slice.ts';

/** The router, as far as it can be made another. */
export interface Crew {
  /** Resolves when there are so many, default one a core. */
  resize(workers?: number): Promise<void>;
  drainTimeout(ms: number): void;
}

interface CrewSpec {
  /** 0: one a core. */
  readonly workers: number;
  readonly drainMs: number;
}

const ref: Ref = 'router/workers';

/** How long connections may go on with a daemon or a worker that is replaced, in milliseconds. */
export function drainTimeoutOf(look: Look): number {
  return look(gatewaySectionSchema)['drain-timeout'] ?? defaultDrainMs;
}

export function crewResource(owner: string, look: Look): Resource<CrewSpec> {
  const { workers = 0 } = look(gatewaySectionSchema);
  return { ref, owner, spec: { workers, drainMs: drainTimeoutOf(look) }, needs: [] };
}

/** A router that has not been told is what it was started as. */
export function crewDriver(router: Crew): Driver<CrewSpec, CrewSpec> {
  let inForce: CrewSpec | undefined;
  return {
    kind: 'router',
    read: () => Promise.resolve(new Map(inForce === undefined ? [] : [[ref, inForce]])),
    diff: (spec, actual) => (spec.workers === actual.workers && spec.drainMs === actual.drainMs ? 'same' : 'update'),
    async put(batch) {
      for (const [, spec] of batch) {
        router.drainTimeout(spec.drainMs);
        await router.resize(spec.workers === 0 ? undefined : spec.workers);
        inForce = spec;
      }
    },
    drop: () => {
      inForce = undefined;
      return Promise.resolve();
    },
  };
}
