// Tables, pins and links, on the fake kernel and on the real one.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { code, one, onEachKernel } from '../../test/fake/contract.ts';
import type { BpfObject, BpfProgram } from './bpf.ts';

const u32 = (...values: number[]): Uint8Array => new Uint8Array(Uint32Array.from(values).buffer);

onEachKernel((its) => {
  test('tables', () => {
    const { bpf } = its.kernel;
    const sizes = { keySize: 4, valueSize: 4, maxEntries: 2 };
    using hash = bpf.createMap({ ...sizes, name: 'hash', type: 1 });
    assert.equal(hash.lookup(u32(1)), undefined);
    hash.update(u32(1), u32(11));
    hash.update(u32(1), u32(12), 2);
    assert.throws(() => hash.update(u32(1), u32(13), 1), code('EEXIST'));
    assert.throws(() => hash.update(u32(2), u32(13), 2), code('ENOENT'));
    assert.deepEqual(hash.lookup(u32(1)), u32(12));
    hash.updateBatch({ count: 2, keys: u32(1, 2), values: u32(21, 22) });
    assert.throws(() => hash.update(u32(3), u32(23)), code('E2BIG'));
    const rows = hash.dump();
    assert.equal(rows.count, 2);
    assert.deepEqual([rows.keys.length, rows.values.length], [8, 8]);
    assert.deepEqual([hash.delete(u32(1)), hash.delete(u32(1))], [true, false]);
    assert.deepEqual(hash.dump(), { count: 1, keys: u32(2), values: u32(22) });
    assert.throws(() => hash.update(u32(1, 2), u32(1)), RangeError);
    assert.throws(() => hash.update(u32(1), u32(1, 2)), RangeError);
    assert.throws(() => hash.lookup(new Uint8Array(0)), RangeError);
    assert.throws(() => hash.updateBatch({ count: 2, keys: u32(1), values: u32(1) }), RangeError);

    using array = bpf.createMap({ ...sizes, name: 'array', type: 2 });
    assert.deepEqual(array.dump(), { count: 2, keys: u32(0, 1), values: u32(0, 0) });
    assert.equal(array.dump('used').count, 0);
    array.update(u32(1), u32(7));
    assert.deepEqual(array.dump('used'), { count: 1, keys: u32(1), values: u32(7) });
    array.update(u32(1), u32(0));
    array.update(u32(1), u32(5));
    assert.throws(() => array.update(u32(2), u32(5)), code('E2BIG'));
    assert.throws(() => array.delete(u32(1)), code('EINVAL'));
    assert.deepEqual([array.lookup(u32(1)), array.lookup(u32(2))], [u32(5), undefined]);

    using counters = bpf.createMap({ ...sizes, name: 'counters', type: 6 });
    assert.equal(counters.perCpu, true);
    const all = new Uint8Array(8 * bpf.possibleCpus).fill(1);
    counters.update(u32(0), all);
    assert.equal(counters.lookup(u32(0))?.length, all.length);
    assert.equal(counters.dump().values.length, 2 * all.length);

    hash.close();
    hash.close();
    assert.throws(() => hash.lookup(u32(1)), code('EBADF'));
    assert.throws(() => bpf.createMap({ ...sizes, name: 'none', type: 1, maxEntries: 0 }), code('EINVAL'));
  });

  const load = (pins?: Record<string, string>): BpfObject =>
    its.kernel.bpf.load({ file: its.bench.file, rodata: { answer: u32(9) }, ...(pins === undefined ? {} : { pins }) });
  const programOf = (object: BpfObject, name: string): BpfProgram => {
    const program = object.programs.get(name);
    assert.ok(program, name);
    return program;
  };

  test('a pinned table outlives its object and is adopted with its rows; another one is refused', () => {
    const { bpf } = its.kernel;
    const pins = { rows: `${its.bench.pins}/maps/rows@v1`, devices: `${its.bench.pins}/maps/devices@v1` };
    const row = new Uint8Array(16).fill(7);
    {
      using object = load(pins);
      object.maps.get('rows')?.update(u32(1), row);
      assert.throws(() => object.maps.get('rows')?.pin(pins.rows), code('EEXIST'));
      assert.throws(() => object.maps.get('rows')?.pin(`${its.bench.pins}/maps/a.b`), code('EPERM'));
    }
    assert.deepEqual(bpf.pins(`${its.bench.pins}/maps`), ['devices@v1', 'rows@v1']);
    using again = load(pins);
    assert.deepEqual(again.maps.get('rows')?.lookup(u32(1)), row);
    using direct = bpf.openMap(pins.rows);
    assert.equal(direct?.id, again.maps.get('rows')?.id);
    assert.throws(() => load({ rows: pins.devices }), code('EINVAL'));
    assert.throws(() => load({ nothing: pins.rows }), code('ENOENT'));
    assert.throws(() => bpf.load({ file: its.bench.file, rodata: { answer: u32(1, 2) } }), code('EINVAL'));
    assert.throws(() => bpf.load({ file: its.bench.file, rodata: { question: u32(1) } }), code('ENOENT'));
    assert.throws(() => bpf.load({ file: `${its.bench.file}.not` }), code('ENOENT'));
    assert.throws(() => bpf.openLink(pins.rows), code('EINVAL'));
    assert.deepEqual([bpf.unpin(pins.rows), bpf.unpin(pins.rows), bpf.unpin(pins.devices)], [true, false, true]);
    assert.equal(bpf.openMap(pins.rows), undefined);
    assert.deepEqual(bpf.pins(`${its.bench.pins}/no-folder`), []);
  });

  test('links: attach, find, update, adopt by pin, severed when the device goes', () => {
    const { bpf } = its.kernel;
    its.ok({ op: 'link-add-veth', name: 'a', peer: 'b' });
    const ifindex = its.nl.link('a')?.index ?? 0;
    using object = load();
    const [first, second] = [programOf(object, 'first'), programOf(object, 'second')];
    assert.deepEqual(bpf.query(ifindex, 'tcx-ingress', one), []);
    assert.throws(() => bpf.attach(first, 4711, 'tcx-ingress', one), code('ENODEV'));
    const link = bpf.attach(first, ifindex, 'tcx-ingress', one);
    assert.throws(() => bpf.attach(first, ifindex, 'tcx-ingress', one), code('EEXIST'));
    using other = bpf.attach(second, ifindex, 'tcx-ingress', one);
    using egress = bpf.attach(first, ifindex, 'tcx-egress', one);
    assert.notEqual(other.info().id, egress.info().id);
    using xdp = bpf.attach(programOf(object, 'on_nic'), ifindex, 'xdp', one);
    assert.throws(() => bpf.attach(programOf(object, 'on_nic'), ifindex, 'xdp', one), code('EBUSY'));
    const on = (hook: 'xdp' | 'tcx-ingress' | 'tcx-egress'): unknown[] =>
      bpf.query(ifindex, hook, one).map(({ programId, tag, mode }) => [programId, tag, mode]);
    assert.deepEqual(on('tcx-ingress'), [
      [first.id, first.tag, 'tcx'],
      [second.id, second.tag, 'tcx'],
    ]);
    assert.deepEqual(on('xdp'), [[xdp.info().programId, programOf(object, 'on_nic').tag, 'native']]);
    const pin = `${its.bench.pins}/links/1@tcx-ingress`;
    link.pin(pin);
    link.close();
    link.close();
    assert.throws(() => link.info(), code('EBADF'));
    using adopted = bpf.openLink(pin);
    assert.ok(adopted);
    assert.deepEqual([adopted.info().ifindex, adopted.info().programId], [ifindex, first.id]);
    using fresh = load();
    adopted.update(programOf(fresh, 'second'));
    assert.equal(adopted.info().programId, programOf(fresh, 'second').id);
    its.ok({ op: 'link-del', name: 'a' });
    assert.equal(adopted.info().ifindex, 0);
    assert.throws(() => adopted.update(first), code('ENOLINK'));
    assert.throws(() => bpf.query(ifindex, 'tcx-ingress', one), code('ENODEV'));
    assert.equal(bpf.unpin(pin), true);
    assert.equal(bpf.openLink(pin), undefined);
  });

  test('a link without descriptor and pin lets go of its hook', () => {
    const { bpf } = its.kernel;
    its.ok({ op: 'link-add-veth', name: 'a', peer: 'b' });
    const ifindex = its.nl.link('a')?.index ?? 0;
    using object = load();
    const link = bpf.attach(programOf(object, 'first'), ifindex, 'tcx-ingress', one);
    assert.equal(bpf.query(ifindex, 'tcx-ingress', one).length, 1);
    link.close();
    assert.equal(bpf.query(ifindex, 'tcx-ingress', one).length, 0);
    its.ok({ op: 'link-del', name: 'a' });
  });
});
