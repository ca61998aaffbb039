// node native/bindings.ts: unpacks what the lock file wants on this platform and an older npm has left out. Debian's
// npm does not know which C library it runs on, and skips every optional package that names one.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

interface Locked {
  readonly version?: string;
  readonly integrity?: string;
  readonly optional?: boolean;
  readonly os?: readonly string[];
  readonly cpu?: readonly string[];
  readonly libc?: readonly string[];
}

const root = fileURLToPath(new URL('..', import.meta.url));
const lock = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')) as { packages: Record<string, Locked> };
const work = mkdtempSync(join(tmpdir(), 'midplane-npm-'));
try {
  for (const [path, entry] of Object.entries(lock.packages)) {
    if (entry.libc?.includes('glibc') === true && fits(entry) && !existsSync(join(root, path))) unpack(path, entry);
  }
} finally {
  rmSync(work, { recursive: true, force: true });
}

function fits({ os, cpu }: Locked): boolean {
  return (os?.includes(process.platform) ?? true) && (cpu?.includes(process.arch) ?? true);
}

/** Throws where the package cannot be had, or is not the one that the lock file names. */
function unpack(path: string, { version = '', integrity = '' }: Locked): void {
  const name = path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length);
  const args = ['pack', '--silent', '--pack-destination', work, `${name}@${version}`];
  const file = execFileSync('npm', args, { encoding: 'utf8', cwd: work }).trim().split('\n').at(-1) ?? '';
  const [algorithm = '', wanted] = integrity.split(/-(.*)/);
  const found = createHash(algorithm)
    .update(readFileSync(join(work, file)))
    .digest('base64');
  if (found !== wanted) throw new Error(`${name}@${version} is not what package-lock.json names`);
  mkdirSync(join(root, path), { recursive: true });
  execFileSync('tar', ['-xzf', join(work, file), '--strip-components=1', '-C', join(root, path)]);
}
