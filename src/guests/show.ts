// show guests, guest logs NAME, guest restart NAME, guest exec NAME COMMAND
import { z } from 'zod';
import { FaultError } from '../engine/faults.ts';
import { type AnyCommand, command, type Read } from '../engine/slice.ts';
import { systemClock } from '../lib/clock.ts';
import { ago, table, printable } from '../lib/table.ts';
import type { GuestsLive, GuestStatus } from './live.ts';

const slices = ['containers', 'vms', 'functions'] as const;

const guestData = z.object({
  name: z.string(),
  kind: z.enum(['container', 'vm', 'function']),
  state: z.enum(['running', 'starting', 'failed', 'stopped']),
  healthy: z.boolean(),
  address: z.string(),
  pid: z.number(),
  /** Milliseconds since 1970, 0: not running. */
  startedAt: z.number(),
  restarts: z.number(),
  /** How it ended before the last restart; '': it never did. */
  ended: z.string(),
  why: z.string(),
});

type GuestData = z.infer<typeof guestData>;

function lives(read: Read): readonly GuestsLive[] {
  return slices.flatMap((slice) => read.live<GuestsLive>(slice) ?? []);
}

/** Guests of all kinds, sorted by name. */
export function guestRows(all: readonly GuestsLive[]): GuestData[] {
  const rows = all.flatMap((live) =>
    [...live.guests()].map(([name, status]: readonly [string, GuestStatus]) => ({ name, ...status })),
  );
  return rows.toSorted((a, b) => (a.name < b.name ? -1 : 1));
}

function find(read: Read, name: string): GuestsLive {
  const live = lives(read).find((one) => one.guests().has(name));
  if (live === undefined) throw new FaultError('not-found', name, 'no such guest');
  return live;
}

const complete = (arg: string, read: Read): readonly string[] =>
  arg === 'name' ? guestRows(lives(read)).map((row) => row.name) : [];

const healthText = (row: GuestData): string =>
  row.state === 'running' ? (row.healthy ? 'healthy' : 'unhealthy') : '-';

/** What it does, why not, or else why it had to be started again. */
function stateText({ state, why, ended }: GuestData): string {
  if (why !== '') return `${state}: ${why}`;
  return ended === '' ? state : `${state}, ended before: ${ended}`;
}

/** One line a guest. `now` in milliseconds since 1970. */
export function renderGuests(rows: readonly GuestData[], columns: number, now: number): string {
  if (rows.length === 0) return 'no guests\n';
  return table(
    [
      { title: 'Guest' },
      { title: 'Kind' },
      { title: 'State', flex: true },
      { title: 'Health' },
      { title: 'Address' },
      { title: 'Up', align: 'right' },
      { title: 'Restarts', align: 'right' },
    ],
    rows.map((row) => [
      row.name,
      row.kind,
      stateText(row),
      healthText(row),
      row.address || '-',
      row.startedAt === 0 ? '-' : ago(now - row.startedAt),
      String(row.restarts),
    ]),
    columns,
  );
}

const name = z.string().meta({ description: 'name of a guest' });

const showGuests = command({
  path: 'show guests',
  help: 'containers, VMs and functions, their state and health',
  example: 'show guests',
  role: 'viewer',
  args: z.object({ name: name.optional() }),
  data: z.array(guestData),
  run: (args, read) =>
    Promise.resolve(guestRows(lives(read)).filter((row) => args.name === undefined || row.name === args.name)),
  render: (rows, columns) => renderGuests(rows, columns, systemClock.now()),
  complete,
});

/** What a guest wrote, without a byte that an operator's terminal would obey. */
function harmless(text: string): string {
  return text.split('\n').map(printable).join('\n');
}

const guestLogs = command({
  path: 'guest logs',
  help: 'the last lines that a guest wrote',
  example: 'guest logs web1 100',
  role: 'operator',
  args: z.object({
    name,
    lines: z.coerce.number().int().min(1).max(10_000).default(50).meta({ description: 'how many lines' }),
  }),
  data: z.object({ text: z.string() }),
  run: async (args, read) => ({ text: await find(read, args.name).logs(args.name, args.lines) }),
  render: ({ text }) => harmless(text === '' || text.endsWith('\n') ? text : `${text}\n`),
  complete,
});

const guestRestart = command({
  path: 'guest restart',
  help: 'stop a guest and start it again',
  example: 'guest restart web1',
  role: 'operator',
  args: z.object({ name }),
  data: z.object({ name: z.string(), state: z.string() }),
  run: async (args, read) => {
    const live = find(read, args.name);
    await live.restart(args.name);
    return { name: args.name, state: live.guests().get(args.name)?.state ?? 'stopped' };
  },
  render: (data) => `${data.name}: ${data.state}\n`,
  complete,
});

const guestExec = command({
  path: 'guest exec',
  help: 'run a command inside a container',
  example: 'guest exec web1 "ip address"',
  role: 'operator',
  args: z.object({ name, command: z.string().min(1).meta({ description: 'command, run by the shell of the guest' }) }),
  data: z.object({ code: z.number(), output: z.string() }),
  run: async (args, read) => {
    const live = find(read, args.name);
    if (live.exec === undefined) throw new FaultError('not-supported', args.name, 'nothing can be run in this kind');
    return live.exec(args.name, ['/bin/sh', '-c', args.command]);
  },
  render: ({ code, output }) => harmless(code === 0 ? output : `${output}exit code ${code}\n`),
  complete,
});

const guestConsole = command({
  path: 'guest console',
  help: 'the console of a VM; ^] ends',
  example: 'guest console db1',
  role: 'operator',
  args: z.object({ name }),
  data: z.object({ socket: z.string() }),
  run: (args, read) => {
    const live = find(read, args.name);
    if (live.console === undefined) throw new FaultError('not-supported', args.name, 'this kind has no console');
    return Promise.resolve({ socket: live.console(args.name) });
  },
  render: ({ socket }) => `${socket}\n`,
  attach: ({ socket }) => socket,
  complete,
});

/** Commands for guests of every kind; one slice lists them. */
export const guestCommands: readonly AnyCommand[] = [showGuests, guestLogs, guestRestart, guestExec, guestConsole];
