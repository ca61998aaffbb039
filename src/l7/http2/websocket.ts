// What WebSockets over HTTP/1.1 say to each other that those over HTTP/2 do not (RFC 6455 4.2.2, RFC 8441 5): a key,
// and the answer to it. Whoever stands between the two says the one and checks the other.
import { hash, randomBytes } from 'node:crypto';
import { FIELD_WORDS, F_HASH, F_ID, F_NAME, F_NAME_LEN, F_VALUE, F_VALUE_LEN } from '../head/fields.ts';
import { UPGRADE, bytesAre, fields, head, nameHash } from '../head/fields.ts';

const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';

export const keyName = Buffer.from('sec-websocket-key', 'latin1');
export const acceptName = Buffer.from('sec-websocket-accept', 'latin1');
const keyHash = nameHash('sec-websocket-key');
const acceptHash = nameHash('sec-websocket-accept');

export function newKey(): string {
  return randomBytes(16).toString('base64');
}

/** What a server answers to the key. */
export function acceptOf(key: string): string {
  return hash('sha1', key + GUID, 'base64');
}

/** Takes the field out of the parsed head, whose bytes lie in `a`. Gives its value, the last where it came more than
 * once, '' where it did not. */
function take(a: Buffer, hashed: number, name: Uint8Array): string {
  let value = '';
  for (let i = 0, at = 0; i < head.count; i += 1, at += FIELD_WORDS) {
    if (fields[at + F_HASH] !== hashed || !bytesAre(a, fields[at + F_NAME]!, fields[at + F_NAME_LEN]!, name)) continue;
    const off = fields[at + F_VALUE]!;
    value = a.toString('latin1', off, off + fields[at + F_VALUE_LEN]!);
    // As what it goes with, it has no place in HTTP/2.
    fields[at + F_ID] = UPGRADE;
  }
  return value;
}

export const takeKey = (a: Buffer): string => take(a, keyHash, keyName);
export const takeAccept = (a: Buffer): string => take(a, acceptHash, acceptName);
