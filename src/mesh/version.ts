import { createHash } from 'node:crypto';

/** A short hash of plain data: the same content in the same order has the same version. */
export function versionOf(content: unknown): string {
  return createHash('sha256').update(JSON.stringify(content)).digest('hex').slice(0, 16);
}
