// Bearer tokens of the HTTP API. A token is 256 random bits, so a plain SHA-256 keeps it: there is nothing to guess
// that a slow hash would protect, and each request can afford it.
import { hash, randomBytes, timingSafeEqual } from 'node:crypto';

const prefix = 'mp_';
const format = /^sha256:[0-9a-f]{64}$/;

/** A new token, shown once, and its hash for the document. */
export function newToken(): { readonly token: string; readonly hash: string } {
  const token = prefix + randomBytes(32).toString('base64url');
  return { token, hash: hashToken(token) };
}

/** "sha256:" and 64 hex digits. */
export function hashToken(token: string): string {
  return `sha256:${hash('sha256', token)}`;
}

/** Whether the text is a token's hash. */
export function isTokenHash(text: string): boolean {
  return format.test(text);
}

/** The name of the token among `hashes` (name -> hash); each is compared, in constant time. */
export function findToken(token: string, hashes: ReadonlyMap<string, string>): string | undefined {
  const given = Buffer.from(hashToken(token));
  let found: string | undefined;
  for (const [name, expected] of hashes) {
    const bytes = Buffer.from(expected);
    if (bytes.length === given.length && timingSafeEqual(bytes, given)) found ??= name;
  }
  return found;
}
