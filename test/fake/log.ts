// A log that is kept.
import { pino } from 'pino';
import type { Logger } from 'pino';

/** A log, and its lines as they come. */
export function keptLog(): { readonly log: Logger; readonly lines: readonly Record<string, unknown>[] } {
  const lines: Record<string, unknown>[] = [];
  const write = (line: string): void => void lines.push(JSON.parse(line) as Record<string, unknown>);
  return { log: pino({ base: null }, { write }), lines };
}
