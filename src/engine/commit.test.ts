// The engine by its front door, on the fake kernel: what it does to the world (the cases that test/lab has on the real
// one), and what it does to revisions, files and time.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import { type Bench, openBench } from '../../test/fake/bench.ts';
import { defineCore } from '../../test/fake/core.ts';
import { engineCases } from '../../test/fake/engine-cases.ts';
import { fakeKernel } from '../../test/fake/kernel.ts';

const bpffs = mkdtempSync(join(tmpdir(), 'mpt-bpffs-'));
after(() => rmSync(bpffs, { recursive: true, force: true }));

function open(): Bench {
  const kernel = fakeKernel();
  defineCore(kernel.bpf, '/objects');
  return openBench({ kernel, objects: '/objects', bpffs, instance: 'mpt' });
}

engineCases('fake', open);
