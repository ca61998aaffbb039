// What a guest slice offers while it runs, under its name ('containers', 'vms', 'functions').

export type GuestState = 'running' | 'starting' | 'failed' | 'stopped';

export interface GuestStatus {
  readonly kind: 'container' | 'vm' | 'function';
  readonly state: GuestState;
  /** Whether services may send it traffic. Without a check: it runs. */
  readonly healthy: boolean;
  /** Its first process; 0: none. */
  readonly pid: number;
  /** Milliseconds since 1970; 0: it does not run. */
  readonly startedAt: number;
  /** Why it does not run or is not healthy; '': nothing to say. */
  readonly why: string;
  /** The address that others reach it by; '': none. */
  readonly address: string;
  /** Times that it was started again after it had ended. */
  readonly restarts: number;
  /** How it had ended the last time; '': it never did. */
  readonly ended: string;
}

/** What a daemon that takes another's place heard from it, offered as 'predecessor'. */
export interface PredecessorLive {
  /** Guests that services sent traffic to; a guest slice takes those out that it has looked at itself. */
  readonly healthy: Set<string>;
}

export interface Ran {
  readonly code: number;
  readonly output: string;
}

/** A FaultError 'not-found' for a guest that is none of this slice. */
export interface GuestsLive {
  guests(): ReadonlyMap<string, GuestStatus>;
  /** Called when a state or a health changes. */
  onChange(listener: () => void): Disposable;
  /** The last lines that the guest wrote. */
  logs(name: string, lines: number): Promise<string>;
  restart(name: string): Promise<void>;
  /** Runs a command inside; absent where the kind cannot. */
  exec?(name: string, argv: readonly string[]): Promise<Ran>;
  /** Path of the unix socket of its console; absent where the kind has none. */
  console?(name: string): string;
}

/** The last lines of a text. */
export function lastLines(text: string, lines: number): string {
  const all = text.split('\n');
  if (all.at(-1) === '') all.pop();
  return all.slice(-lines).join('\n');
}
