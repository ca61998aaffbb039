// The table of addresses as its walker sees it, and devices whose ifindex is high.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { decodeFdb, devKinds, encodeDev, encodeFdbKey } from '../../src/kernel/abi.ts';
import { age as takeOut } from '../../src/kernel/ebpf/ageing.ts';
import { inNetns } from '../../src/kernel/netns.ts';
import { u32 } from '../../src/lib/bytes.ts';
import { parseMac } from '../../src/lib/mac.ts';
import { frame, ipv4 } from './frame.ts';
import { openRig, pairOfEach, type Rig } from './rig.ts';

const document = `
ports:
${pairOfEach}fdb:
  static: { 10: { "02:00:00:00:00:99": a2 } }
`;
const [A, B, X] = ['02:00:00:00:00:0a', '02:00:00:00:00:0b', '02:00:00:00:00:0c'] as const;
const ip = ipv4({ src: '10.0.10.1', dst: '10.0.10.2' });

let rig: Rig;
before(async () => {
  rig = await openRig(document, ['a1', 'a2', 'x1', 'x2']);
});
after(() => rig[Symbol.asyncDispose]());

const row = (mac: string) => {
  const value = rig.datapath.map('fdb').lookup(encodeFdbKey({ bd: 10, mac: parseMac(mac) ?? new Uint8Array(6) }));
  return value === undefined ? undefined : decodeFdb(value);
};
const now = (): number => Number(process.hrtime.bigint() >> 30n);

/** Walks the table; how many went. */
const age = (olderThan: number): number => takeOut(rig.datapath, { mode: 'old', olderThan });

test('an address that spoke since the last walk stays and gets its time, a silent one goes', () => {
  for (const hook of ['tcx', 'xdp'] as const) {
    const [speaker, listener] = hook === 'tcx' ? (['a1', 'a2'] as const) : (['x1', 'x2'] as const);
    const begun = now();
    rig.learn(10, A, speaker);
    rig.learn(10, B, listener);
    rig.send(speaker, frame({ dst: B, src: A }, ip), hook);
    assert.equal(age(begun + 100), 1, 'the one that only listened');
    assert.equal(row(B), undefined);
    const kept = row(A);
    assert.equal(kept?.flags, 0);
    assert.ok((kept?.seen ?? 0) >= begun && (kept?.seen ?? 0) <= now());
    assert.equal(age(begun), 0, 'not old yet');
    assert.equal(age(begun + 100), 1);
    assert.equal(row(A), undefined);
  }
  assert.equal(row('02:00:00:00:00:99')?.seen, 0, 'a static one is none of its business');
});

test('an address that was learned or has moved since the last walk is not old', () => {
  rig.send('a1', frame({ dst: B, src: X }, ip));
  assert.equal(age(now() + 100), 0);
  rig.send('a2', frame({ dst: B, src: X }, ip));
  assert.equal(row(X)?.port, rig.portId('a2'));
  assert.equal(age(now() + 100), 0);
  assert.equal(age(now() + 100), 1);
});

test('what was found a moment ago counts no more when the row moves, goes, or becomes another', () => {
  const went = (hook: 'tcx' | 'xdp'): unknown => {
    const { verdict, out } = rig.send('x1', frame({ dst: B, src: A }, ip), hook);
    return [verdict, out.map(([port]) => port).toSorted()];
  };
  // XDP passes on what it does not finish, without a trace.
  const passed = ['none', []];
  rig.learn(10, A, 'x1');
  for (const hook of ['tcx', 'xdp'] as const) {
    rig.learn(10, B, 'x2');
    assert.deepEqual(
      [went(hook), went(hook)],
      [
        ['port', ['x2']],
        ['port', ['x2']],
      ],
    );
    // It speaks at another port.
    rig.send('a2', frame({ dst: A, src: B }, ip));
    assert.deepEqual(went(hook), hook === 'tcx' ? ['port', ['a2']] : passed);
    rig.learn(10, B, 'x2');
    assert.deepEqual(went(hook), ['port', ['x2']]);
    takeOut(rig.datapath, { mode: 'ports', ports: [rig.portId('x2')] });
    assert.deepEqual(went(hook), hook === 'tcx' ? ['flood', ['a1', 'a2', 'x2']] : passed);
  }
  assert.equal(age(now() + 100) + age(now() + 100), 1, 'the speaker is all that is left');
});

test('a device with an ifindex beyond the array is a port like any other', () => {
  const far = 70_001;
  const dev = rig.datapath.map('dev');
  const before = dev.dump().count;
  const value = encodeDev({ kind: devKinds.port, id: rig.portId('a1') });
  const ctx = new Uint8Array(192);
  new DataView(ctx.buffer).setUint32(36, far, true);
  new DataView(ctx.buffer).setUint32(40, rig.kernel.netlink().link('a1')?.index ?? 0, true);
  const send = (): bigint => {
    const { rx } = rig.counters('a1');
    const program = rig.datapath.programOf('tcx-ingress');
    inNetns(rig.netns, () => program.testRun({ data: frame({ dst: B, src: A }, ip), ctx }));
    return rig.counters('a1').rx - rx;
  };
  assert.equal(send(), 0n, 'unknown yet');
  dev.update(u32(far), value);
  assert.equal(send(), 1n);
  assert.deepEqual(dev.lookup(u32(far)), value);
  assert.equal(dev.dump().count, before + 1);
  assert.equal(dev.delete(u32(far)), true);
  assert.equal(dev.delete(u32(far)), false);
  assert.equal(send(), 0n);
});

test('a device with a low ifindex is found without the hash, and is gone with its row', () => {
  const dev = rig.datapath.map('dev');
  const near = rig.datapath.maps.get('dev_near');
  const [key, value] = [u32(12_345), encodeDev({ kind: devKinds.svi, id: 10 })];
  dev.update(key, value);
  assert.deepEqual([dev.lookup(key), near?.lookup(key)], [value, value]);
  assert.equal(dev.delete(key), true);
  assert.deepEqual([dev.lookup(key), near?.lookup(key)], [undefined, new Uint8Array(value.length)]);
  assert.equal(near?.dump('used').count, dev.dump().count, 'all devices of this rig have a low one');
});
