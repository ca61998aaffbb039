import type { Problem } from '../../config/problem.ts';
import type { Resource } from '../../engine/resource.ts';
import type { Look } from '../../engine/slice.ts';
import { attachGuest, checkGuest, mainAddress } from '../attach.ts';
import type { GuestSpec } from '../supervise.ts';
import type { ContainerEntry, Containers } from './schema.ts';

const owner = 'containers';

export interface ContainerSpec extends GuestSpec {
  readonly netns: string;
  readonly image: string;
  readonly command?: readonly string[];
  readonly entrypoint?: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  /** Bytes. */
  readonly memory: number;
  readonly cpus: number;
  readonly pids: number;
  readonly dns: readonly string[];
}

export function checkContainers(containers: Containers, look: Look): readonly Problem[] {
  return Object.entries(containers).flatMap(([name, entry]) => checkGuest(owner, name, entry, look));
}

export function compileContainers(containers: Containers, look: Look): readonly Resource[] {
  return Object.entries(containers).flatMap(([name, entry]) => compileContainer(name, entry, look));
}

function compileContainer(name: string, entry: ContainerEntry, look: Look): readonly Resource[] {
  const { netns, dns, resources, needs } = attachGuest(owner, name, entry, look);
  const { image, command, entrypoint, environment, memory, cpus, pids, restart, health } = entry;
  const spec: ContainerSpec = {
    netns,
    image,
    ...(command === undefined ? {} : { command }),
    ...(entrypoint === undefined ? {} : { entrypoint }),
    environment,
    memory,
    cpus,
    pids,
    dns,
    restart,
    ...(health === undefined ? {} : { health }),
    ...(entry.address.length === 0 ? {} : { at: mainAddress(entry) }),
  };
  return [...resources, { ref: `container/${name}`, owner, spec, needs }];
}
