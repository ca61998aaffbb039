// What CLI, API and main see of the engine. `commit.ts` makes it.
import type { Problem } from '../config/problem.ts';
import type { Fault } from './faults.ts';
import type { Drift } from './loop/world.ts';
import type { Action } from './resource.ts';
import type { Revision, RevisionInfo } from './revision/revision.ts';
import type { AnyCommand, AnySlice, Read } from './slice.ts';

export type { Drift } from './loop/world.ts';
export type { Revision, RevisionInfo } from './revision/revision.ts';

/** The text of a revision that is not applied yet: the document and, where they change too, the manifests. */
export interface Candidate {
  readonly document: string;
  /** File name -> text. Absent: those of the running revision. */
  readonly manifests?: Readonly<Record<string, string>>;
  /** The revision that it was made from. Another one running: refused with 'base-moved'. Absent: no check. */
  readonly base?: number;
}

/** ok: `actions` in order of travel. Not ok: why, and nothing has changed. */
export type PlanAnswer =
  | { readonly ok: true; readonly actions: readonly Action[] }
  | { readonly ok: false; readonly problems: readonly Problem[]; readonly faults: readonly Fault[] };

export type CommitAnswer =
  | {
      readonly ok: true;
      readonly revision: RevisionInfo;
      readonly actions: readonly Action[];
      /** Milliseconds by phase. */
      readonly tookMs: { readonly prepare: number; readonly switch: number; readonly total: number };
      /** What the writer should know: a default that bit, a guest that is still starting. */
      readonly notes: readonly string[];
    }
  | { readonly ok: false; readonly problems: readonly Problem[]; readonly faults: readonly Fault[] };

export interface CommitOptions {
  readonly by: string;
  readonly comment?: string;
  /** Goes back by itself after so long, unless confirm() comes first, or a commit without confirmMs, which confirms
   * what waits (RFC 6241 section 8.4, Junos). A further commit with confirmMs starts the time anew and goes back to the
   * same revision as the first. */
  readonly confirmMs?: number;
  readonly progress?: (line: string, fraction?: number) => void;
  readonly signal?: AbortSignal;
}

export interface Engine {
  readonly slices: readonly AnySlice[];
  /** All commands of all slices, and the engine's own ("show history"). */
  readonly commands: readonly AnyCommand[];
  readonly read: Read;
  running(): Revision;
  /** Why FILE or a manifest was not taken in at the start, so that an older revision runs; the disk keeps that text
   * until the next commit. Empty from then on. */
  fileProblems(): readonly Problem[];
  /** Problems of a candidate: empty where it could be committed. */
  check(candidate: Candidate): Promise<readonly Problem[]>;
  plan(candidate: Candidate): Promise<PlanAnswer>;
  /** Where the world is not as the running revision wants it. */
  drift(): Promise<Drift>;
  commit(candidate: Candidate, options: CommitOptions): Promise<CommitAnswer>;
  /** Makes the pending commit permanent. Fault 'not-found' where none is pending. */
  confirm(by: string): Promise<Fault | RevisionInfo>;
  /** Commits revision `number` again, as a new revision. */
  rollback(number: number, options: CommitOptions): Promise<CommitAnswer>;
  /** Newest first. */
  history(): readonly RevisionInfo[];
  revision(number: number): Revision | undefined;
  /** Called after each applied revision. */
  onRevision(listener: (revision: RevisionInfo) => void): Disposable;
}
