import type { Problem } from '../../config/problem.ts';
import type { Resource } from '../../engine/resource.ts';
import type { Look } from '../../engine/slice.ts';
import { attachGuest, checkGuest, mainAddress } from '../attach.ts';
import type { GuestSpec } from '../supervise.ts';
import { type FunctionEntry, type Functions, portOfFunction } from './schema.ts';

const owner = 'functions';

export interface FunctionSpec extends GuestSpec {
  readonly netns: string;
  /** Text of the module, so that a revision brings back what ran. */
  readonly source: string;
  readonly typescript: boolean;
  /** Bytes. */
  readonly memory: number;
  readonly cpus: number;
  readonly pids: number;
  readonly timeoutMs: number;
  /** TCP port that it listens on. */
  readonly port: number;
  readonly environment: Readonly<Record<string, string>>;
  readonly dns: readonly string[];
}

/** Rules across sections: the source is there, and what holds for every guest. */
export function checkFunctions(functions: Functions, look: Look): readonly Problem[] {
  return Object.entries(functions).flatMap(([name, entry]) => {
    const missing = look.file(entry.source) === undefined;
    const at = [owner, name, 'source'];
    const hint = 'a file of at most 16 MiB is looked for beside the document, not outside its folder';
    return [
      ...(missing ? [look.problem(at, `there is no file ${entry.source}`, hint)] : []),
      ...checkGuest(owner, name, entry, look),
    ];
  });
}

export function compileFunctions(functions: Functions, look: Look): readonly Resource[] {
  return Object.entries(functions).flatMap(([name, entry]) => compileFunction(name, entry, look));
}

function compileFunction(name: string, entry: FunctionEntry, look: Look): readonly Resource[] {
  const { netns, dns, resources, needs } = attachGuest(owner, name, entry, look);
  const spec: FunctionSpec = {
    netns,
    source: Buffer.from(look.file(entry.source) ?? []).toString('utf8'),
    typescript: /\.m?ts$/.test(entry.source),
    memory: entry.memory,
    cpus: entry.cpus,
    pids: entry.pids,
    timeoutMs: entry.timeout,
    port: portOfFunction(entry),
    environment: entry.environment,
    dns,
    restart: entry.restart,
    ...(entry.health === undefined ? {} : { health: entry.health }),
    ...(entry.address.length === 0 ? {} : { at: mainAddress(entry) }),
  };
  return [...resources, { ref: `function/${name}`, owner, spec, needs }];
}
