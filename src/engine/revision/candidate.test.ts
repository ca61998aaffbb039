import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { readNamed } from './candidate.ts';

test('a document names files of its folder: regular ones, of a size that can be kept', (t) => {
  const top = mkdtempSync(join(tmpdir(), 'mpt-named-'));
  t.after(() => rmSync(top, { recursive: true }));
  const folder = join(top, 'etc');
  mkdirSync(join(folder, 'in'), { recursive: true });
  for (const path of ['etc/a.js', 'etc/in/a.js', 'out.js']) writeFileSync(join(top, path), path);
  const said = (name: string): string | undefined => {
    const bytes = readNamed(folder, name);
    return bytes === undefined ? undefined : Buffer.from(bytes).toString();
  };
  assert.deepEqual([said('a.js'), said('in/../in/a.js')], ['etc/a.js', 'etc/in/a.js']);
  for (const name of ['', '.', 'in', '../out.js', join(top, 'out.js'), 'none.js', 'a.js\0', 'x'.repeat(300)])
    assert.equal(said(name), undefined, name);
  // Whoever opened these would wait for ever, or read without an end.
  execFileSync('mkfifo', [join(folder, 'pipe.js')]);
  symlinkSync('/dev/zero', join(folder, 'zero.js'));
  writeFileSync(join(folder, 'large.js'), '');
  truncateSync(join(folder, 'large.js'), (16 << 20) + 1);
  for (const name of ['pipe.js', 'zero.js', 'large.js']) assert.equal(said(name), undefined, name);
  truncateSync(join(folder, 'large.js'), 16 << 20);
  assert.equal(readNamed(folder, 'large.js')?.length, 16 << 20);
});
