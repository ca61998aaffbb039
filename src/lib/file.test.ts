import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { readAtMost, readRegular } from './file.ts';

test('a file as far as it is asked for', () => {
  const folder = mkdtempSync(join(tmpdir(), 'mpt-file-'));
  try {
    const file = join(folder, 'file');
    writeFileSync(file, 'x'.repeat(3_000_000));
    assert.equal(readAtMost(file, 10).length, 10);
    assert.equal(readAtMost(file, 2_500_000).length, 2_500_000);
    assert.equal(Buffer.from(readAtMost(file, 9_000_000)).toString(), 'x'.repeat(3_000_000));
    assert.equal(readAtMost('/dev/zero', 5_000_000).length, 5_000_000);
    assert.equal(readAtMost('/dev/null', 5).length, 0);
    assert.throws(() => readAtMost(join(folder, 'none'), 5), { code: 'ENOENT' });
    assert.throws(() => readAtMost(folder, 5), { code: 'EISDIR' });
    assert.equal(readRegular(file, 2_500_000).length, 2_500_000);
    for (const path of [folder, '/dev/zero', '/dev/null']) assert.throws(() => readRegular(path, 5), /no regular file/);
    assert.throws(() => readRegular(join(folder, 'none'), 5), { code: 'ENOENT' });
  } finally {
    rmSync(folder, { recursive: true });
  }
});
