// show users
import { z } from 'zod';
import { command, type AnyCommand, type Read } from '../../engine/slice.ts';
import { ago, table } from '../../lib/table.ts';
import { usersSchema } from './schema.ts';

const row = z.object({
  name: z.string(),
  role: z.string(),
  keys: z.number(),
  password: z.boolean(),
  sessions: z.array(z.object({ from: z.string(), since: z.number(), ageMs: z.number() })),
});

/** What the ssh slice offers as its live state. */
export interface Visitors {
  visitors(): readonly { readonly user: string; readonly from: string; readonly since: number }[];
  now(): number;
}

async function userRows(read: Read): Promise<z.infer<typeof row>[]> {
  const live = read.live<Visitors>('ssh');
  const visitors = live?.visitors() ?? [];
  return Object.entries(read.running(usersSchema)).map(([name, user]) => ({
    name,
    role: user.role,
    keys: user.keys.length,
    password: user.password !== undefined,
    sessions: visitors
      .filter((visitor) => visitor.user === name)
      .map(({ from, since }) => ({ from, since, ageMs: (live?.now() ?? since) - since })),
  }));
}

const showUsers = command({
  path: 'show users',
  help: 'who may log in, and who is',
  role: 'viewer',
  args: z.object({}),
  data: z.array(row),
  run: (_args, read) => userRows(read),
  render: (rows, columns) =>
    table(
      [
        { title: 'User' },
        { title: 'Role' },
        { title: 'Keys', align: 'right' },
        { title: 'Password' },
        { title: 'Logged in', flex: true },
      ],
      rows.map(({ name, role, keys, password, sessions }) => [
        name,
        role,
        String(keys),
        password ? 'yes' : 'no',
        sessions.map(({ from, ageMs }) => `${from} ${ago(ageMs)}`).join(', '),
      ]),
      columns,
    ),
});

export const usersCommands: readonly AnyCommand[] = [showUsers];
