// Ethernet addresses: six bytes (IEEE 802-2014 section 8).

/** The six bytes in "aa:bb:cc:dd:ee:ff", "aa-bb-cc-dd-ee-ff" or "aabb.ccdd.eeff", or undefined. */
export function parseMac(text: string): Uint8Array | undefined {
  const shape = /^([0-9a-f]{2}(([:-])[0-9a-f]{2}(\3[0-9a-f]{2}){4})|[0-9a-f]{4}(\.[0-9a-f]{4}){2})$/i;
  return shape.test(text) ? Uint8Array.from(Buffer.from(text.replaceAll(/[:.-]/g, ''), 'hex')) : undefined;
}

const hex = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'));

/** "aa:bb:cc:dd:ee:ff". */
export function printMac(mac: Uint8Array): string {
  let text = '';
  for (const byte of mac) text += text === '' ? hex[byte] : `:${hex[byte]}`;
  return text;
}

/** Whether both are the same address. */
export function sameMac(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}

/** Whether the group bit is set: multicast or broadcast. */
export function isGroupMac(mac: Uint8Array): boolean {
  return ((mac[0] ?? 0) & 1) === 1;
}
