// A daemon that took the place of the lab's own (`midplane run --takeover`) is no child of the lab, and is looked after
// all the same.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { isAlive, type ProcessId } from '../lib/process.ts';

const lookMs = 200;

/** The daemon that has the instance's lock; undefined where none does. */
export function heirOf(instance: string): ProcessId | undefined {
  try {
    const holder = JSON.parse(readFileSync(join('/run/midplane', instance, 'daemon.json'), 'utf8')) as ProcessId;
    return isAlive(holder) ? holder : undefined;
  } catch {
    return undefined;
  }
}

/** Resolves when it has ended. */
export async function ended(heir: ProcessId): Promise<void> {
  while (isAlive(heir)) await sleep(lookMs);
}
