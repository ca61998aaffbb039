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
import { FaultError, type Fault } from '../../src/engine/faults.ts';
import type { Action } from '../../src/engine/resource.ts';
import { command, type AnySlice, type Look, type Read } from '../../src/engine/slice.ts';
import { table } from '../../src/lib/table.ts';
import type { Clock } from '../../src/lib/clock.ts';

const vlanName = z.union([
  z
    .string()
    .regex(/^[a-z][a-z0-9-]*$/)
    .meta({ description: 'name of a VLAN' }),
  z.number().int().min(1).max(4094),
]);

export const portSchema = z.record(
  z.string().regex(/^[a-z][a-z0-9-]{0,14}$/, 'a port is named like swp1'),
  z.strictObject({
    mtu: z
      .int()
      .min(68)
      .max(9216)
      .default(1500)
      .meta({ description: 'largest frame', examples: ['9000'] }),
    description: z.string().max(255).optional().meta({ description: 'what it is for' }),
    shutdown: z.boolean().optional().meta({ description: 'keep it down' }),
    speed: z.enum(['auto', '1G', '10G']).optional(),
    vlan: z
      .strictObject({
        access: vlanName.optional().meta({ names: 'vlans', description: 'the untagged VLAN' }),
        trunk: z.array(vlanName).optional().meta({ names: 'vlans', description: 'tagged VLANs' }),
      })
      .optional(),
  }),
);

export const vlanSchema = z.record(
  z.string().regex(/^[a-z][a-z0-9-]*$/),
  z.strictObject({
    id: z.int().min(1).max(4094).meta({ description: 'VLAN id' }),
    address: z.array(z.string().regex(/^[0-9a-f.:]+\/\d+$/, 'an address with its prefix length')).optional(),
    key: z.string().optional().meta({ secret: true }),
  }),
);

const portRow = z.object({ name: z.string(), mtu: z.number() });

const portsSlice: AnySlice = {
  name: 'ports',
  schema: portSchema.meta({ description: 'physical and virtual ports' }),
  commands: [
    command({
      path: 'show ports',
      help: 'ports and their state',
      args: z.object({ port: z.string().optional().meta({ description: 'one port' }) }),
      data: z.array(portRow),
      role: 'viewer',
      complete: (_arg, read) => Object.keys(read.running(portSchema)),
      run: async ({ port }, read) => {
        const ports = Object.entries(read.running(portSchema)).map(([name, p]) => ({ name, mtu: p.mtu }));
        if (port === undefined) return ports;
        const one = ports.filter((row) => row.name === port);
        if (one.length === 0) throw new FaultError('not-found', `port ${port}`, 'there is no such port');
        return one;
      },
      render: (rows, columns) =>
        table(
          [{ title: 'Port' }, { title: 'MTU', align: 'right' }],
          rows.map((r) => [r.name, String(r.mtu)]),
          columns,
        ),
    }),
    command({
      path: 'show ports counters',
      help: 'counters of ports',
      args: z.object({}),
      data: z.object({ rx: z.bigint() }),
      role: 'viewer',
      run: async () => ({ rx: 2n ** 60n }),
      render: (data) => `rx ${data.rx}\n`,
    }),
    command({
      path: 'clear counters',
      help: 'counters to zero',
      args: z.object({}),
      data: z.object({}),
      role: 'operator',
      run: async () => ({}),
      render: () => 'cleared\n',
    }),
  ],
};

const vlansSlice: AnySlice = {
  name: 'vlans',
  schema: vlanSchema.meta({ description: 'named VLANs' }),
  commands: [
    command({
      path: 'monitor vlans',
      help: 'watch VLANs',
      args: z.object({ count: z.number().int().default(3) }),
      data: z.object({ tick: z.number() }),
      role: 'viewer',
      async *run({ count }, _read, signal) {
        for (let tick = 1; tick <= count && !signal.aborted; tick += 1) {
          yield { tick };
          await new Promise((resolve) => setTimeout(resolve, 5));
        }
      },
      render: (data) => `tick ${data.tick}\n`,
    }),
    command({
      path: 'show lines',
      help: 'many lines',
      args: z.object({ lines: z.number().int().max(10_000).default(100) }),
      data: z.array(z.string()),
      role: 'viewer',
      run: async ({ lines }) => Array.from({ length: lines }, (_, i) => `line ${i + 1}`),
      render: (data) => data.map((line) => `${line}\n`).join(''),
    }),
  ],
};

export const firstDocument = `# the switch
ports:
  swp1: { mtu: 9000 } # uplink
  swp2:
    vlan: { trunk: [web, 20] }
vlans:
  web: { id: 10, address: [10.10.0.1/24], key: hush }
`;

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

/** `clock` decides when confirmed commits go back (looked at on each call). */
export function fakeEngine(clock: Clock, slices: readonly AnySlice[] = [portsSlice, vlansSlice]): FakeEngine {
  const revisions: Revision[] = [];
  const listeners = new Set<(revision: RevisionInfo) => void>();
  const add = (document: string, by: string, comment: string, confirmMs?: number): Revision => {
    const confirmBy = confirmMs === undefined ? {} : { confirmBy: clock.now() + confirmMs };
    const number = revisions.length + 1;
    const revision = { number, when: clock.now(), by, comment, ...confirmBy, document, manifests: {} };
    revisions.push(revision);
    for (const listener of listeners) listener(revision);
    return revision;
  };
  add(firstDocument, 'file', '');
  const running = (): Revision => {
    const last = revisions.at(-1)!;
    if (last.confirmBy === undefined || clock.now() < last.confirmBy) return last;
    return add(revisions.at(-2)!.document, `rollback ${last.number - 1} by timer`, '');
  };
  const commit = async (candidate: Candidate, options: CommitOptions): Promise<CommitAnswer> => {
    const problems = problemsOf(candidate.document);
    if (problems.length > 0) return { ok: false, problems, faults: [] };
    if (engine.failWith.length > 0) return { ok: false, problems, faults: engine.failWith };
    if (candidate.base !== undefined && candidate.base !== running().number) {
      const why = `revision ${running().number} is running`;
      return { ok: false, problems, faults: [{ code: 'base-moved', what: 'candidate', why, retry: false }] };
    }
    options.progress?.('preparing', 0.5);
    const actions = actionsOf(running().document, candidate.document);
    const revision = add(candidate.document, options.by, options.comment ?? '', options.confirmMs);
    return { ok: true, revision, actions, tookMs: { prepare: 1, switch: 2, total: 3 }, notes: [] };
  };
  const read = fakeRead(() => running().document);
  const engine: FakeEngine = {
    failWith: [],
    slices,
    commands: slices.flatMap((slice) => slice.commands ?? []),
    read,
    running,
    check: async (candidate) => problemsOf(candidate.document),
    plan: async (candidate) => {
      const problems = problemsOf(candidate.document);
      if (problems.length > 0) return { ok: false, problems, faults: [] };
      return { ok: true, actions: actionsOf(running().document, candidate.document) };
    },
    commit,
    confirm: async (by) => {
      const last = running();
      if (last.confirmBy === undefined) {
        return { code: 'not-found', what: 'commit', why: 'none waits to be confirmed', retry: false };
      }
      const { number, when, comment, document, manifests } = last;
      const confirmed = { number, when, by: `${last.by}, confirmed by ${by}`, comment, document, manifests };
      revisions[revisions.length - 1] = confirmed;
      return confirmed;
    },
    rollback: async (number, options) => {
      const revision = revisions[number - 1];
      const why = 'there is no such revision';
      if (!revision)
        return { ok: false, problems: [], faults: [{ code: 'not-found', what: `${number}`, why, retry: false }] };
      return commit({ document: revision.document }, { ...options, by: `rollback ${number} by ${options.by}` });
    },
    history: () => (running(), revisions.toReversed()),
    revision: (number) => revisions[number - 1],
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

/** A clock that only the test moves. Timers fire when it moves past them. */
export function fakeClock(start = 1_000_000): Clock & { advance(ms: number): void } {
  let now = start;
  const timers = new Set<{ at: number; call: () => void }>();
  return {
    now: () => now,
    monotonic: () => now,
    after(ms, call) {
      const timer = { at: now + ms, call };
      timers.add(timer);
      return { [Symbol.dispose]: () => void timers.delete(timer) };
    },
    advance(ms) {
      now += ms;
      for (const timer of [...timers].sort((a, b) => a.at - b.at)) {
        if (timer.at > now || !timers.delete(timer)) continue;
        timer.call();
      }
    },
  };
}
