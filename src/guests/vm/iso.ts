// A read-only volume of a few files: ISO 9660 (ECMA-119) with Rock Ridge names (IEEE P1282), as cloud-init and every
// Linux reads it. The same files give the same bytes.

export interface IsoFile {
  /** Lower case, digits, dots, dashes. */
  readonly name: string;
  readonly content: Uint8Array;
}

const sector = 2048;
/** Sectors in order: 16 of nothing, then these, then the files. */
const at = { volume: 16, end: 17, pathsLittle: 18, pathsBig: 19, root: 20, files: 21 };
const modes = { folder: 0o040755, file: 0o100644 };

/** Both byte orders, one after the other (ECMA-119 7.2.3, 7.3.3). */
function both16(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt16LE(value, 0);
  bytes.writeUInt16BE(value, 2);
  return bytes;
}

function both32(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeUInt32LE(value, 0);
  bytes.writeUInt32BE(value, 4);
  return bytes;
}

const sectorsOf = (size: number): number => Math.ceil(size / sector);

/** The volume's bytes. `label` has up to 32 characters. Throws RangeError for more files than one sector lists. */
export function isoVolume(label: string, files: readonly IsoFile[]): Uint8Array {
  const places: number[] = [];
  let next = at.files;
  for (const file of files) {
    places.push(next);
    next += Math.max(1, sectorsOf(file.content.length));
  }
  const image = Buffer.alloc(next * sector);
  image.set(volumeDescriptor(label, next), at.volume * sector);
  image.set(Buffer.from([255, ...Buffer.from('CD001'), 1]), at.end * sector);
  image.set(pathTable(false), at.pathsLittle * sector);
  image.set(pathTable(true), at.pathsBig * sector);
  const records = [
    record(Buffer.from([0]), at.root, sector, true, [susp(), posix(modes.folder), rockRidge()]),
    record(Buffer.from([1]), at.root, sector, true, [posix(modes.folder)]),
    ...files.map((file, i) =>
      record(Buffer.from(plainName(i)), places[i] ?? 0, file.content.length, false, [
        posix(modes.file),
        alternateName(file.name),
      ]),
    ),
  ];
  const root = Buffer.concat(records);
  if (root.length > sector) throw new RangeError(`${files.length} files do not fit into one sector of names`);
  image.set(root, at.root * sector);
  for (const [i, file] of files.entries()) image.set(file.content, (places[i] ?? 0) * sector);
  return image;
}

/** What a reader without Rock Ridge sees: 8.3 names in the order that ECMA-119 9.3 wants. */
const plainName = (i: number): string => `FILE${String(i).padStart(4, '0')}.;1`;

/** ECMA-119 8.4 */
function volumeDescriptor(label: string, sectors: number): Buffer {
  const spaces = (count: number): Buffer => Buffer.alloc(count, ' ');
  const noDate = Buffer.concat([Buffer.alloc(16, '0'), Buffer.alloc(1)]);
  const little = Buffer.alloc(8);
  little.writeUInt32LE(at.pathsLittle, 0);
  const big = Buffer.alloc(8);
  big.writeUInt32BE(at.pathsBig, 0);
  return Buffer.concat([
    Buffer.from([1, ...Buffer.from('CD001'), 1, 0]),
    spaces(32),
    Buffer.from(label.slice(0, 32).padEnd(32)),
    Buffer.alloc(8),
    both32(sectors),
    Buffer.alloc(32),
    both16(1),
    both16(1),
    both16(sector),
    both32(pathTable(false).length),
    little,
    big,
    record(Buffer.from([0]), at.root, sector, true, []),
    spaces(128 * 4),
    spaces(37 * 3),
    ...Array.from({ length: 4 }, () => noDate),
    Buffer.from([1, 0]),
  ]);
}

/** One folder, the root (ECMA-119 9.4). */
function pathTable(big: boolean): Buffer {
  const bytes = Buffer.alloc(10);
  bytes[0] = 1;
  if (big) bytes.writeUInt32BE(at.root, 2);
  else bytes.writeUInt32LE(at.root, 2);
  if (big) bytes.writeUInt16BE(1, 6);
  else bytes.writeUInt16LE(1, 6);
  return bytes;
}

/** ECMA-119 9.1 */
function record(name: Buffer, place: number, size: number, folder: boolean, use: readonly Buffer[]): Buffer {
  const fields = Buffer.concat([
    Buffer.from([0, 0]),
    both32(place),
    both32(size),
    // 2020-01-01: the same bytes whenever it is made.
    Buffer.from([120, 1, 1, 0, 0, 0, 0]),
    Buffer.from([folder ? 2 : 0, 0, 0]),
    both16(1),
    Buffer.from([name.length]),
    name,
    Buffer.alloc(name.length % 2 === 0 ? 1 : 0),
    ...use,
  ]);
  const padded = Buffer.concat([fields, Buffer.alloc(fields.length % 2)]);
  padded[0] = padded.length;
  return padded;
}

/** A system use entry: signature, length, version, data (IEEE P1281 4.1). */
const entry = (signature: string, data: Uint8Array): Buffer =>
  Buffer.from([...Buffer.from(signature), data.length + 4, 1, ...data]);

/** System use entries are here (P1281 5.3). */
const susp = (): Buffer => entry('SP', Buffer.from([0xbe, 0xef, 0]));

/** They are Rock Ridge's (P1281 5.5). */
const rockRidge = (): Buffer => entry('ER', Buffer.from([10, 0, 0, 1, ...Buffer.from('RRIP_1991A')]));

/** Mode, links, owner, group (P1282 4.1.1). */
const posix = (mode: number): Buffer => entry('PX', Buffer.concat([both32(mode), both32(1), both32(0), both32(0)]));

/** P1282 4.1.4 */
const alternateName = (name: string): Buffer => entry('NM', Buffer.from([0, ...Buffer.from(name)]));
