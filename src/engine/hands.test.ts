// What people, editors and clients do beside the engine: to its files, to what it reads, all at once. None of it ends
// the daemon, and none of it makes another revision of what was committed.
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test, type TestContext } from 'node:test';
import { type Bench, openBench, textOf, told } from '../../test/fake/bench.ts';
import { defineCore } from '../../test/fake/core.ts';
import { failed, good } from '../../test/fake/engine-cases.ts';
import { fakeKernel } from '../../test/fake/kernel.ts';
import { toyBox } from '../../test/fake/toy-slice.ts';
import { toyWorld } from '../../test/fake/toys.ts';
import type { CommitOptions, Engine } from './engine.ts';

const bpffs = mkdtempSync(join(tmpdir(), 'mpt-bpffs-'));
after(() => rmSync(bpffs, { recursive: true, force: true }));

const by: CommitOptions = { by: 'test' };
const doc = (toys: string): string => `toys: { ${toys} }\n`;
const toy = (name: string): string => `apiVersion: example.dev/v1\nkind: Toy\nmetadata: { name: ${name} }\n`;

interface Toys extends Bench {
  names(): string;
  again(document?: string): Promise<Engine>;
}

async function openToys(t: TestContext, document: string): Promise<Toys> {
  const kernel = fakeKernel();
  defineCore(kernel.bpf, '/objects');
  const bench = openBench({ kernel, objects: '/objects', bpffs, instance: 'mpt' });
  t.after(() => bench.close());
  const toys = toyWorld(true);
  const slices = [toyBox(toys).slice];
  const again = (text?: string): Promise<Engine> =>
    bench.start({ slices, ...(text === undefined ? {} : { document: text }) });
  await again(document);
  const names = (): string =>
    [...toys.things.keys()]
      .map((ref) => ref.slice(2))
      .toSorted()
      .join(' ');
  return { ...bench, again, names };
}

test('what stands where files of the revision go: it is told, and the switch goes on, over a restart too', async (t) => {
  const bench = await openToys(t, doc('a: {}'));
  // A folder, and what an editor leaves beside a file that is being edited.
  mkdirSync(join(bench.manifests, 'folder.yaml'), { recursive: true });
  symlinkSync('ann@host.1', join(bench.manifests, '.#m.yaml'));
  const engine = bench.engine();
  good(await engine.commit({ document: doc('b: {}'), manifests: { 'm.yaml': toy('m') } }, by));
  assert.deepEqual([textOf(bench.file), bench.names()], [doc('b: {}'), 'b m']);
  assert.ok(readdirSync(bench.manifests).includes('.#m.yaml'), 'it is the editor that takes it away');
  await bench.again();
  assert.deepEqual([bench.engine().running().number, bench.names()], [2, 'b m']);
  const { notes } = good(
    await bench.engine().commit({ document: doc('b: {}'), manifests: { 'folder.yaml': toy('n') } }, by),
  );
  assert.match(notes.join(), /does not show it/);
  assert.deepEqual([bench.engine().running().number, bench.names()], [3, 'b n']);
  rmSync(bench.file);
  mkdirSync(bench.file);
  await bench.again();
  assert.deepEqual([bench.engine().running().number, bench.names()], [3, 'b n']);
  rmSync(bench.file, { recursive: true });
  // The whole folder is a file.
  const away = `${bench.manifests}.away`;
  renameSync(bench.manifests, away);
  writeFileSync(bench.manifests, '');
  assert.match(good(await bench.engine().commit({ document: doc('c: {}') }, by)).notes.join(), /does not show it/);
  await bench.again();
  assert.deepEqual([bench.engine().running().number, bench.names()], [4, 'c n']);
  assert.ok(told(bench).includes('the file does not show the running revision'));
  rmSync(bench.manifests);
  await bench.again();
  assert.deepEqual([textOf(bench.file), readdirSync(bench.manifests)], [doc('c: {}'), ['folder.yaml']]);
});

test('FILE that can not be read is told, and the last revision runs', async (t) => {
  const bench = await openToys(t, doc('a: {}'));
  good(await bench.engine().commit({ document: doc('b: {}') }, by));
  await bench.stop();
  rmSync(bench.file);
  symlinkSync(bench.file, bench.file);
  await bench.again();
  assert.equal(bench.names(), 'b');
  assert.match(bench.engine().fileProblems()[0]?.message ?? '', /ELOOP/);
});

test('manifests are read in the order of their names, whoever gives them in which: a restart finds the same', async (t) => {
  const bench = await openToys(t, doc(''));
  const engine = bench.engine();
  const twice = { 'b.yaml': toy('x'), 'a.yaml': `\n${toy('x')}` };
  const [problem] = await engine.check({ document: doc(''), manifests: twice });
  assert.deepEqual(
    [problem?.file, problem?.line, /the first is at (.*)/.exec(problem?.message ?? '')?.[1]],
    ['b.yaml', 1, 'a.yaml:2'],
  );
  good(await engine.commit({ document: doc(''), manifests: { 'b.yaml': toy('y'), 'a.yaml': toy('x') } }, by));
  assert.deepEqual(Object.keys(engine.running().manifests), ['a.yaml', 'b.yaml']);
  assert.deepEqual(Object.keys((await bench.again()).running().manifests), ['a.yaml', 'b.yaml']);
});

test('a commit that is cancelled while it is read, or waits for that, is not read to its end', async (t) => {
  const bench = await openToys(t, doc('a: {}'));
  const engine = bench.engine();
  const large = Array.from({ length: 4000 }, (_, i) => toy(`t${i}`)).join('---\n');
  const stop = new AbortController();
  const options = { ...by, signal: stop.signal };
  const waiting = [1, 2, 3].map((n) =>
    engine.commit({ document: doc(`x${n}: {}`), manifests: { 'm.yaml': large } }, options),
  );
  setTimeout(() => stop.abort(), 30);
  const begun = process.cpuUsage();
  for (const each of waiting) assert.deepEqual(failed(await each), ['cancelled']);
  const { user } = process.cpuUsage(begun);
  assert.deepEqual([engine.running().number, bench.names()], [1, 'a']);
  const whole = process.cpuUsage();
  good(await engine.commit({ document: doc('b: {}'), manifests: { 'm.yaml': large } }, by));
  assert.ok(user < process.cpuUsage(whole).user, 'three that are cancelled cost less than one');
});

test('more confirms at once than may wait: the rest are refused', async (t) => {
  const bench = await openToys(t, doc('a: {}'));
  const engine = bench.engine();
  good(await engine.commit({ document: doc('b: {}') }, { ...by, confirmMs: 60_000 }));
  const answers = await Promise.all(Array.from({ length: 1100 }, () => engine.confirm('ann')));
  const codes = new Set(answers.map((each) => ('code' in each ? each.code : 'done')));
  assert.deepEqual([...codes].toSorted(), ['busy', 'done', 'not-found']);
  assert.equal(textOf(bench.file), doc('b: {}'));
});

test('many who check at once are read one after the other, and hold up no commit', async (t) => {
  const bench = await openToys(t, doc('a: {}'));
  const engine = bench.engine();
  const large = (n: number): string => Array.from({ length: 1500 }, (_, i) => toy(`t${n}-${i}`)).join('---\n');
  const done: number[] = [];
  const begun = performance.now();
  const checks = Array.from({ length: 6 }, async (_, n) => {
    assert.deepEqual(await engine.check({ document: doc(''), manifests: { 'm.yaml': large(n) } }), []);
    done.push(performance.now() - begun);
  });
  good(await engine.commit({ document: doc('b: {}') }, by));
  assert.ok(done.length < checks.length, 'the commit did not wait for all of them');
  await Promise.all(checks);
  const [first = 0, last = 0] = [done[0], done.at(-1)];
  assert.ok(first < last / 2, `the first after ${first.toFixed(0)} ms, the last after ${last.toFixed(0)} ms`);
});
