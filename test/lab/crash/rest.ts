// A switch at rest, asked by its front door: which revision runs, and that nothing is left to do for it.
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Action } from '../../../src/engine/resource.ts';
import type { TestSwitch } from '../rig.ts';
import { worldOf } from './world.ts';

export interface Running {
  readonly revision: number;
  readonly document: string;
  readonly manifests: Readonly<Record<string, string>>;
}

export const runningOf = async (sw: TestSwitch): Promise<Running> =>
  (await sw.api<Running>('GET', '/v1/configuration')).body;

interface Drift {
  readonly actions: readonly Action[];
  readonly faults: readonly unknown[];
  /** How many there should be, by kind. */
  readonly resources: Readonly<Record<string, number>>;
}

export const driftOf = async (sw: TestSwitch): Promise<Drift> => (await sw.api<Drift>('GET', '/v1/show/drift')).body;

/** Waits until nothing is left to do, guests that start included. */
export async function atRest(sw: TestSwitch, when: string): Promise<void> {
  let last: unknown;
  for (const end = Date.now() + 60_000; Date.now() < end; await sleep(100)) {
    const { actions, faults } = await driftOf(sw);
    const { failures } = (await sw.api<{ failures: unknown[] }>('GET', '/v1/show/system')).body;
    last = { actions: actions.map(({ line }) => line), faults, failures };
    if (actions.length + faults.length + failures.length === 0) return;
  }
  assert.fail(`${when}: never at rest: ${JSON.stringify(last)}`);
}

/** Fails unless the world becomes as wanted in a few seconds: what ends may take a moment. */
export async function mustLook(sw: TestSwitch, wanted: unknown, when: string): Promise<void> {
  let world: unknown;
  for (let i = 0; i < 50; i += 1) {
    world = await worldOf(sw);
    if (JSON.stringify(world) === JSON.stringify(wanted)) return;
    await sleep(100);
  }
  assert.deepEqual(world, wanted, when);
}

/** FILE and the manifests folder as they stand on the disk. */
export function faceOf(sw: TestSwitch): Pick<Running, 'document' | 'manifests'> {
  const folder = join(sw.folder, 'manifests');
  const names = existsSync(folder) ? readdirSync(folder) : [];
  return {
    document: readFileSync(join(sw.folder, 'midplane.yaml'), 'utf8'),
    manifests: Object.fromEntries(names.map((name) => [name, readFileSync(join(folder, name), 'utf8')])),
  };
}

/** What a crash or a failure left half written, where anything is. */
export function halfWritten(sw: TestSwitch): readonly string[] {
  const all = [...readdirSync(join(sw.state, 'history')), ...readdirSync(sw.state), ...readdirSync(sw.folder)];
  return all.filter((name) => /^tmp-|\.tmp$|^face-is-being-written$/.test(name));
}
