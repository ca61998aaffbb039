// users: { admin: { role: admin, keys: [ssh-ed25519 AAAA...], password: $scrypt$... } }
import { z } from 'zod';
import { canonical, role } from '../../config/types.ts';
import { isPasswordHash } from '../../lib/secret/password.ts';
import { faultOfKey } from '../ssh/auth.ts';

const userName = z
  .string()
  .regex(
    /^[a-z_][a-z0-9_-]{0,31}$/,
    'a user is named by lower-case letters, digits, dashes and underscores, 32 at most',
  );

const publicKey = canonical((text) => {
  const message = faultOfKey(text.trim());
  return message === undefined ? text.trim() : { message };
}).meta({ description: 'public key as in authorized_keys', examples: ['ssh-ed25519 AAAA... kim'] });

const password = z
  .string()
  .refine(isPasswordHash, 'no password hash; "midplane hash-password" makes one')
  .meta({
    description: 'hash of the password, by "midplane hash-password"',
    examples: ['$scrypt$ln=15,...'],
    secret: true,
  });

export const user = z.strictObject({
  role: role.default('viewer'),
  keys: z.array(publicKey).max(32).default([]).meta({ description: 'public keys that log in' }),
  password: password.optional(),
});

/** Who may log in. Nobody can by default. */
export const usersSchema = z.record(userName, user).default({}).meta({ description: 'who may log in, and as what' });
