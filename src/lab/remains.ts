// What a lab has made outside its own process, on disk: its next start removes what a crash left.
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';

/** Processes, by pid and start time (field 22 of /proc/PID/stat), so that a pid that was given anew is left alone. */
export interface Remains {
  note(pid: number): void;
  /** Ends what a lab before this one left running. */
  end(): Promise<void>;
  clear(): void;
}

interface Noted {
  readonly pid: number;
  readonly startTime: string;
}

export function openRemains(file: string): Remains {
  const noted: Noted[] = read(file);
  return {
    note(pid) {
      const startTime = startTimeOf(pid);
      if (startTime === undefined) return;
      noted.push({ pid, startTime });
      mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
      writeFileSync(file, JSON.stringify(noted), { mode: 0o600 });
    },
    async end() {
      for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
        const alive = noted.filter((one) => startTimeOf(one.pid) === one.startTime);
        for (const { pid } of alive) process.kill(pid, signal);
        for (let i = 0; i < 50 && alive.some((one) => startTimeOf(one.pid) === one.startTime); i += 1) {
          await new Promise((done) => setTimeout(done, 100));
        }
      }
      noted.length = 0;
    },
    clear: () => rmSync(file, { force: true }),
  };
}

function read(file: string): Noted[] {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as Noted[];
  } catch {
    return [];
  }
}

/** Undefined where there is no such process, or it is a zombie. */
function startTimeOf(pid: number): string | undefined {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)?.split(' ') ?? [];
    return fields[0] === 'Z' ? undefined : fields[19];
  } catch {
    return undefined;
  }
}
