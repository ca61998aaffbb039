/** Bytes of "02:00:00:00:00:01" (colons or dashes, either case); undefined where the text is no MAC address. */
export function parseMac(text: string): Uint8Array | undefined {
  if (!/^[0-9a-f]{2}(?:([:-])[0-9a-f]{2})(?:\1[0-9a-f]{2}){4}$/i.test(text)) return undefined;
  return Uint8Array.from(text.split(/[:-]/), (pair) => Number.parseInt(pair, 16));
}

/** "02:00:00:00:00:01" of bytes (any number of them), lower case. */
export function formatMac(bytes: Uint8Array): string {
  let text = '';
  for (let i = 0; i < bytes.length; i++) text += (i === 0 ? '' : ':') + (bytes[i] as number).toString(16).padStart(2, '0');
  return text;
}
