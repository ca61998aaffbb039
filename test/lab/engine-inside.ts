// Run by engine.test.ts inside a network namespace: the engine's cases on the kernel as it is there.
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { type Bench, openBench } from '../fake/bench.ts';
import { engineCases } from '../fake/engine-cases.ts';
import { kernel, objects } from './switch.ts';

const instance = `mpt-engine-${process.pid}`;
const bpffs = '/sys/fs/bpf';

function open(): Bench {
  const bench = openBench({ kernel, objects, bpffs, instance });
  return {
    ...bench,
    async close() {
      await bench.close();
      rmSync(join(bpffs, 'midplane', instance), { recursive: true, force: true });
    },
  };
}

engineCases('real', open);
