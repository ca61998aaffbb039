import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { FaultError } from '../engine/faults.ts';
import { processOf } from '../lib/process.ts';
import { holderOf, takeLock } from './lock.ts';

const lockFile = join(import.meta.dirname, 'lock.ts');
/** Takes the lock of the folder, at the time that it is told; says how that went, and waits for its end. */
const starter = `
const { takeLock } = await import(${JSON.stringify(lockFile)});
console.log('here');
process.stdin.once('data', (at) => {
  while (Date.now() < Number(at));
  try {
    takeLock(process.argv[1]);
    console.log('taken');
  } catch (error) {
    console.log(error.fault.code);
  }
});`;

function inFolder(run: (folder: string) => Promise<void> | void): () => Promise<void> {
  return async () => {
    const folder = mkdtempSync(join(tmpdir(), 'mpt-lock-'));
    try {
      await run(folder);
    } finally {
      rmSync(folder, { recursive: true });
    }
  };
}

async function end(child: ChildProcess): Promise<void> {
  const gone = once(child, 'exit');
  child.kill('SIGKILL');
  await gone;
}

test(
  'of starts at the same instant one takes the lock, each time',
  inFolder(async (folder) => {
    for (let round = 0; round < 6; round += 1) {
      const children = Array.from({ length: 3 }, () =>
        spawn(process.execPath, ['--input-type=module', '-e', starter, folder], { stdio: ['pipe', 'pipe', 'inherit'] }),
      );
      try {
        const lines = children.map(({ stdout }) => createInterface(stdout)[Symbol.asyncIterator]());
        await Promise.all(lines.map((line) => line.next()));
        const at = Date.now() + 30;
        for (const { stdin } of children) stdin.write(`${at}\n`);
        const said = await Promise.all(lines.map(async (line) => String((await line.next()).value)));
        assert.deepEqual(said.toSorted(), ['in-use', 'in-use', 'taken']);
        assert.equal(holderOf(folder)?.pid, children[said.indexOf('taken')]?.pid);
      } finally {
        await Promise.all(children.map(end));
      }
      assert.equal(holderOf(folder), undefined, 'who is dead holds nothing');
    }
    assert.deepEqual(readdirSync(folder), ['daemon.json']);
  }),
);

test(
  'what a crash left of a claim is in nobody’s way',
  inFolder((folder) => {
    const own = processOf(process.pid);
    const dead = { pid: process.ppid, startTime: 1 };
    writeFileSync(join(folder, `claim-${dead.pid}.json`), JSON.stringify(dead));
    writeFileSync(join(folder, 'daemon.json'), JSON.stringify(dead));
    const lock = takeLock(folder);
    assert.deepEqual(holderOf(folder), own);
    assert.deepEqual(readdirSync(folder), ['daemon.json']);
    lock[Symbol.dispose]();
    assert.deepEqual(readdirSync(folder), []);
  }),
);

test(
  'one that has it keeps it; one that let go gives it to its heir alone',
  inFolder((folder) => {
    const other = processOf(process.ppid);
    assert.ok(other !== undefined);
    writeFileSync(join(folder, 'daemon.json'), JSON.stringify(other));
    assert.throws(
      () => takeLock(folder),
      (error) => error instanceof FaultError && error.fault.code === 'in-use',
    );
    takeLock(folder, other)[Symbol.dispose]();
    assert.deepEqual(readdirSync(folder), []);
  }),
);
