// Random documents and random frames: the program against the model. A counterexample is printed shrunk, with its seed;
// MIDPLANE_TEST_SEED runs one again.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import fc from 'fast-check';
import { devices, type FrameSpec, frames, neighborsOf, setups } from './arbitrary.ts';
import { openComparison } from './compare.ts';
import { documentOf, type Model, openModel, type Setup, type World } from './model.ts';
import { parseFrame } from './parsed.ts';
import { muteStack, openRig, type Rig } from './rig.ts';

const long = process.env['MIDPLANE_TEST_LONG'] === '1';
const budgetMs = long ? 600_000 : 8_000;
const firstSeed = Number(process.env['MIDPLANE_TEST_SEED'] ?? Math.floor(Math.random() * 2 ** 30));

let rig: Rig;
let quiet: Disposable = { [Symbol.dispose]() {} };
before(async () => {
  rig = await openRig('{}', devices);
});
after(async () => {
  quiet[Symbol.dispose]();
  assert.ok(rig.balanced(), 'the counters add up');
  await rig[Symbol.asyncDispose]();
});

/** Makes a document the running one, with nothing learned; the model of it. */
async function begin(setup: Setup): Promise<{ model: Model; world: World }> {
  quiet[Symbol.dispose]();
  await rig.commit(documentOf(setup));
  quiet = await muteStack(rig);
  rig.forget();
  const neighbors = neighborsOf(setup);
  const nl = rig.kernel.netlink();
  nl.apply(neighbors.map((row) => ({ op: 'neighbor-put', ...row })));
  const macs = new Map(devices.map((name) => [name as string, nl.link(name)?.mac ?? '']));
  const world = { baseMac: rig.baseMac, macOf: (port: string) => macs.get(port) ?? '', neighbors };
  return { world, model: openModel(setup, world) };
}

/** A frame for a reader: addresses, tags, what it carries, and all of its bytes. */
function describe(bytes: Uint8Array): string {
  const parsed = parseFrame(bytes);
  const hex = Buffer.from(bytes).toString('hex');
  if ('problem' in parsed) return `${bytes.length} bytes, ${parsed.problem}: ${hex}`;
  const tag = parsed.vid < 0 ? '' : ` tag ${parsed.vid}`;
  return `${parsed.src} > ${parsed.dst}${tag} type ${parsed.type.toString(16)}, ${bytes.length} bytes: ${hex}`;
}

let sent = 0;
const became = new Map<string, number>();

/** Sends the frames one after the other; a report where the program and the model differ. */
async function differences(setup: Setup, specs: readonly FrameSpec[]): Promise<readonly string[]> {
  const { model, world } = await begin(setup);
  const comparison = openComparison(rig, model, (port) => setup.ports[port]?.datapath === 'xdp');
  const said: string[] = [];
  for (const spec of specs) {
    const port = model.ports[spec.port % model.ports.length]!;
    const bytes = spec.build({ port, setup, world });
    const { verdict, reason, finished, wrong } = comparison.send(port, bytes);
    const word = [verdict, reason, finished ? 'in XDP' : ''].filter((part) => part !== '').join(' ');
    became.set(word, (became.get(word) ?? 0) + 1);
    sent += 1;
    said.push(`in by ${port}: ${describe(bytes)}`);
    if (wrong.length > 0) return [...said, ...wrong];
  }
  const wrong = comparison.tables();
  return wrong.length > 0 ? [...said, ...wrong] : [];
}

const property = fc.asyncProperty(
  setups,
  fc.array(frames, { minLength: 1, maxLength: 800, size: 'max' }),
  async (setup, specs) => {
    const report = await differences(setup, specs);
    if (report.length > 0) throw new Error(`\n${JSON.stringify(setup)}\n${report.join('\n')}`);
    assert.ok(rig.balanced(), 'the counters add up');
  },
);

test('random documents and frames', { timeout: budgetMs + 240_000 }, async (t) => {
  const end = performance.now() + budgetMs;
  let documents = 0;
  for (let seed = firstSeed; performance.now() < end; seed += 1) {
    const found = await fc.check(property, { seed, numRuns: 2, interruptAfterTimeLimit: 180_000 });
    assert.ok(!found.failed, `seed ${seed}: ${(found.errorInstance as Error | undefined)?.message}`);
    documents += found.numRuns;
  }
  t.diagnostic(`${documents} documents, ${sent} frames, seed ${firstSeed} and up`);
  t.diagnostic(
    [...became]
      .toSorted(([, a], [, b]) => b - a)
      .map(([word, n]) => `${word}: ${n}`)
      .join(', '),
  );
  assert.ok(sent > 200, `only ${sent} frames were sent`);
});
