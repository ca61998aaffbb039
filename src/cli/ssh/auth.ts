// Who may come in: public keys and passwords of the document's users. Nothing that a stranger can measure tells whether
// a user exists.
import { createRequire } from 'node:module';
import type ssh2 from 'ssh2';
import type { ParsedKey, PublicKeyAuthContext } from 'ssh2';
import type { Role } from '../../engine/slice.ts';
import { verifyPassword } from '../../lib/secret/password.ts';

export interface SshUser {
  readonly role: Role;
  /** Lines as in authorized_keys, without options. */
  readonly keys?: readonly string[];
  /** A scrypt string (lib/secret/password.ts). */
  readonly password?: string;
}

export type Users = Readonly<Record<string, SshUser>>;

/** Key types that may log in; ssh-rsa stands for keys, whose signatures must be SHA-2. */
export const keyTypes = [
  'ssh-ed25519',
  'ecdsa-sha2-nistp256',
  'ecdsa-sha2-nistp384',
  'ecdsa-sha2-nistp521',
  'ssh-rsa',
] as const;

const shortestRsaBits = 2048;

/** Loads the library with the first key: a switch that nobody has a key of starts without. */
function parseKey(line: string): ParsedKey | Error {
  return (createRequire(import.meta.url)('ssh2') as typeof ssh2).utils.parseKey(line);
}

/** What is wrong with a public key line; undefined: nothing. */
export function faultOfKey(line: string): string | undefined {
  if (!keyTypes.some((type) => line.startsWith(`${type} `))) return `a key begins with one of ${keyTypes.join(', ')}`;
  const key = parseKey(line);
  if (key instanceof Error) return 'no public key that can be read';
  if (key.isPrivateKey()) return 'a private key; the public one belongs here';
  if (key.type === 'ssh-rsa' && rsaBits(key.getPublicSSH()) < shortestRsaBits) {
    return `an RSA key has at least ${shortestRsaBits} bits`;
  }
  return undefined;
}

/** Bits of the modulus in an ssh-rsa blob (RFC 4253 6.6: string, mpint e, mpint n). */
function rsaBits(blob: Buffer): number {
  let at = 0;
  let length = 0;
  for (let field = 0; field < 3; field += 1) {
    at += length;
    length = blob.readUInt32BE(at);
    at += 4;
  }
  const modulus = blob.subarray(at, at + length);
  const first = modulus.findIndex((byte) => byte !== 0);
  return first < 0 ? 0 : (modulus.length - first) * 8 - (Math.clz32(modulus.readUInt8(first)) - 24);
}

/** 'probe': the key would do, a signature must follow (RFC 4252 7). */
export type KeyAnswer = 'in' | 'probe' | 'no';

/** Looks a public key up, and verifies the signature where one came with it. */
export function checkKey(users: Users, name: string, given: PublicKeyAuthContext): KeyAnswer {
  const user = Object.hasOwn(users, name) ? users[name] : undefined;
  // ssh2 calls an RSA key 'ssh-rsa' under every algorithm and leaves hashAlgo away for the one with SHA-1.
  if (given.key.algo === 'ssh-rsa' && given.hashAlgo === undefined) return 'no';
  for (const line of user?.keys ?? []) {
    if (faultOfKey(line) !== undefined) continue;
    const key = parseKey(line);
    if (key instanceof Error || key.type !== given.key.algo || !key.getPublicSSH().equals(given.key.data)) continue;
    if (!given.signature || !given.blob) return 'probe';
    return key.verify(given.blob, given.signature, given.hashAlgo) === true ? 'in' : 'no';
  }
  return 'no';
}

/** Whether the password is the user's. Takes as long for a user who does not exist or has none. */
export async function checkPassword(users: Users, name: string, password: string): Promise<boolean> {
  const user = Object.hasOwn(users, name) ? users[name] : undefined;
  return verifyPassword(password, user?.password ?? '');
}
