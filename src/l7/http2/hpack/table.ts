// The static table of HPACK (RFC 7541 appendix A), and the dynamic one behind it.
import { nameHash } from '../../head/fields.ts';

const statics = [
  ':authority|:method=GET|:method=POST|:path=/|:path=/index.html|:scheme=http|:scheme=https|:status=200',
  ':status=204|:status=206|:status=304|:status=400|:status=404|:status=500|accept-charset',
  'accept-encoding=gzip, deflate|accept-language|accept-ranges|accept|access-control-allow-origin|age',
  'allow|authorization|cache-control|content-disposition|content-encoding|content-language',
  'content-length|content-location|content-range|content-type|cookie|date|etag|expect|expires|from|host',
  'if-match|if-modified-since|if-none-match|if-range|if-unmodified-since|last-modified|link|location',
  'max-forwards|proxy-authenticate|proxy-authorization|range|referer|refresh|retry-after|server',
  'set-cookie|strict-transport-security|transfer-encoding|user-agent|vary|via|www-authenticate',
]
  .join('|')
  .split('|')
  .map((entry) => {
    const at = entry.indexOf('=');
    return at < 0 ? { name: entry, value: '' } : { name: entry.slice(0, at), value: entry.slice(at + 1) };
  });

/** How many entries the static table has; the first of the dynamic one comes behind. */
export const STATICS = statics.length;
const staticBytes = Buffer.from(statics.map((s) => s.name + s.value).join(''), 'latin1');
const staticOff = new Int32Array(STATICS);
const staticName = Int32Array.from(statics, (s) => s.name.length);
const staticValue = Int32Array.from(statics, (s) => s.value.length);
for (let i = 1; i < STATICS; i += 1) staticOff[i] = staticOff[i - 1]! + staticName[i - 1]! + staticValue[i - 1]!;

const PROBES = 256;
const probeHash = new Int32Array(PROBES);
const probeIndex = new Uint8Array(PROBES);
statics.forEach(({ name }, i) => {
  const hash = nameHash(name);
  let at = hash & (PROBES - 1);
  while (probeIndex[at] !== 0 && probeHash[at] !== hash) at = (at + 1) & (PROBES - 1);
  if (probeIndex[at] !== 0) return;
  probeHash[at] = hash;
  probeIndex[at] = i + 1;
});

/** Index of the first static entry of this name (its nameHash is known), or 0. */
export function staticIndex(a: Uint8Array, off: number, len: number, hash: number): number {
  let at = hash & (PROBES - 1);
  while (probeIndex[at] !== 0 && probeHash[at] !== hash) at = (at + 1) & (PROBES - 1);
  const index = probeIndex[at]!;
  if (index === 0 || staticName[index - 1] !== len) return 0;
  const from = staticOff[index - 1]!;
  for (let i = 0; i < len; i += 1) if (a[off + i] !== staticBytes[from + i]) return 0;
  return index;
}

/** Bytes of entries beyond their text (RFC 7541 4.1). */
export const ENTRY_COST = 32;
export const TABLE_BYTES = 4096;
const MAX_ENTRIES = TABLE_BYTES / ENTRY_COST;

/** The dynamic table as plain data, the oldest entry first. */
export interface TableState {
  readonly max: number;
  readonly entries: readonly (readonly [name: string, value: string])[];
}

/** Both tables as a decoder sees them. Entries of the dynamic one lie one behind another in one buffer, which is made
 * when the first comes. */
export class Table {
  /** What entry() found. */
  bytes: Uint8Array = staticBytes;
  off = 0;
  nameLen = 0;
  valueLen = 0;
  private text: Uint8Array = staticBytes;
  private readonly offs = new Int32Array(MAX_ENTRIES);
  private readonly names = new Int32Array(MAX_ENTRIES);
  private readonly values = new Int32Array(MAX_ENTRIES);
  private first = 0;
  private count = 0;
  private size = 0;
  private max = TABLE_BYTES;
  private at = 0;

  /** Points at the entry of that index: its name, then its value. False: there is none. */
  entry(index: number): boolean {
    if (index < 1 || index > STATICS + this.count) return false;
    if (index <= STATICS) {
      this.bytes = staticBytes;
      this.off = staticOff[index - 1]!;
      this.nameLen = staticName[index - 1]!;
      this.valueLen = staticValue[index - 1]!;
      return true;
    }
    const i = (this.first + index - STATICS - 1) & (MAX_ENTRIES - 1);
    this.bytes = this.text;
    this.off = this.offs[i]!;
    this.nameLen = this.names[i]!;
    this.valueLen = this.values[i]!;
    return true;
  }

  save(): TableState {
    const entries = Array.from({ length: this.count }, (_, i): [string, string] => {
      this.entry(STATICS + this.count - i);
      const text = Buffer.from(this.bytes.buffer, this.bytes.byteOffset + this.off, this.nameLen + this.valueLen);
      return [text.toString('latin1', 0, this.nameLen), text.toString('latin1', this.nameLen)];
    });
    return { max: this.max, entries };
  }

  /** Into an empty one. */
  restore({ max, entries }: TableState): void {
    this.max = max;
    for (const [name, value] of entries) {
      this.add(Buffer.from(name + value, 'latin1'), 0, name.length, value.length);
    }
  }

  resize(max: number): void {
    this.max = max;
    this.evict(0);
  }

  /** Adds what lies at a[off..): a name, then its value. */
  add(a: Uint8Array, off: number, nameLen: number, valueLen: number): void {
    const size = nameLen + valueLen + ENTRY_COST;
    this.evict(size);
    if (size > this.max) return;
    if (this.text === staticBytes) this.text = new Uint8Array(2 * TABLE_BYTES);
    if (this.at + nameLen + valueLen > this.text.length) this.compact();
    this.first = (this.first - 1) & (MAX_ENTRIES - 1);
    this.offs[this.first] = this.at;
    this.names[this.first] = nameLen;
    this.values[this.first] = valueLen;
    for (let i = 0; i < nameLen + valueLen; i += 1) this.text[this.at + i] = a[off + i]!;
    this.at += nameLen + valueLen;
    this.size += size;
    this.count += 1;
  }

  private evict(room: number): void {
    while (this.count > 0 && this.size + room > this.max) {
      const i = (this.first + this.count - 1) & (MAX_ENTRIES - 1);
      this.size -= this.names[i]! + this.values[i]! + ENTRY_COST;
      this.count -= 1;
    }
  }

  private compact(): void {
    const oldest = this.count === 0 ? this.at : this.offs[(this.first + this.count - 1) & (MAX_ENTRIES - 1)]!;
    this.text.copyWithin(0, oldest, this.at);
    for (let k = 0; k < this.count; k += 1) this.offs[(this.first + k) & (MAX_ENTRIES - 1)]! -= oldest;
    this.at -= oldest;
  }
}
