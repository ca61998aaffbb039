import type { Slice } from '../../engine/slice.ts';
import { usersSchema } from './schema.ts';
import { usersCommands } from './show.ts';

/** `users`: read by the SSH server at each login, so it compiles to nothing. */
export const users: Slice<typeof usersSchema> = {
  name: 'users',
  schema: usersSchema,
  commands: usersCommands,
};
