// A process is known again by pid and start time: a pid alone may be another's by then.
import { readFileSync } from 'node:fs';

export interface ProcessId {
  readonly pid: number;
  /** Clock ticks since boot: field 22 of /proc/PID/stat (proc(5)). */
  readonly startTime: number;
}

/** The process that has this pid now; undefined where there is none, or only its exit status is left. */
export function processOf(pid: number): ProcessId | undefined {
  const text = statOf(pid);
  // The command's name, in parentheses, may have spaces and parentheses.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  if (fields.length < 20 || 'ZXx'.includes(fields[0] ?? '')) return undefined;
  return { pid, startTime: Number(fields[19]) };
}

/** Whether that very process still runs. */
export function isAlive(id: ProcessId): boolean {
  return processOf(id.pid)?.startTime === id.startTime;
}

function statOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/stat`, 'utf8');
  } catch {
    return '';
  }
}
