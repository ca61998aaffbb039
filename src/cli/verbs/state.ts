// What the verbs of a session share: its state, what a verb is given and what it answers.
import type { Engine } from '../../engine/engine.ts';
import type { AnyCommand, Role } from '../../engine/slice.ts';
import type { Clock } from '../../lib/clock.ts';
import type { Draft } from '../document/candidate.ts';
import type { Place } from '../document/place.ts';
import type { Entry } from '../tree.ts';
import type { Word } from '../words.ts';

/** Who a session acts for, and on what. */
export interface SessionOptions {
  readonly engine: Engine;
  /** All commands that can be entered; the roles are checked here. */
  readonly commands: readonly AnyCommand[];
  readonly clock: Clock;
  /** "admin@ssh:10.0.0.5": stands in the history. */
  readonly who: string;
  readonly role: Role;
  hostname(): string;
  /** The switch's own address that the session came in by. A commit that takes it away must be a confirmed one. */
  readonly cameInBy?: string;
}

/** 0 done, 1 bad input, 2 a fault of the world. */
export type ExitCode = 0 | 1 | 2;

/** Where a running command writes before its answer is complete. */
export interface Output {
  readonly columns: number;
  /** A line of progress, or a part of an answer that comes bit by bit. */
  write(text: string): void;
  /** The whole picture again, in place of the one before. */
  redraw(text: string): void;
}

export interface Result {
  readonly exitCode: ExitCode;
  /** What `| json` and `| yaml` show; absent: the verb has only text. */
  readonly data?: unknown;
  text(columns: number): string;
  /** What `| compare` shows. */
  readonly compare?: () => string;
  /** A unix socket that takes an interactive terminal over. */
  readonly attach?: string;
  /** The session ends with this answer. */
  readonly ends?: boolean;
}

export interface Call {
  readonly words: readonly Word[];
  readonly args: unknown;
  readonly out: Output;
  readonly signal: AbortSignal;
  /** The form that the pipes ask for: a command that gives data bit by bit prints each in it. */
  readonly form: 'text' | 'json' | 'yaml' | 'compare';
}

export type Run = (call: Call) => Promise<Result>;
export type Verb = Entry<Run>;

/** Where in the document an `edit` stands. */
export interface Level {
  readonly path: readonly string[];
  readonly place: Place;
}

export interface State {
  mode: 'operational' | 'configuration';
  /** Kept while the session lives, also outside configuration mode. */
  draft: Draft | undefined;
  /** Levels of `edit`, the innermost last; never empty. */
  levels: Level[];
  /** The warning about uncommitted changes was shown. */
  warned: boolean;
}

/** The level that paths start from. */
export function levelOf(state: State): Level {
  const level = state.levels.at(-1);
  if (!level) throw new Error('the top level is always there');
  return level;
}

/** The candidate under edit; configuration mode always has one. */
export function draftIn(state: State): Draft {
  if (!state.draft) throw new Error('configuration mode without a candidate');
  return state.draft;
}

/** Done, with a text for people. */
export function done(text = ''): Result {
  return { exitCode: 0, text: () => text };
}

/** Refused because of what was typed. */
export function refused(text: string): Result {
  return { exitCode: 1, text: () => (text.endsWith('\n') ? text : `${text}\n`) };
}
