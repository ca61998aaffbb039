// What a lab has made outside its own process, on disk: its next start removes what a crash left.
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { isAlive, type ProcessId, processOf } from '../lib/process.ts';

/** Processes, by pid and start time (field 22 of /proc/PID/stat), so that a pid that was given anew is left alone. */
export interface Remains {
  note(pid: number): void;
  /** Ends what a lab before this one left running. */
  end(): Promise<void>;
  clear(): void;
}

export function openRemains(file: string): Remains {
  const noted: ProcessId[] = read(file);
  return {
    note(pid) {
      const id = processOf(pid);
      if (id === undefined) return;
      noted.push(id);
      mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
      writeFileSync(file, JSON.stringify(noted), { mode: 0o600 });
    },
    async end() {
      for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
        const alive = noted.filter(isAlive);
        for (const { pid } of alive) process.kill(pid, signal);
        for (let i = 0; i < 50 && alive.some(isAlive); i += 1) {
          await new Promise((done) => setTimeout(done, 100));
        }
      }
      noted.length = 0;
    },
    clear: () => rmSync(file, { force: true }),
  };
}

function read(file: string): ProcessId[] {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as ProcessId[];
  } catch {
    return [];
  }
}
