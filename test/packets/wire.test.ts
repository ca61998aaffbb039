// The same model against frames on a wire: sent and caught by packet sockets at the far ends of the ports, tags beside
// the frame as the kernel puts them, through the programs as they are attached. Here a frame too short for its IP
// header comes in too, which PROG_TEST_RUN does not take.
import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { start } from '../../src/lab/process.ts';
import { kernel, objects } from '../lab/rig.ts';
import { devices, type FrameSpec, frames, host, neighborsOf } from './arbitrary.ts';
import { expectedCounts, watchCounters } from './compare.ts';
import { frame, ipv4, ipv6, raw, vlan } from './frame.ts';
import { documentOf, type Model, openModel, type Setup, type World } from './model.ts';
import { isTag } from './parsed.ts';
import { muteStack, openRig, type Rig } from './rig.ts';

const long = process.env['MIDPLANE_TEST_LONG'] === '1';
const budgetMs = long ? 120_000 : 5_000;
const seed = Number(process.env['MIDPLANE_TEST_SEED'] ?? Math.floor(Math.random() * 2 ** 30));
const ports = devices.filter((name) => name !== 'r1');
const setup: Setup = {
  ports: {
    p1: { vlan: { access: 10 }, datapath: 'xdp' },
    p2: { vlan: { access: 10 } },
    p3: { vlan: { access: 20 }, datapath: 'xdp' },
    p4: { vlan: { trunk: [10, 20], native: 4094 }, datapath: 'xdp' },
    p5: { vlan: { trunk: [1, 10, 4094], native: 20 } },
  },
  vlans: {
    10: { address: ['10.0.10.254/24', 'fd00:10::fe/64'] },
    20: { address: ['10.0.20.254/24', 'fd00:20::fe/64'] },
  },
  routes: { '10.66.0.0/16': { blackhole: true } },
};

let rig: Rig;
let wire: Wire;
let model: Model;
let world: World;
let counters: ReturnType<typeof watchCounters>;
const stack = new DisposableStack();
before(async () => {
  rig = await openRig(documentOf(setup), ports);
  stack.use(await muteStack(rig));
  passAtFarEnds();
  const neighbors = neighborsOf(setup);
  rig.kernel.netlink().apply(neighbors.map((row) => ({ op: 'neighbor-put', ...row })));
  world = { baseMac: rig.baseMac, macOf: () => '02:00:00:00:00:aa', neighbors };
  model = openModel(setup, world);
  wire = await openWire(
    rig.farNetns,
    ports.map((name) => `${name}-far`),
  );
  counters = watchCounters(rig, model);
});
after(async () => {
  await wire.end();
  stack.dispose();
  assert.ok(rig.balanced(), 'the counters add up');
  await rig[Symbol.asyncDispose]();
});

/** XDP reaches a veth only where the far end has a program of its own. */
function passAtFarEnds(): void {
  const nl = kernel.netlink(rig.farNetns);
  stack.defer(() => nl.close());
  const program = stack.use(kernel.bpf.load({ file: join(objects, 'lab.bpf.o') })).programs.get('pass');
  for (const name of ports.filter((port) => setup.ports[port]?.datapath === 'xdp')) {
    stack.use(kernel.bpf.attach(program!, nl.link(`${name}-far`)?.index ?? 0, 'xdp', rig.farNetns));
  }
}

interface Wire {
  /** What came out at which device, "device:hex"; `count` are waited for. */
  send(device: string, bytes: Uint8Array, count: number): Promise<readonly string[]>;
  end(): Promise<void>;
}

async function openWire(netns: string, names: readonly string[]): Promise<Wire> {
  const script = join(dirname(fileURLToPath(import.meta.url)), 'wire.py');
  const child: ChildProcess = start(netns, ['/usr/bin/python3', script, ...names], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const lines = createInterface({ input: child.stdout! })[Symbol.asyncIterator]();
  assert.equal((await lines.next()).value, 'ready');
  return {
    async send(device, bytes, count) {
      child.stdin!.write(`${device} ${Buffer.from(bytes).toString('hex')} ${count}\n`);
      const { value } = await lines.next();
      return String(value)
        .split(' ')
        .filter((word) => word !== '');
    },
    async end() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const gone = once(child, 'exit');
      child.stdin!.end();
      await gone;
    },
  };
}

/** The kernel takes the tag off before tcx and a packet socket see the frame, and drops one that has not two bytes more
 * behind it (net/core/skbuff.c, skb_vlan_untag). */
function stub(bytes: Uint8Array): boolean {
  return isTag(((bytes[12] ?? 0) << 8) | (bytes[13] ?? 0)) && bytes.length < 20;
}

/** Sends it in by the port's far end and says where the world differs from the model. */
async function differences(port: string, bytes: Uint8Array): Promise<readonly string[]> {
  const judged = model.judge(port, bytes);
  const hook = model.finishedByXdp(port, judged) ? 'xdp' : 'tcx';
  const expected = judged.out
    .filter(([name, vid]) => !model.isSvi(name) && !(hook === 'xdp' && stub(judged.wire(vid))))
    .map(([name, vid]) => `${name}-far:${Buffer.from(judged.wire(vid)).toString('hex')}`)
    .toSorted();
  if (hook === 'tcx' && stub(bytes)) {
    const got = await wire.send(`${port}-far`, bytes, 0);
    return [...got, ...counters(new Map())];
  }
  const got = (await wire.send(`${port}-far`, bytes, expected.length)).toSorted();
  model.learn(port, judged);
  const counts = expectedCounts(port, bytes, judged, hook, 'beside');
  let wrong = counters(counts, false);
  for (let i = 0; i < 100 && wrong.length > 0; i += 1) {
    await new Promise((done) => setTimeout(done, 10));
    wrong = counters(counts, false);
  }
  counters(counts, true);
  if (got.join() !== expected.join()) {
    return [
      `the model says ${judged.verdict} ${judged.reason}`,
      `out came ${got.join(' ')}`,
      `not ${expected.join(' ')}`,
    ];
  }
  return wrong;
}

test('frames too short for the IP header that they announce, on the wire', async () => {
  const four = frame({ dst: world.baseMac, src: host(1) }, ipv4({ src: '10.0.10.1', dst: '10.0.20.1' }));
  const six = frame({ dst: world.baseMac, src: host(1) }, ipv6({ src: 'fd00:10::1', dst: 'fd00:20::1' }));
  const tagged = frame({ dst: world.baseMac, src: host(4) }, vlan(10, ipv6({ src: 'fd00:10::1', dst: 'fd00:20::1' })));
  for (const port of ['p1', 'p2']) {
    for (const [whole, most] of [
      [four, 60],
      [six, 80],
    ] as const) {
      for (let n = 14; n < most; n += 1) {
        const bytes = whole.subarray(0, n);
        const source = Uint8Array.from(bytes);
        source[11] = Number(port.slice(1));
        assert.equal(model.judge(port, source).reason, 'bad-ip');
        assert.deepEqual(await differences(port, source), [], `${n} bytes at ${port}`);
      }
    }
  }
  for (let n = 14; n < 84; n += 1) assert.deepEqual(await differences('p4', tagged.subarray(0, n)), [], `${n} bytes`);
});

test('each VLAN of a trunk by itself, with two tags and with priorities, on the wire', async () => {
  for (const port of ports) {
    for (const dst of ['ff:ff:ff:ff:ff:ff', ...[1, 2, 3, 4, 5].map(host)]) {
      for (const list of [[], [0], [10], [20], [4094], [1], [10, 20], [0, 20], [20, 10], [4094, 10], [30]]) {
        const layer = list.reduceRight((inner, id) => vlan(id, inner, { pcp: 5 }), raw(0x88b5));
        const bytes = frame({ dst, src: host(Number(port.slice(1))) }, layer);
        assert.deepEqual(await differences(port, bytes), [], `${port}, tags ${list.join(' ')}, to ${dst}`);
      }
    }
  }
});

test(`random frames on the wire, seed ${seed}`, { timeout: budgetMs + 120_000 }, async (t) => {
  const end = performance.now() + budgetMs;
  let sent = 0;
  const specs: readonly FrameSpec[] = fc.sample(frames, { numRuns: long ? 50_000 : 3_000, seed });
  for (const spec of specs) {
    if (performance.now() > end) break;
    const port = ports[spec.port % ports.length]!;
    const bytes = spec.build({ port, setup, world });
    // The sender's own device would not take it; and ARP teaches the stack neighbours that the model has not.
    if (bytes.length > 1514 || model.judge(port, bytes).parsed?.type === 0x0806) continue;
    const wrong = await differences(port, bytes);
    assert.deepEqual(wrong, [], `frame ${sent} by ${port}: ${Buffer.from(bytes).toString('hex')}`);
    sent += 1;
  }
  t.diagnostic(`${sent} frames`);
  assert.ok(sent > 50, `only ${sent} frames`);
});
