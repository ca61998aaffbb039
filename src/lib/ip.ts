// IP addresses as values: their bytes in network order, from which every other form is printed.

export type Family = 4 | 6;

/** An address. `bytes` has 4 or 16 entries, as they stand on the wire. */
export interface Ip {
  readonly family: Family;
  readonly bytes: Uint8Array;
}

/** Bits of an address of the family: 32 or 128. */
export function bitsOf(family: Family): 32 | 128 {
  return family === 4 ? 32 : 128;
}

/** The address in the text, or undefined. Strict: four decimal numbers without leading zeros, or RFC 4291 section 2.2;
 * no zone, no brackets, no white space. */
export function parseIp(text: string): Ip | undefined {
  if (text.length > 45) return undefined;
  const bytes = text.includes(':') ? parse6(text) : parse4(text);
  return bytes && { family: bytes.length === 4 ? 4 : 6, bytes };
}

/** The canonical text: dotted decimal, or RFC 5952 (mapped IPv4 in its mixed form, section 5). */
export function printIp(ip: Ip): string {
  return ip.family === 4 ? ip.bytes.join('.') : print6(ip.bytes);
}

/** An address from its bytes as they stand on the wire; throws unless there are 4 or 16. */
export function ipFromBytes(bytes: Uint8Array): Ip {
  if (bytes.length !== 4 && bytes.length !== 16)
    throw new RangeError(`an address has 4 or 16 bytes, not ${bytes.length}`);
  return { family: bytes.length === 4 ? 4 : 6, bytes: Uint8Array.from(bytes) };
}

/** Less than, equal to or greater than 0, as `a` sorts before, with or after `b`: IPv4 first, then by bytes. */
export function compareIp(a: Ip, b: Ip): number {
  return a.family - b.family || Buffer.compare(a.bytes, b.bytes);
}

/** Whether both are the same address of the same family. */
export function sameIp(a: Ip, b: Ip): boolean {
  return compareIp(a, b) === 0;
}

/** 224.0.0.0/4 or ff00::/8. */
export function isMulticast(ip: Ip): boolean {
  const first = ip.bytes[0] ?? 0;
  return ip.family === 4 ? first >= 224 && first < 240 : first === 0xff;
}

/** 0.0.0.0 or ::. */
export function isUnspecified(ip: Ip): boolean {
  return ip.bytes.every((byte) => byte === 0);
}

/** 127.0.0.0/8 or ::1. */
export function isLoopback(ip: Ip): boolean {
  if (ip.family === 4) return ip.bytes[0] === 127;
  return ip.bytes[15] === 1 && ip.bytes.subarray(0, 15).every((byte) => byte === 0);
}

/** 169.254.0.0/16 or fe80::/10. */
export function isLinkLocal(ip: Ip): boolean {
  const [first = 0, second = 0] = ip.bytes;
  return ip.family === 4 ? first === 169 && second === 254 : first === 0xfe && (second & 0xc0) === 0x80;
}

function parse4(text: string): Uint8Array | undefined {
  const parts = text.split('.');
  if (parts.length !== 4) return undefined;
  const bytes = new Uint8Array(4);
  for (const [i, part] of parts.entries()) {
    // A leading zero means octal to some readers and decimal to others, so it means nothing here.
    if (!/^(0|[1-9][0-9]{0,2})$/.test(part) || Number(part) > 255) return undefined;
    bytes[i] = Number(part);
  }
  return bytes;
}

function parse6(text: string): Uint8Array | undefined {
  const halves = text.split('::');
  if (halves.length > 2) return undefined;
  const tailIsLast = halves.length === 2;
  const head = groups(halves[0] ?? '', !tailIsLast);
  const tail = tailIsLast ? groups(halves[1] ?? '', true) : [];
  if (!head || !tail) return undefined;
  const given = head.length + tail.length;
  if (tailIsLast ? given > 14 : given !== 16) return undefined;
  const bytes = new Uint8Array(16);
  bytes.set(head, 0);
  bytes.set(tail, 16 - tail.length);
  return bytes;
}

/** The bytes of groups between colons; `last` allows a dotted quad at the end. */
function groups(text: string, last: boolean): number[] | undefined {
  if (text === '') return [];
  const bytes: number[] = [];
  const parts = text.split(':');
  for (const [i, part] of parts.entries()) {
    if (part.includes('.')) {
      const quad = last && i === parts.length - 1 ? parse4(part) : undefined;
      if (!quad) return undefined;
      bytes.push(...quad);
    } else {
      if (!/^[0-9a-fA-F]{1,4}$/.test(part)) return undefined;
      const value = Number.parseInt(part, 16);
      bytes.push(value >> 8, value & 0xff);
    }
  }
  return bytes;
}

function print6(bytes: Uint8Array): string {
  const mapped = bytes[10] === 0xff && bytes[11] === 0xff && bytes.subarray(0, 10).every((byte) => byte === 0);
  if (mapped) return `::ffff:${bytes.subarray(12).join('.')}`;
  const words = Array.from({ length: 8 }, (_, i) => ((bytes[2 * i] ?? 0) << 8) | (bytes[2 * i + 1] ?? 0));
  const hex = (list: number[]): string => list.map((word) => word.toString(16)).join(':');
  const run = longestZeroRun(words);
  if (run.length < 2) return hex(words); // RFC 5952 section 4.2.2: one zero group is not shortened
  return `${hex(words.slice(0, run.start))}::${hex(words.slice(run.start + run.length))}`;
}

/** The first of the longest runs of zero groups (RFC 5952 section 4.2.3). */
function longestZeroRun(words: readonly number[]): { start: number; length: number } {
  let best = { start: 0, length: 0 };
  let start = 0;
  for (let i = 0; i <= words.length; i++) {
    if (words[i] === 0) continue;
    if (i - start > best.length) best = { start, length: i - start };
    start = i + 1;
  }
  return best;
}
