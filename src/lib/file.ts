// Files of unknown size and sort: no more of one is read than is asked for.
import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';

/** The first bytes of a file, at most `most`; of a pipe or a device too. Throws what node:fs throws. */
export function readAtMost(path: string, most: number): Uint8Array {
  const fd = openSync(path, 'r');
  try {
    return firstBytes(fd, most);
  } finally {
    closeSync(fd);
  }
}

/** The same of a regular file alone. What could keep the reader waiting or has no end, a pipe or a device, is refused
 * (an Error that says so), as is a folder. */
export function readRegular(path: string, most: number): Uint8Array {
  const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    if (!fstatSync(fd).isFile()) throw new Error(`${path} is no regular file`);
    return firstBytes(fd, most);
  } finally {
    closeSync(fd);
  }
}

function firstBytes(fd: number, most: number): Uint8Array {
  const parts: Buffer[] = [];
  let length = 0;
  for (let read = -1; read !== 0 && length < most; length += read) {
    const part = Buffer.allocUnsafe(Math.min(most - length, 1 << 20));
    read = readSync(fd, part);
    parts.push(part.subarray(0, read));
  }
  return Buffer.concat(parts, length);
}
