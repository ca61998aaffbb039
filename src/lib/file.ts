// Files of unknown size: no more of one is read than is asked for.
import { closeSync, openSync, readSync } from 'node:fs';

/** The first bytes of a file, at most `most`; of a pipe or a device too. Throws what node:fs throws. */
export function readAtMost(path: string, most: number): Uint8Array {
  const fd = openSync(path, 'r');
  try {
    const parts: Buffer[] = [];
    let length = 0;
    for (let read = -1; read !== 0 && length < most; length += read) {
      const part = Buffer.allocUnsafe(Math.min(most - length, 1 << 20));
      read = readSync(fd, part);
      parts.push(part.subarray(0, read));
    }
    return Buffer.concat(parts, length);
  } finally {
    closeSync(fd);
  }
}
