const sectionHeaderSize = 64;

/** The bytes of a section of a little-endian ELF64 file, by name; undefined where there is none. Throws RangeError for
 * what is no such file or is cut short. */
export function elfSection(file: Uint8Array, name: string): Uint8Array | undefined {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  if (file.length < 64 || view.getUint32(0) !== 0x7f454c46 || view.getUint8(4) !== 2 || view.getUint8(5) !== 1) {
    throw new RangeError('not a little-endian ELF64 file');
  }
  const table = Number(view.getBigUint64(40, true));
  const count = view.getUint16(60, true);
  const section = (i: number): Uint8Array => {
    const at = table + i * sectionHeaderSize;
    const offset = Number(view.getBigUint64(at + 24, true));
    const size = Number(view.getBigUint64(at + 32, true));
    if (offset + size > file.length) throw new RangeError('ELF file is cut short');
    return file.subarray(offset, offset + size);
  };
  const names = section(view.getUint16(62, true));
  for (let i = 1; i < count; i++) {
    const start = view.getUint32(table + i * sectionHeaderSize, true);
    const end = names.indexOf(0, start);
    if (new TextDecoder().decode(names.subarray(start, end)) === name) return section(i);
  }
  return undefined;
}
