// The checkout as it would be after a change: a copy of it, built, from which a daemon can be started.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { cpSync, globSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { root } from '../rig.ts';

export interface Checkout extends Disposable {
  readonly root: string;
}

/** Copies, changes and builds it. What is not eBPF is not built anew. */
export function copyCheckout(change: (folder: string) => void): Checkout {
  const folder = mkdtempSync(join(tmpdir(), 'mpt-checkout-'));
  const drop = (): void => rmSync(folder, { recursive: true, force: true });
  try {
    for (const name of ['package.json', 'src', 'native/Makefile', 'native/abi.ts', 'native/bpf']) {
      cpSync(join(root, name), join(folder, name), { recursive: true });
    }
    symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'));
    const build = join(folder, 'native', 'build');
    mkdirSync(build);
    for (const name of globSync('{*.node,*.so,function}', { cwd: join(root, 'native/build') })) {
      cpSync(join(root, 'native/build', name), join(build, name));
    }
    change(folder);
    const objects = ['tcx', 'xdp'].map((hook) => join(build, `switch.${hook}.bpf.o`));
    execFileSync('make', ['-s', '-j2', '-C', join(folder, 'native'), ...objects]);
    const abi = execFileSync(process.execPath, [join(folder, 'native/abi.ts'), objects[0] ?? '']);
    writeFileSync(join(folder, 'src/kernel/abi.ts'), abi);
    return { root: folder, [Symbol.dispose]: drop };
  } catch (error) {
    drop();
    throw error;
  }
}

/** Replaces in a file of the copy; fails where the pattern does not match. */
export function edit(folder: string, name: string, pattern: RegExp, by: string): void {
  const file = join(folder, name);
  const text = readFileSync(file, 'utf8');
  assert.match(text, pattern, `${name} is not as this test takes it to be`);
  writeFileSync(file, text.replace(pattern, by));
}

/** One instruction more at the entry of each program: the kernel names it by another tag. */
export function otherProgram(folder: string): void {
  edit(folder, 'native/bpf/switch.bpf.c', /(int switch_\w+\(ctx_t \*ctx\)\n\{)/g, '$1\n\tasm volatile("r1 = r1");');
}

/** A field more in the value of a table, as a developer would add it: in abi.h, with N raised of all maps with such
 * rows, and given wherever one is written. Where rows are written without their codec it is the last field. */
export function anotherField(folder: string, map: string): void {
  const type = map.replace(/(?:^|_)(.)/g, (_, letter: string) => letter.toUpperCase());
  const call = new RegExp(`\\bencode${type}\\(\\{`);
  const writers = globSync('src/**/*.ts', { cwd: folder }).filter(
    (name) => !/abi\.ts$|\.test\.ts$/.test(name) && call.test(readFileSync(join(folder, name), 'utf8')),
  );
  for (const name of writers) edit(folder, name, new RegExp(call, 'g'), `encode${type}({ added: 7, `);
  const place = writers.length > 0 ? `(struct ${map} \\{\n)` : `(struct ${map} \\{[^}]*)`;
  // A row of fdb is read and written as one word: a field more is taken out of another.
  if (map === 'fdb')
    edit(folder, 'native/bpf/abi.h', /(struct fdb \{[^}]*)__u16 flags;/, '$1__u8 flags;\n\t__u8 added;');
  else edit(folder, 'native/bpf/abi.h', new RegExp(place), '$1\t__u32 added;\n');
  const tables = readFileSync(join(folder, 'native/bpf/maps.h'), 'utf8');
  const maps = [...tables.matchAll(new RegExp(`TABLE\\((\\w+), [^;]*?, struct ${map},`, 'g'))].map(([, name]) => name);
  assert.ok(maps.includes(map), `maps.h has no table of struct ${map}`);
  for (const name of map === 'fdb' ? [...maps, 'fdb_count'] : maps) {
    edit(folder, 'src/kernel/datapath.ts', new RegExp(`(\\b${name}: )\\d+`), '$19');
  }
}
