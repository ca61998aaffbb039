// Steps for a daemon of their own: commits and commands, without a network between.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { run as runIn } from '../../src/lab/process.ts';
import type { Step } from './session.ts';
import { objects, root, type TestSwitch } from './switch.ts';

export interface Answer {
  readonly ok: boolean;
  readonly faults: readonly { readonly code: string; readonly why: string }[];
  readonly problems: readonly { readonly path: string; readonly message: string }[];
  readonly data: unknown;
  readonly text: string;
  readonly fault: { readonly code: string };
}

/** Runs steps in a daemon of their own, in place of the harness's. */
export async function session(sw: TestSwitch, steps: readonly Step[]): Promise<Answer[]> {
  const daemon = {
    config: join(sw.folder, 'midplane.yaml'),
    manifests: join(sw.folder, 'manifests'),
    state: sw.state,
    instance: sw.instance,
    objects,
    trace: true,
  };
  const command = [process.execPath, join(root, 'test/lab/session.ts')];
  const ran = await runIn(sw.lab.switchNetns, command, {
    input: JSON.stringify({ daemon, steps }),
    timeoutMs: 120_000,
  });
  assert.equal(ran.code, 0, ran.stderr);
  return JSON.parse(ran.stdout) as Answer[];
}
