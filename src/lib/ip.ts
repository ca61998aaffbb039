// IPv4 and IPv6 addresses between text and network-order bytes: 4 bytes are IPv4, 16 are IPv6.

/** Bytes of an address, or undefined. IPv4 is four decimal numbers without leading zeros; IPv6 is RFC 4291 section 2.2 in
 * all its forms, without a zone. */
export function parseIp(text: string): Uint8Array | undefined {
  return text.includes(':') ? parseIpv6(text) : parseIpv4(text);
}

/** Canonical text: dotted decimal, or RFC 5952. Throws RangeError for other than 4 or 16 bytes. */
export function formatIp(bytes: Uint8Array): string {
  if (bytes.length === 4) return `${bytes[0]}.${bytes[1]}.${bytes[2]}.${bytes[3]}`;
  if (bytes.length !== 16) throw new RangeError(`an address of ${bytes.length} bytes`);
  return formatIpv6(bytes);
}

function parseIpv4(text: string): Uint8Array | undefined {
  const parts = text.split('.');
  if (parts.length !== 4) return undefined;
  const bytes = new Uint8Array(4);
  for (let i = 0; i < 4; i++) {
    const part = parts[i] as string;
    if (!/^(?:0|[1-9]\d{0,2})$/.test(part) || Number(part) > 255) return undefined;
    bytes[i] = Number(part);
  }
  return bytes;
}

function parseIpv6(text: string): Uint8Array | undefined {
  const halves = text.split('::');
  if (halves.length > 2) return undefined;
  const head = words(halves[0] as string, halves.length === 1);
  const tail = halves.length === 2 ? words(halves[1] as string, true) : [];
  if (head === undefined || tail === undefined) return undefined;
  const missing = 8 - head.length - tail.length;
  if (halves.length === 1 ? missing !== 0 : missing < 1) return undefined;
  const bytes = new Uint8Array(16);
  [...head, ...Array<number>(missing).fill(0), ...tail].forEach((word, i) => {
    bytes[2 * i] = word >> 8;
    bytes[2 * i + 1] = word & 255;
  });
  return bytes;
}

/** 16-bit words between colons; only the last part of an address may be IPv4. */
function words(text: string, atEnd: boolean): number[] | undefined {
  if (text === '') return [];
  const parts = text.split(':');
  const result: number[] = [];
  for (const [i, part] of parts.entries()) {
    if (/^[0-9a-f]{1,4}$/i.test(part)) {
      result.push(Number.parseInt(part, 16));
      continue;
    }
    const ipv4 = atEnd && i === parts.length - 1 ? parseIpv4(part) : undefined;
    if (ipv4 === undefined) return undefined;
    const [a, b, c, d] = ipv4 as unknown as [number, number, number, number];
    result.push((a << 8) | b, (c << 8) | d);
  }
  return result;
}

/** RFC 5952: the longest run of two or more zero words, the first of equals, becomes "::"; ::ffff:0:0/96 ends dotted. */
function formatIpv6(bytes: Uint8Array): string {
  const mapped = bytes[10] === 0xff && bytes[11] === 0xff && bytes.subarray(0, 10).every((byte) => byte === 0);
  if (mapped) return `::ffff:${formatIp(bytes.subarray(12))}`;
  const w: number[] = [];
  for (let i = 0; i < 16; i += 2) w.push(((bytes[i] as number) << 8) | (bytes[i + 1] as number));
  let start = -1;
  let length = 1;
  for (let i = 0; i < 8; i++) {
    let end = i;
    while (end < 8 && w[end] === 0) end++;
    if (end - i > length) [start, length] = [i, end - i];
    if (end > i) i = end;
  }
  const hex = (part: number[]): string => part.map((word) => word.toString(16)).join(':');
  return start < 0 ? hex(w) : `${hex(w.slice(0, start))}::${hex(w.slice(start + length))}`;
}
