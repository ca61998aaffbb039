// Where an instance keeps its things (contract H).
import { mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The checkout or the installed package. */
export const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
/** Compiled forwarding core and addon. */
export const objects = join(root, 'native', 'build');

/** Sockets and what ends with the machine's uptime. */
export function runFolder(instance: string): string {
  return join('/run/midplane', instance);
}

export function stateFolder(instance: string): string {
  return join('/var/lib/midplane', instance);
}

/** The folder, made for its owner alone. */
export function privateFolder(path: string): string {
  mkdirSync(path, { recursive: true, mode: 0o700 });
  return path;
}
