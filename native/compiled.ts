// Loads what a daemon loads, so that what Node makes of it is kept: the first start is then as quick as the later ones.
//
//   node native/compiled.ts
import { readFileSync, rmSync } from 'node:fs';
import { enableCompileCache, flushCompileCache } from 'node:module';
import { join } from 'node:path';
import { nodeFlags } from '../src/daemon/privileges.ts';

const root = join(import.meta.dirname, '..');
if (!nodeFlags.every((flag) => process.execArgv.includes(flag))) {
  process.execve?.(process.execPath, [process.execPath, ...nodeFlags, import.meta.filename], process.env);
}
rmSync(join(root, 'native/build/compiled'), { recursive: true, force: true });
enableCompileCache(join(root, 'native/build/compiled'));
for (const file of ['daemon/run.ts', 'mesh/xds/server.ts', 'l7/worker/worker.ts', 'lab/lab.ts', 'cli/client.ts']) {
  await import(join(root, 'src', file));
}
// A function is compiled when it is called for the first time: these go the way of a document.
const { problemsOf } = await import('../src/daemon/once/check.ts');
const lab = join(root, 'configs/lab.yaml');
problemsOf(lab, readFileSync(lab), {});
await import('yargs');
await import('yargs/helpers');
flushCompileCache();
process.exit(0);
