// Passwords as scrypt strings (RFC 7914) in the PHC format "$scrypt$ln=15,r=8,p=1$salt$hash", base64 without padding.
import { randomBytes, scrypt, timingSafeEqual } from 'node:crypto';

interface Cost {
  /** Binary logarithm of N. */
  readonly ln: number;
  readonly r: number;
  readonly p: number;
}

// 32 MiB and some 80 ms. OWASP asks for ln=17 with r=8, but a switch has no 128 MiB to spare for each try.
const cost: Cost = { ln: 15, r: 8, p: 1 };
const hashLength = 32;

// A hash in the document must not be able to take the daemon's memory.
const mostMemory = 256 * 1024 * 1024;

const format = /^\$scrypt\$ln=(\d{1,2}),r=(\d{1,2}),p=(\d{1,2})\$([A-Za-z0-9+/]{11,86})\$([A-Za-z0-9+/]{22,86})$/;

/** Whether the text is a password hash that verifyPassword can read. */
export function isPasswordHash(hash: string): boolean {
  return parseHash(hash) !== undefined;
}

/** A new hash with a salt of its own. */
export async function hashPassword(password: string): Promise<string> {
  const salt = randomBytes(16);
  const hash = await derive(password, salt, cost, hashLength);
  return `$scrypt$ln=${cost.ln},r=${cost.r},p=${cost.p}$${base64(salt)}$${base64(hash)}`;
}

/** Whether the password is the one that was hashed; compared in constant time. False for a hash that can't be read,
 * after the time that a real one takes. */
export async function verifyPassword(password: string, hash: string): Promise<boolean> {
  const parsed = parseHash(hash);
  const { salt, expected, ...given } = parsed ?? {
    salt: Buffer.alloc(16),
    expected: Buffer.alloc(hashLength),
    ...cost,
  };
  const actual = await derive(password, salt, given, expected.length);
  return timingSafeEqual(actual, expected) && parsed !== undefined;
}

function parseHash(hash: string): (Cost & { readonly salt: Buffer; readonly expected: Buffer }) | undefined {
  const match = format.exec(hash);
  if (!match) return undefined;
  const [, , , , salt = '', key = ''] = match;
  const [ln = 0, r = 0, p = 0] = match.slice(1, 4).map(Number);
  if (ln < 10 || r < 1 || p < 1 || p > 4 || memoryOf({ ln, r, p }) > mostMemory) return undefined;
  return { ln, r, p, salt: Buffer.from(salt, 'base64'), expected: Buffer.from(key, 'base64') };
}

function memoryOf({ ln, r, p }: Cost): number {
  return 128 * r * (2 ** ln + p);
}

// Each derivation holds tens of megabytes and a thread of libuv's pool: two at a time, the others wait in line.
const mostAtOnce = 2;
const waiting: (() => void)[] = [];
let running = 0;

async function derive(password: string, salt: Buffer, given: Cost, length: number): Promise<Buffer> {
  if (running >= mostAtOnce) await new Promise<void>((resolve) => waiting.push(resolve));
  else running += 1;
  try {
    // NFC: the same password typed on two systems is the same bytes.
    const text = Buffer.from(password.normalize('NFC'), 'utf8');
    const options = { N: 2 ** given.ln, r: given.r, p: given.p, maxmem: memoryOf(given) + 1024 * 1024 };
    return await new Promise<Buffer>((resolve, reject) => {
      scrypt(text, salt, length, options, (error, key) => (error ? reject(error) : resolve(key)));
    });
  } finally {
    const next = waiting.shift();
    if (next) next();
    else running -= 1;
  }
}

function base64(bytes: Buffer): string {
  return bytes.toString('base64').replace(/=+$/, '');
}
