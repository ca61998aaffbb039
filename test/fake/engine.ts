// An engine in memory with two toy slices: what session, SSH and API tests talk to. It checks against the schemas,
// keeps revisions, refuses a moved base and lets go of unconfirmed commits when the test's clock says so.
import { parse } from 'yaml';
import { z } from 'zod';
import type { Problem } from '../../src/config/problem.ts';
import type {
  Candidate,
  CommitAnswer,
  CommitOptions,
  Engine,
  Revision,
  RevisionInfo,
} from '../../src/engine/engine.ts';
import type { Fault } from '../../src/engine/faults.ts';
import type { Action } from '../../src/engine/resource.ts';
import type { AnySlice, Look, Read } from '../../src/engine/slice.ts';
import type { Clock } from '../../src/lib/clock.ts';
import { firstDocument, portSchema, portsSlice, vlanSchema, vlansSlice } from './slices.ts';

const documentSchema = z.strictObject({ ports: portSchema.default({}), vlans: vlanSchema.default({}) });

function problemsOf(document: string): readonly Problem[] {
  let value: unknown;
  try {
    value = parse(document) ?? {};
  } catch (error) {
    return [{ file: 'midplane.yaml', line: 1, column: 1, path: '', message: String(error) }];
  }
  const result = documentSchema.safeParse(value);
  if (result.success) return [];
  return result.error.issues.map((issue) => ({
    file: 'midplane.yaml',
    line: 1,
    column: 1,
    path: issue.path.join('.'),
    message: issue.message,
  }));
}

export interface FakeEngine extends Engine {
  /** Faults that the next commits answer. */
  failWith: readonly Fault[];
}

/** Revisions in memory; the clock is looked at on each call, to let go of what was not confirmed in time. */
function openRevisions(clock: Clock) {
  const all: Revision[] = [];
  const listeners = new Set<(revision: RevisionInfo) => void>();
  const add = (document: string, by: string, comment: string, confirmMs?: number): Revision => {
    const confirmBy = confirmMs === undefined ? {} : { confirmBy: clock.now() + confirmMs };
    const revision = { number: all.length + 1, when: clock.now(), by, comment, ...confirmBy, document, manifests: {} };
    all.push(revision);
    for (const listener of listeners) listener(revision);
    return revision;
  };
  const running = (): Revision => {
    const last = all.at(-1)!;
    if (last.confirmBy === undefined || clock.now() < last.confirmBy) return last;
    return add(all.at(-2)!.document, `rollback ${last.number - 1} by timer`, '');
  };
  const confirm = async (by: string): Promise<Fault | RevisionInfo> => {
    const { confirmBy, ...last } = running();
    if (confirmBy === undefined) {
      return { code: 'not-found', what: 'commit', why: 'none waits to be confirmed', retry: false };
    }
    const confirmed = { ...last, by: `${last.by}, confirmed by ${by}` };
    all[all.length - 1] = confirmed;
    return confirmed;
  };
  return { all, listeners, add, running, confirm };
}

/** `clock` decides when confirmed commits go back. */
export function fakeEngine(clock: Clock, slices: readonly AnySlice[] = [portsSlice, vlansSlice]): FakeEngine {
  const { all, listeners, add, running, confirm } = openRevisions(clock);
  add(firstDocument, 'file', '');
  const failed = (problems: readonly Problem[], ...faults: Fault[]) => ({ ok: false as const, problems, faults });
  const commit = async (candidate: Candidate, options: CommitOptions): Promise<CommitAnswer> => {
    const problems = problemsOf(candidate.document);
    if (problems.length > 0 || engine.failWith.length > 0) return failed(problems, ...engine.failWith);
    if (candidate.base !== undefined && candidate.base !== running().number) {
      const why = `revision ${running().number} is running`;
      return failed([], { code: 'base-moved', what: 'candidate', why, retry: false });
    }
    options.progress?.('preparing', 0.5);
    const actions = actionsOf(running().document, candidate.document);
    const revision = add(candidate.document, options.by, options.comment ?? '', options.confirmMs);
    return { ok: true, revision, actions, tookMs: { prepare: 1, switch: 2, total: 3 }, notes: [] };
  };
  const engine: FakeEngine = {
    failWith: [],
    slices,
    commands: slices.flatMap((slice) => slice.commands ?? []),
    read: fakeRead(() => running().document),
    running,
    fileProblems: () => [],
    check: async (candidate) => problemsOf(candidate.document),
    plan: async (candidate) => {
      const problems = problemsOf(candidate.document);
      if (problems.length > 0) return failed(problems);
      return { ok: true, actions: actionsOf(running().document, candidate.document) };
    },
    drift: async () => ({ actions: [], faults: [], resources: new Map() }),
    commit,
    confirm,
    rollback: async (number, options) => {
      const revision = all[number - 1];
      const why = 'there is no such revision';
      if (!revision) return failed([], { code: 'not-found', what: `${number}`, why, retry: false });
      return commit({ document: revision.document }, { ...options, by: `rollback ${number} by ${options.by}` });
    },
    history: () => (running(), all.toReversed()),
    revision: (number) => all[number - 1],
    onRevision: (listener) => {
      listeners.add(listener);
      return { [Symbol.dispose]: () => void listeners.delete(listener) };
    },
  };
  return engine;
}

/** A put for each port, an address for each address of a VLAN: enough to see a plan. */
function actionsOf(from: string, to: string): readonly Action[] {
  const before = refsOf(from);
  const after = refsOf(to);
  const puts = [...after].filter(([ref, spec]) => before.get(ref) !== spec);
  const drops = [...before].filter(([ref]) => !after.has(ref));
  const action = (verb: 'put' | 'drop', ref: string): Action => ({
    phase: 'switch',
    verb,
    ref: ref as Action['ref'],
    line: `${verb} ${ref}`,
    ...(verb === 'drop' ? { unwanted: true } : {}),
  });
  return [...puts.map(([ref]) => action('put', ref)), ...drops.map(([ref]) => action('drop', ref))];
}

function refsOf(document: string): Map<string, string> {
  const { ports, vlans } = documentSchema.parse(parse(document) ?? {});
  const refs = new Map<string, string>();
  for (const [name, port] of Object.entries(ports)) refs.set(`port/${name}`, JSON.stringify(port));
  for (const [name, vlan] of Object.entries(vlans)) {
    for (const address of vlan.address ?? []) refs.set(`address/vlan-${name}:${address}`, '');
  }
  return refs;
}

function fakeRead(document: () => string): Read {
  const sections = (): Record<string, unknown> => documentSchema.parse(parse(document()) ?? {});
  const running = <S extends z.ZodType>(schema: S): z.infer<S> => {
    const names = new Map<unknown, string>([
      [portSchema, 'ports'],
      [vlanSchema, 'vlans'],
    ]);
    return sections()[names.get(schema) ?? ''] as z.infer<S>;
  };
  return {
    ids: undefined as unknown as Read['ids'],
    instance: 'test',
    running,
    look: () => running as unknown as Look,
    desired: () => new Map(),
    actual: async () => new Map(),
    failures: () => [],
    kernel: {} as Read['kernel'],
    live: () => undefined,
  };
}
