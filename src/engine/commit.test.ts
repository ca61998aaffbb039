// The engine by its front door, on the fake kernel: what it does to the world (the cases that test/lab has on the real
// one), and what it does to revisions, files and time.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { cpSync, lstatSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { after, describe, test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Bench, openBench, textOf, told } from '../../test/fake/bench.ts';
import { defineCore } from '../../test/fake/core.ts';
import { engineCases, failed, good } from '../../test/fake/engine-cases.ts';
import { fakeKernel } from '../../test/fake/kernel.ts';
import { noImage, type ToyBox, toyBox } from '../../test/fake/toy-slice.ts';
import { type ToyWorld, toyWorld } from '../../test/fake/toys.ts';
import type { CommitOptions, Engine } from './engine.ts';
import { ProblemsError } from './boot.ts';

const bpffs = mkdtempSync(join(tmpdir(), 'mpt-bpffs-'));
after(() => rmSync(bpffs, { recursive: true, force: true }));

function open(): Bench {
  const kernel = fakeKernel();
  defineCore(kernel.bpf, '/objects');
  return openBench({ kernel, objects: '/objects', bpffs, instance: 'mpt' });
}

engineCases('fake', open);

const by: CommitOptions = { by: 'test' };
const doc = (toys: string): string => `toys: { ${toys} }\n`;

interface Toys extends Bench {
  readonly toys: ToyWorld;
  readonly box: ToyBox;
  /** Names of the toys that are there. */
  names(): string;
  /** Starts a daemon on what the disk holds. */
  again(document?: string): Promise<Engine>;
}

/** A switch of toys. `text` undefined: no FILE. */
async function openToys(t: TestContext, text: string | undefined): Promise<Toys> {
  const bench = open();
  t.after(() => bench.close());
  const toys = toyWorld(true);
  const box = toyBox(toys);
  const again = (document?: string): Promise<Engine> =>
    bench.start({ slices: [box.slice], ...(document === undefined ? {} : { document }) });
  if (text !== undefined) await again(text);
  const names = (): string =>
    [...toys.things.keys()]
      .map((ref) => ref.slice(2))
      .toSorted()
      .join(' ');
  return { ...bench, toys, box, names, again };
}

const numbers = (engine: Engine): number[] => engine.history().map((info) => info.number);

describe('revisions', () => {
  test('check and plan change nothing; a bad candidate is told by place', async (t) => {
    const bench = await openToys(t, doc('a: {}'));
    const engine = bench.engine();
    const [problem] = await engine.check({ document: 'toys:\n  a: { valu: 1 }\n' });
    assert.deepEqual([problem?.line, problem?.path], [2, 'toys.a.valu']);
    assert.deepEqual(await engine.check({ document: doc('b: {}') }), []);
    const plan = await engine.plan({ document: doc('b: {}') });
    assert.deepEqual(plan.ok && plan.actions.map(({ line }) => line), ['put x/b', 'drop x/a']);
    const twice = await engine.plan({ document: doc('b: { claims: [p] }, c: { claims: [p] }') });
    assert.deepEqual(!twice.ok && twice.faults.map(({ code }) => code), ['in-use']);
    assert.equal(bench.names(), 'a');
    assert.deepEqual(numbers(engine), [1]);
    const bad = await engine.commit({ document: 'toys: [' }, by);
    assert.ok(!bad.ok && bad.problems.length > 0);
    const escape = await engine.commit({ document: doc(''), manifests: { '../x.yaml': '' } }, by);
    assert.match(failed(escape).join(), /no name for a manifest/);
    assert.deepEqual(failed(await engine.rollback(77, by)), ['not-found']);
  });

  test('frozen: what prepares is cancelled, the next is refused', async (t) => {
    const bench = await openToys(t, doc('a: {}'));
    const engine = bench.engine();
    const aborted = Promise.withResolvers<void>();
    const preparing = Promise.withResolvers<void>();
    bench.box.prepare = (_, signal) => {
      signal.addEventListener('abort', () => aborted.resolve());
      preparing.resolve();
      return aborted.promise;
    };
    const under = engine.commit({ document: doc('a: {}, g: {}') }, by);
    await preparing.promise;
    await engine.freeze();
    assert.deepEqual(failed(await under), ['cancelled']);
    assert.deepEqual(failed(await engine.commit({ document: doc('b: {}') }, by)), ['busy']);
    assert.equal('code' in (await engine.confirm('test')), true);
    assert.equal(bench.names(), 'a');
    assert.deepEqual(numbers(engine), [1]);
  });

  test('a candidate of an older base is refused; 500 commits of three clients lose nothing', async (t) => {
    const bench = await openToys(t, doc('start: {}'));
    const engine = bench.engine();
    const base = engine.running().number;
    good(await engine.commit({ document: doc('a: {}'), base }, by));
    assert.deepEqual(failed(await engine.commit({ document: doc('b: {}'), base }, by)), ['base-moved']);
    // Each client adds its own toys to what it last saw, and tries again when somebody was faster.
    let left = 500;
    let refused = 0;
    const client = async (name: string): Promise<number> => {
      let mine = 0;
      while (left > 0) {
        const { number, document } = engine.running();
        const value = /start: \{ value: (\d+) \}/.exec(document)?.[1] ?? '0';
        const next = doc(`start: { value: ${Number(value) + 1} }`);
        left -= 1;
        const answer = await engine.commit({ document: next, base: number }, { by: name });
        if (answer.ok) {
          mine += 1;
          // Whoever had its turn thinks a little, so that the others have theirs.
          await sleep(1 + (mine % 5));
        } else {
          assert.deepEqual(
            answer.faults.map(({ code }) => code),
            ['base-moved'],
          );
          refused += 1;
        }
      }
      return mine;
    };
    const made = await Promise.all(['one', 'two', 'three'].map(client));
    const sum = made.reduce((a, b) => a + b, 0);
    assert.equal(sum + refused, 500);
    assert.ok(refused > 0, 'nobody was in anybody else’s way');
    assert.equal(engine.running().document, doc(`start: { value: ${sum} }`));
    assert.equal(bench.toys.things.get('x/start')?.value, sum);
    assert.equal(engine.running().number, base + 1 + sum);
    const kept = numbers(engine);
    assert.deepEqual(
      kept,
      kept.toSorted((a, b) => b - a),
    );
    assert.ok(kept.length >= 50);
    assert.ok(
      made.every((mine) => mine > 0),
      `${made.join(' ')}`,
    );
  });

  test('500 at once, without a base: one after the other, none refused', async (t) => {
    const bench = await openToys(t, doc(''));
    const engine = bench.engine();
    const answers = await Promise.all(
      Array.from({ length: 500 }, (_, i) =>
        engine.commit({ document: doc(`a: { value: ${i} }`) }, { by: `client ${i % 3}` }),
      ),
    );
    assert.deepEqual(
      answers.map((answer) => good(answer).revision.number),
      Array.from({ length: 500 }, (_, i) => i + 2),
    );
    assert.equal(bench.toys.things.get('x/a')?.value, 499);
    const many = Array.from({ length: 1001 }, () => engine.commit({ document: doc('a: {}') }, by));
    const last = await many[1000];
    assert.deepEqual(last && failed(last), ['busy']);
    await Promise.all(many);
  });

  test('a large candidate that came first is first, however long it takes to read', async (t) => {
    const bench = await openToys(t, doc(''));
    const engine = bench.engine();
    const toy = (i: number): string => `apiVersion: example.dev/v1\nkind: Toy\nmetadata: { name: t${i} }\n`;
    const large = Array.from({ length: 300 }, (_, i) => toy(i)).join('---\n');
    const answers = await Promise.all([
      engine.commit({ document: doc('a: {}'), manifests: { 'large.yaml': large } }, by),
      engine.commit({ document: doc('b: {}'), manifests: {} }, by),
    ]);
    assert.deepEqual(
      answers.map((answer) => good(answer).revision.number),
      [2, 3],
    );
    assert.equal(bench.names(), 'b');
  });

  test('each has who, when and comment; as many as 50 are kept, and bring everything back', async (t) => {
    const bench = await openToys(t, undefined);
    mkdirSync(join(bench.folder, 'parts'));
    const part = join(bench.folder, 'parts', 'a.txt');
    writeFileSync(part, 'first');
    const engine = await bench.again(doc('a: { file: parts/a.txt }'));
    writeFileSync(part, 'second one');
    good(await engine.commit({ document: doc('a: { file: parts/a.txt, value: 1 }') }, { by: 'ann', comment: 'more' }));
    assert.equal(bench.box.files.get('a'), 'second one');
    for (let i = 0; i < 110; i += 1) {
      bench.clock.advance(1000);
      good(await engine.commit({ document: doc(`a: { file: parts/a.txt, value: ${i + 2} }`) }, { by: 'bob' }));
    }
    assert.ok(engine.history().length >= 50);
    const [newest, older] = engine.history();
    assert.equal((newest?.when ?? 0) - (older?.when ?? 0), 1000);
    assert.deepEqual([newest?.by, newest?.comment], ['bob', '']);
    const old = engine.history().at(49)?.number ?? 0;
    rmSync(part);
    good(await engine.rollback(old, { by: 'ann' }));
    assert.equal(engine.running().document, engine.revision(old)?.document);
    assert.equal(engine.running().comment, `rollback ${old}`);
    assert.equal(bench.box.files.get('a'), 'second one');
    assert.match(failed(await engine.commit({ document: engine.running().document }, by)).join(), /no such file/);
    assert.equal(engine.revision(1), undefined);
  });
});

describe('commit confirmed', () => {
  const minute: CommitOptions = { by: 'ann', confirmMs: 60_000 };

  test('goes back by itself; FILE follows only a confirm', async (t) => {
    const bench = await openToys(t, doc('a: {}'));
    const engine = bench.engine();
    const answer = good(await engine.commit({ document: doc('b: {}') }, minute));
    assert.equal(answer.revision.confirmBy, bench.clock.now() + 60_000);
    assert.equal(engine.running().confirmBy, bench.clock.now() + 60_000);
    assert.equal(engine.history()[0]?.confirmBy, bench.clock.now() + 60_000);
    assert.equal(textOf(bench.file), doc('a: {}'));
    assert.equal(bench.names(), 'b');
    bench.clock.advance(59_000);
    await engine.plan({ document: doc('') });
    assert.equal(bench.names(), 'b');
    bench.clock.advance(1000);
    await bench.until('it went back', () => bench.names() === 'a' && engine.running().number === 3);
    assert.deepEqual([engine.running().by, engine.running().confirmBy], ['confirm timer', undefined]);
    assert.equal(engine.running().document, doc('a: {}'));
    assert.deepEqual(await engine.confirm('ann'), {
      code: 'not-found',
      what: 'confirm',
      why: 'no commit waits for it',
      retry: false,
    });
  });

  test('a confirm in time keeps it, also over a restart', async (t) => {
    const bench = await openToys(t, doc('a: {}'));
    const engine = bench.engine();
    good(await engine.commit({ document: doc('b: {}') }, minute));
    const info = await engine.confirm('ann');
    assert.ok(!('code' in info) && info.number === 2);
    assert.equal(textOf(bench.file), doc('b: {}'));
    bench.clock.advance(100_000);
    const again = await bench.again();
    assert.equal(again.running().number, 2);
    assert.equal(bench.names(), 'b');
  });

  test('a commit confirms what waits; one to be confirmed goes back as far as the first would', async (t) => {
    const bench = await openToys(t, doc('a: {}'));
    const engine = bench.engine();
    good(await engine.commit({ document: doc('b: {}') }, minute));
    const second = good(await engine.commit({ document: doc('c: {}') }, by));
    assert.match(second.notes.join(), /confirm of 2/);
    bench.clock.advance(61_000);
    await engine.plan({ document: doc('') });
    assert.equal(engine.running().number, 3);
    good(await engine.commit({ document: doc('d: {}') }, minute));
    bench.clock.advance(30_000);
    good(await engine.commit({ document: doc('e: {}') }, minute));
    bench.clock.advance(59_000);
    await engine.plan({ document: doc('') });
    assert.equal(bench.names(), 'e');
    bench.clock.advance(1500);
    await bench.until('it went back to c', () => engine.running().document === doc('c: {}'));
    assert.equal(bench.names(), 'c');
  });

  test('overdue at start: the one before; not overdue: it waits on', async (t) => {
    const bench = await openToys(t, doc('a: {}'));
    good(await bench.engine().commit({ document: doc('b: {}') }, minute));
    bench.clock.advance(30_000);
    const soon = await bench.again();
    assert.deepEqual([soon.running().number, bench.names(), textOf(bench.file)], [2, 'b', doc('a: {}')]);
    await bench.stop();
    bench.clock.advance(40_000);
    const late = await bench.again();
    assert.deepEqual([late.running().number, bench.names()], [3, 'a']);
    assert.equal(late.running().by, 'confirm timer');
    bench.clock.advance(40_000);
    await late.plan({ document: doc('') });
    assert.equal(late.running().number, 3);
  });

  test('a crash while it is recorded leaves the old, and nothing that waits', async (t) => {
    const bench = await openToys(t, doc('a: {}'));
    await bench.stop();
    const half = join(bench.state, 'history', 'tmp-000002');
    mkdirSync(half);
    writeFileSync(join(half, 'document.yaml'), doc('b: {}'));
    bench.toys.things.clear();
    const engine = await bench.again();
    assert.deepEqual([engine.running().number, bench.names(), existsSync(half)], [1, 'a', false]);
    assert.ok('code' in (await engine.confirm('ann')));
  });

  test('it goes back also where the old can not be made whole', async (t) => {
    const bench = await openToys(t, doc('a: {}, b: {}'));
    const engine = bench.engine();
    good(await engine.commit({ document: doc('c: {}') }, minute));
    bench.toys.failThing('x/a');
    bench.clock.advance(60_001);
    await bench.until('it went back', () => engine.running().number === 3);
    assert.equal(bench.names(), 'b');
    assert.deepEqual(
      engine.read.failures().map(({ ref }) => ref),
      ['x/a'],
    );
    bench.toys.failThing(undefined);
    await bench.until('it is whole', () => bench.names() === 'a b');
  });
});

describe('phases', () => {
  test('prepare comes before anything is seen; its failure, a cancel or a moved base change nothing', async (t) => {
    const bench = await openToys(t, doc('a: {}'));
    const engine = bench.engine();
    const lines: string[] = [];
    const progress = (line: string): void => void lines.push(line);
    bench.box.prepare = () => assert.equal(bench.names(), 'a');
    good(await engine.commit({ document: doc('a: {}, g1: {}') }, { ...by, progress }));
    assert.deepEqual(lines, ['g1: getting ready']);
    bench.box.prepare = (ref) => {
      throw noImage(ref);
    };
    assert.deepEqual(failed(await engine.commit({ document: doc('b: {}, g2: {}') }, by)), ['no-image']);
    assert.equal(bench.names(), 'a g1');
    const abort = new AbortController();
    bench.box.prepare = () => abort.abort();
    const cancelled = await engine.commit({ document: doc('b: {}, g3: {}') }, { ...by, signal: abort.signal });
    assert.deepEqual(failed(cancelled), ['cancelled']);
    bench.box.prepare = async () => void good(await engine.commit({ document: doc('a: {}, q: {}') }, by));
    const base = engine.running().number;
    assert.deepEqual(failed(await engine.commit({ document: doc('g4: {}'), base }, by)), ['base-moved']);
    assert.equal(bench.names(), 'a q');
    // Without a base it is made ready anew.
    let times = 0;
    bench.box.prepare = async () => {
      times += 1;
      if (times === 1) good(await engine.commit({ document: doc('a: {}, w: {}') }, by));
    };
    good(await engine.commit({ document: doc('g5: {}') }, by));
    assert.deepEqual([times, bench.names()], [1, 'g5']);
  });

  test('what does not start brings the old back; so does a cancel meanwhile', async (t) => {
    const bench = await openToys(t, doc('a: {}, r: {}'));
    const engine = bench.engine();
    bench.box.settle = (ref) => {
      assert.ok(bench.names().includes('g1'));
      throw noImage(ref);
    };
    assert.deepEqual(failed(await engine.commit({ document: doc('b: {}, g1: {}') }, by)), ['no-image']);
    assert.deepEqual([bench.names(), engine.running().number, numbers(engine)], ['a r', 1, [1]]);
    const abort = new AbortController();
    bench.box.settle = () => abort.abort();
    const cancelled = await engine.commit({ document: doc('b: {}, g1: {}') }, { ...by, signal: abort.signal });
    assert.deepEqual(failed(cancelled), ['cancelled']);
    assert.equal(bench.names(), 'a r');
  });

  test('what retires is there until the revision is recorded', async (t) => {
    const bench = await openToys(t, doc('r1: {}'));
    const seen: string[] = [];
    bench.engine().onRevision(() => seen.push(bench.names()));
    good(await bench.engine().commit({ document: doc('a: {}') }, by));
    assert.deepEqual([seen, bench.names()], [['a r1'], 'a']);
  });

  test(
    'a full disk while it is recorded: a fault, the old runs, and the disk is clean',
    { timeout: 60_000 },
    async (t) => {
      const bench = await openToys(t, undefined);
      mkdirSync(bench.state, { recursive: true });
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=512k', 'mpt-tmpfs', bench.state]);
      try {
        const engine = await bench.again(doc('a: {}'));
        const filler = join(bench.state, 'filler');
        assert.throws(() => {
          for (let size = 4096; ; size += 4096) writeFileSync(filler, Buffer.alloc(size));
        }, /ENOSPC/);
        const answer = await engine.commit({ document: doc(`b: {}, c: {} # ${'x'.repeat(9000)}\n`) }, by);
        assert.deepEqual(failed(answer), ['disk-full']);
        assert.deepEqual([engine.running().number, bench.names(), textOf(bench.file)], [1, 'a', doc('a: {}')]);
        assert.deepEqual(readdirSync(join(bench.state, 'history')), ['000001']);
        const waits = await engine.commit(
          { document: doc(`b: {} # ${'x'.repeat(9000)}\n`) },
          { ...by, confirmMs: 1000 },
        );
        assert.deepEqual(failed(waits), ['disk-full']);
        bench.clock.advance(2000);
        await engine.plan({ document: doc('') });
        assert.equal(bench.names(), 'a');
        rmSync(filler);
        good(await engine.commit({ document: doc('b: {}') }, by));
        assert.equal(bench.names(), 'b');
        await bench.stop();
      } finally {
        execFileSync('umount', [bench.state]);
      }
    },
  );
});

describe('start', () => {
  const manifest = (name: string): string => `apiVersion: example.dev/v1\nkind: Toy\nmetadata: { name: ${name} }\n`;

  test('without anything: an error that says so; with a bad FILE alone: its problems', async (t) => {
    const bench = await openToys(t, undefined);
    await assert.rejects(
      bench.again(),
      (error) => error instanceof ProblemsError && /no such file/.test(error.message),
    );
    await assert.rejects(
      bench.again('toys: { a: { value: x } }\n'),
      (error) => error instanceof ProblemsError && error.problems[0]?.path === 'toys.a.value',
    );
    assert.equal((await bench.again(doc('a: {}'))).running().by, 'file');
  });

  test('FILE that history knows is ours and is rewritten; an edited one is a new commit; a bad one is told', async (t) => {
    const bench = await openToys(t, doc('a: {}'));
    good(await bench.engine().commit({ document: doc('b: {}') }, by));
    assert.equal(textOf(bench.file), doc('b: {}'));
    await bench.again(doc('a: {}'));
    assert.deepEqual([bench.engine().running().number, textOf(bench.file), bench.names()], [2, doc('b: {}'), 'b']);
    await bench.again(doc('c: {}'));
    assert.deepEqual([bench.engine().running().number, bench.engine().running().by, bench.names()], [3, 'file', 'c']);
    await bench.again('toys: { c: { valu: 1 } }\n');
    assert.equal(bench.engine().running().number, 3);
    assert.equal(bench.engine().fileProblems()[0]?.path, 'toys.c.valu');
    assert.ok(told(bench).includes('the file is not taken in'));
    assert.equal(bench.names(), 'c');
    assert.equal(textOf(bench.file), 'toys: { c: { valu: 1 } }\n', 'what somebody wrote is theirs to mend');
    good(await bench.engine().commit({ document: doc('c: {}') }, by));
    assert.deepEqual([bench.engine().fileProblems(), textOf(bench.file)], [[], doc('c: {}')]);
    await bench.stop();
    rmSync(bench.file);
    await bench.again();
    assert.deepEqual([bench.engine().running().number, textOf(bench.file)], [4, doc('c: {}')]);
  });

  test('a FILE that was cut off to nothing is told, and the last revision runs; {} is a wish', async (t) => {
    const bench = await openToys(t, doc('a: {}'));
    for (const text of ['', ' \n\n']) {
      await bench.again(text);
      assert.deepEqual([bench.engine().running().number, bench.names(), textOf(bench.file)], [1, 'a', text]);
      assert.match(bench.engine().fileProblems()[0]?.message ?? '', /empty/);
    }
    await bench.again('{}\n');
    assert.deepEqual([bench.engine().running().number, bench.names()], [2, '']);
  });

  /** What can stand where a file should, made at a path. */
  const strange: Readonly<Record<string, (path: string) => void>> = {
    'a folder': (path) => mkdirSync(path),
    'a pipe': (path) => void execFileSync('mkfifo', [path]),
    'a device without an end': (path) => symlinkSync('/dev/zero', path),
    'a link to itself': (path) => symlinkSync(basename(path), path),
    'more than 4 MiB': (path) => writeFileSync(path, '#'.repeat(5 << 20)),
  };

  for (const [what, put] of Object.entries(strange)) {
    test(`${what} in the place of FILE or a manifest: told, left as it is, and the last revision runs`, async (t) => {
      const bench = await openToys(t, doc('a: {}'));
      const manifests = { 'm.yaml': manifest('m') };
      good(await bench.engine().commit({ document: doc('b: {}'), manifests }, by));
      const places = [bench.file, join(bench.manifests, 'm.yaml')];
      // A folder beside the manifests is none of them.
      for (const path of what === 'a folder' ? [bench.file] : places) {
        await bench.stop();
        rmSync(path);
        put(path);
        const there = lstatSync(path).ino;
        const engine = await bench.again();
        assert.deepEqual([engine.running().document, bench.names()], [doc('b: {}'), 'b m']);
        assert.equal(basename(engine.fileProblems()[0]?.file ?? ''), basename(path));
        assert.equal(lstatSync(path).ino, there);
        const { notes } = good(await engine.commit({ document: doc('b: {}'), manifests }, by));
        // What is in a file's place makes way for it; a folder may hold what nobody else has.
        const stays = /folder|itself/.test(what);
        if (!stays) assert.deepEqual([notes, lstatSync(path).isFile()], [[], true]);
        else assert.match(notes.join(), /does not show it: E(ISDIR|LOOP)/);
        rmSync(path, { recursive: true });
        good(await engine.commit({ document: doc('b: {}'), manifests }, by));
      }
    });
  }

  test('files of editors beside the manifests are no manifests, and stay', async (t) => {
    const bench = await openToys(t, doc('a: {}'));
    good(await bench.engine().commit({ document: doc('a: {}'), manifests: { 'm.yaml': manifest('m') } }, by));
    await bench.stop();
    symlinkSync('kim@leaf1.4711', join(bench.manifests, '.#m.yaml'));
    writeFileSync(join(bench.manifests, '.m.yaml'), 'half [');
    const engine = await bench.again();
    assert.deepEqual([engine.running().number, engine.fileProblems(), bench.names()], [2, [], 'a m']);
    good(await engine.commit({ document: doc('a: {}'), manifests: {} }, by));
    assert.deepEqual(readdirSync(bench.manifests).toSorted(), ['.#m.yaml', '.m.yaml']);
  });

  test('manifests belong to the revision: kept when left out, rewritten, removed, brought back', async (t) => {
    const bench = await openToys(t, doc('a: {}'));
    const engine = bench.engine();
    good(
      await engine.commit(
        { document: doc('a: {}'), manifests: { 'm.yaml': manifest('m'), 'n.yaml': manifest('n') } },
        by,
      ),
    );
    assert.equal(bench.names(), 'a m n');
    good(await engine.commit({ document: doc('b: {}') }, by));
    assert.equal(bench.names(), 'b m n');
    good(await engine.commit({ document: doc('b: {}'), manifests: { 'n.yaml': manifest('o') } }, by));
    assert.deepEqual([bench.names(), readdirSync(bench.manifests)], ['b o', ['n.yaml']]);
    good(await engine.rollback(2, by));
    assert.deepEqual([bench.names(), readdirSync(bench.manifests)], ['a m n', ['m.yaml', 'n.yaml']]);
    // An edited manifest is an edit; a name that is none is told, not taken in.
    writeFileSync(join(bench.manifests, 'm.yaml'), manifest('edited'));
    await bench.again();
    assert.deepEqual([bench.engine().running().by, bench.names()], ['file', 'a edited n']);
  });

  test('what a crash left mixed of FILE and manifests is ours', async (t) => {
    const bench = await openToys(t, doc('a: {}'));
    good(await bench.engine().commit({ document: doc('b: {}'), manifests: { 'm.yaml': manifest('m') } }, by));
    await bench.stop();
    // Between two files: the document is of revision 1 still, the manifest of revision 2.
    writeFileSync(bench.file, doc('a: {}'));
    writeFileSync(join(bench.state, 'face-is-being-written'), '');
    await bench.again();
    assert.deepEqual([bench.engine().running().number, bench.names()], [2, 'b m']);
    assert.equal(textOf(bench.file), doc('b: {}'));
    await bench.stop();
    // Somebody edits beside what is mixed: what they did is taken in, and nothing of the old.
    writeFileSync(bench.file, doc('a: {}'));
    writeFileSync(join(bench.manifests, 'n.yaml'), manifest('n'));
    writeFileSync(join(bench.state, 'face-is-being-written'), '');
    await bench.again();
    assert.deepEqual([bench.engine().running().by, bench.names(), textOf(bench.file)], ['file', 'b m n', doc('b: {}')]);
    await bench.stop();
    rmSync(join(bench.manifests, 'n.yaml'));
    // The same without the mark is what somebody made of it.
    writeFileSync(bench.file, doc('a: {}'));
    await bench.again();
    assert.deepEqual([bench.engine().running().by, bench.names()], ['file', 'a m']);
  });

  test('a guest that can not be had keeps nothing else from coming up, and comes when it can', async (t) => {
    const bench = await openToys(t, undefined);
    let there = false;
    bench.box.prepare = (ref) => {
      if (!there) throw noImage(ref);
    };
    const engine = await bench.again(doc('a: {}, g1: {}, b: { on: g1 }'));
    assert.equal(bench.names(), 'a');
    await bench.until('it is told', () => engine.read.failures().some(({ fault }) => fault.code === 'no-image'));
    good(await engine.commit({ document: doc('a: {}, g1: {}, b: { on: g1 }, c: {}') }, by));
    there = true;
    await bench.until('it came', () => bench.names() === 'a b c g1');
    assert.deepEqual(engine.read.failures(), []);
  });

  const spoilt: Readonly<Record<string, (folder: string) => void>> = {
    'half of what is said of it': (folder) => writeFileSync(join(folder, 'meta.json'), '{'),
    'nothing said of it': (folder) => writeFileSync(join(folder, 'meta.json'), 'null'),
    'another number said of it': (folder) => cpSync(join(folder, '../000001/meta.json'), join(folder, 'meta.json')),
    'no document': (folder) => rmSync(join(folder, 'document.yaml')),
    'a document that is empty': (folder) => writeFileSync(join(folder, 'document.yaml'), ''),
    'another document': (folder) => writeFileSync(join(folder, 'document.yaml'), doc('x: {}')),
    'no manifest': (folder) => rmSync(join(folder, 'manifests/m.yaml')),
    'nothing in its folder': (folder) => (rmSync(folder, { recursive: true }), mkdirSync(folder)),
    'a file for a folder': (folder) => (rmSync(folder, { recursive: true }), writeFileSync(folder, '')),
  };

  for (const [what, spoil] of Object.entries(spoilt)) {
    test(`a revision with ${what} is passed over, and its number is not used again`, async (t) => {
      const bench = await openToys(t, doc('a: {}'));
      const manifests = { 'm.yaml': manifest('m') };
      good(await bench.engine().commit({ document: doc('b: {}'), manifests }, by));
      await bench.stop();
      spoil(join(bench.state, 'history', '000002'));
      rmSync(bench.file);
      const engine = await bench.again();
      assert.deepEqual([engine.running().document, engine.running().number, bench.names()], [doc('a: {}'), 1, 'a']);
      assert.equal(engine.revision(2), undefined);
      assert.deepEqual((await engine.rollback(2, by)).ok || 'refused', 'refused');
      assert.equal(good(await engine.commit({ document: doc('c: {}') }, by)).revision.number, 3);
    });
  }
});
