import { type DestinationStream, type Level, type Logger, pino } from 'pino';

/** The levels, least urgent first; `silent` says nothing at all. */
export const logLevels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;

export type LogLevel = Level | 'silent';

// Whoever reads the log must not become whoever may log in.
const secrets = ['password', 'token', 'secret', 'privateKey', 'authorization', 'cookie'];

/** The process's logger: one JSON object a line, on stdout unless `to` says otherwise, written before the call returns.
 * `name` stands in every line; a part of the process logs through `named(log, part)`. */
export function createLog(name: string, level: LogLevel, to?: DestinationStream): Logger {
  const options = {
    name,
    level,
    base: { pid: process.pid },
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
    redact: { paths: [...secrets, ...secrets.map((word) => `*.${word}`)], censor: '(hidden)' },
  };
  return pino(options, to ?? pino.destination({ dest: 1, sync: true }));
}

/** A logger for a part of the process: its lines have `part`. */
export function named(log: Logger, part: string): Logger {
  return log.child({ part });
}
