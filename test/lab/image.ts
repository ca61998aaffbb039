// The base that the Dockerfile and the tests' VM stand on, by the recipe here; kept in native/build, by its hash.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { objects, root } from './rig.ts';

/** Installs Debian packages that only these tests need. */
function need(program: string): void {
  if (existsSync(`/usr/bin/${program}`)) return;
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  execFileSync('apt-get', ['update', '-q'], { env, stdio: 'ignore' });
  execFileSync('apt-get', ['install', '-q', '-y', '--no-install-recommends', program], { env, stdio: 'ignore' });
}

/** A tar in native/build/image, made by `make` where it is not there for these texts. */
function kept(name: string, texts: readonly string[], make: (file: string) => void): string {
  const hash = createHash('sha256').update(texts.join('\n')).digest('hex').slice(0, 16);
  const folder = join(objects, 'image');
  const file = join(folder, `${name}-${hash}.tar`);
  if (existsSync(file)) return file;
  mkdirSync(folder, { recursive: true });
  need('mmdebstrap');
  make(`${file}.new.tar`);
  renameSync(`${file}.new.tar`, file);
  return file;
}

/** Debian 13 with what set-up installs for a switch. Some minutes the first time. */
export function baseTar(): string {
  const recipe = join(root, 'configs/image/base.sh');
  const lists = readFileSync(join(root, 'native/setup.sh'), 'utf8').match(/^packages_.*$/gm) ?? [];
  return kept('base', [readFileSync(recipe, 'utf8'), ...lists], (file) => {
    execFileSync('bash', [recipe, file], { stdio: 'ignore' });
  });
}

/** Debian 13's kernel for VMs, unpacked into a tar. */
export function kernelTar(): string {
  const args = ['--mode=root', '--variant=extract', '--include=linux-image-cloud-amd64', 'trixie'];
  return kept('kernel', args, (file) => execFileSync('mmdebstrap', [...args, file], { stdio: 'ignore' }));
}
