// src/kernel/abi.ts is what native/abi.ts makes of the compiled forwarding core, to the letter.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));

test('abi.ts is up to date', () => {
  const object = join(root, 'native/build/switch.tcx.bpf.o');
  const made = execFileSync(process.execPath, [join(root, 'native/abi.ts'), object], { encoding: 'utf8' });
  const oxfmt = join(root, 'node_modules/.bin/oxfmt');
  const formatted = execFileSync(process.execPath, [oxfmt, '--stdin-filepath', 'abi.ts'], {
    input: made,
    encoding: 'utf8',
    cwd: root,
  });
  assert.equal(readFileSync(join(root, 'src/kernel/abi.ts'), 'utf8'), formatted, 'run native/abi.ts again');
});
