import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { BpfObject, BpfProgram } from '../bpf.ts';
import { KernelError } from '../errno.ts';
import { openBpf } from './open.ts';

const source = (o: { field?: string; values?: string; body?: string }): string => `
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
struct key { __u32 id; };
struct row { __u64 ${o.field ?? 'seen'}; __u8 mac[6]; __u16 pad; };
const volatile __u32 step = 1;
const volatile __u64 base = 0;
struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 8); __type(key, struct key); __type(value, struct row);
	__uint(pinning, LIBBPF_PIN_BY_NAME); } rows SEC(".maps");
struct ring { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 4); __type(key, __u32); __type(value, __u32); };
struct { __uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS); __uint(max_entries, 2); __type(key, __u32);
	__array(values, struct ring); } rings SEC(".maps");
SEC("tc") int on_skb(struct __sk_buff *skb)
{
	skb->mark = base + step;
	${o.body ?? 'return skb->len;'}
}
SEC("xdp") int on_xdp(struct xdp_md *ctx)
{
	unsigned char *p = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	if (p + 14 > end)
		return XDP_ABORTED;
	p[0] = 0x55;
	return XDP_DROP;
}
struct call_args { __u32 in; __u32 out; };
SEC("syscall") int on_call(struct call_args *args)
{
	__u32 zero = 0, at = args->in;
	void *ring = bpf_map_lookup_elem(&rings, &zero);
	__u32 *slot = ring ? bpf_map_lookup_elem(ring, &at) : 0;
	args->out = slot ? *slot : 0;
	return 5;
}
char _license[] SEC("license") = "GPL";
`;

const u32 = (...values: number[]): Uint8Array => new Uint8Array(Uint32Array.from(values).buffer);
const bpf = openBpf();
const pins = `/sys/fs/bpf/mpt-load-${process.pid}`;
let folder = '';
let file = '';

function compile(name: string, text: string): string {
  const object = join(folder, `${name}.bpf.o`);
  writeFileSync(join(folder, `${name}.bpf.c`), text);
  const include = `-I/usr/include/${process.arch === 'x64' ? 'x86_64' : 'aarch64'}-linux-gnu`;
  const flags = ['-O2', '-g', '-target', 'bpf', '-mcpu=v3', include, '-c', join(folder, `${name}.bpf.c`)];
  execFileSync('clang-19', [...flags, '-o', object]);
  return object;
}

function programOf(object: BpfObject, name: string): BpfProgram {
  const program = object.programs.get(name);
  assert.ok(program);
  return program;
}

before(() => {
  folder = mkdtempSync(join(tmpdir(), 'mpt-load-'));
  file = compile('good', source({}));
});
after(() => {
  rmSync(folder, { recursive: true });
  rmSync(pins, { recursive: true, force: true });
});

test('constants are set, and programs run on given frames and contexts', () => {
  using object = bpf.load({ file, rodata: { step: u32(3), base: u32(40, 0) } });
  const frame = new Uint8Array(100).fill(1);
  const skb = programOf(object, 'on_skb').testRun({ data: frame, repeat: 100 });
  assert.equal(skb.retval, 100);
  assert.deepEqual(skb.data, frame);
  assert.equal(new DataView(skb.ctx.buffer).getUint32(8, true), 43);
  assert.ok(skb.durationNs > 0);
  const marked = new Uint8Array(192);
  new DataView(marked.buffer).setUint32(8, 7, true);
  assert.equal(programOf(object, 'on_skb').testRun({ data: frame, ctx: marked }).retval, 100);

  const xdp = programOf(object, 'on_xdp').testRun({ data: frame });
  assert.deepEqual([xdp.retval, xdp.data[0], xdp.data[1], xdp.data.length], [1, 0x55, 1, 100]);
  const live = programOf(object, 'on_xdp').testRun({ data: frame, flags: 2, repeat: 64 });
  assert.equal(live.data.length, 0);

  const { verifiedInsns, tag, id } = programOf(object, 'on_xdp');
  assert.ok(verifiedInsns > 3 && id > 0);
  assert.match(tag, /^[0-9a-f]{16}$/);
  assert.throws(() => programOf(object, 'on_skb').testRun({ data: new Uint8Array(1) }), KernelError);
});

test('a syscall program sees the table that was put into its slot, and answers in its arguments', () => {
  using object = bpf.load({ file });
  const call = programOf(object, 'on_call');
  assert.deepEqual(call.testRun({ ctx: u32(2, 99) }).ctx, u32(2, 0));
  using ring = bpf.createMap({ name: 'ring', type: 2, keySize: 4, valueSize: 4, maxEntries: 4 });
  ring.update(u32(2), u32(77));
  object.maps.get('rings')?.updateInner(u32(0), ring);
  assert.deepEqual(object.maps.get('rings')?.lookup(u32(0)), u32(ring.id));
  const answer = call.testRun({ ctx: u32(2, 0) });
  assert.deepEqual([answer.retval, answer.ctx], [5, u32(2, 77)]);
  using other = bpf.createMap({ name: 'other', type: 2, keySize: 4, valueSize: 8, maxEntries: 4 });
  assert.throws(() => object.maps.get('rings')?.updateInner(u32(0), other), /EINVAL/);
});

test('what the verifier refuses is thrown with the end of its log, and leaves nothing', () => {
  const bad = compile('bad', source({ body: 'return *(int *)(long)skb->data;' }));
  const before = readdirSync('/proc/self/fd').length;
  assert.throws(
    () => bpf.load({ file: bad, pins: { rows: `${pins}/bad/rows` } }),
    (error) => {
      assert.ok(error instanceof KernelError);
      assert.equal(error.code, 'EACCES');
      assert.match(error.message, /on_skb/);
      assert.match(error.message, /invalid access to packet/);
      return true;
    },
  );
  assert.equal(readdirSync('/proc/self/fd').length, before);
  assert.deepEqual(bpf.pins(`${pins}/bad`), []);
});

test('a pin whose value has another layout is refused by the names of the map and the field', () => {
  const map = { rows: `${pins}/rows@v1` };
  bpf.load({ file, pins: map }).close();
  const renamed = compile('renamed', source({ field: 'last_seen' }));
  assert.throws(() => bpf.load({ file: renamed, pins: map }), /map rows: EINVAL: .*seen@0.*last_seen@0/);
  bpf.load({ file, pins: map }).close();
  bpf.unpin(map.rows);
  // A map without BTF is not known to be the same.
  using plain = bpf.createMap({ name: 'rows', type: 1, keySize: 4, valueSize: 16, maxEntries: 8 });
  plain.pin(map.rows);
  assert.throws(() => bpf.load({ file, pins: map }), /map rows: EINVAL: .*unknown/);
  bpf.unpin(map.rows);
  // "pinning" in the object is libbpf's own way: not taken.
  assert.ok(!readdirSync('/sys/fs/bpf').includes('rows'));
});

test('the rows of a table of an earlier layout are taken over by the names of its fields, once', () => {
  const [first, second] = [`${pins}/carry/rows@v1`, `${pins}/carry/rows@v2`];
  const value = (...parts: readonly (Uint8Array | number)[]): Uint8Array =>
    new Uint8Array(parts.flatMap((part) => (typeof part === 'number' ? [part] : [...part])));
  const seen = u32(0x1234_5678, 9);
  const mac = Uint8Array.of(1, 2, 3, 4, 5, 6);
  {
    using object = bpf.load({ file, pins: { rows: first } });
    object.maps.get('rows')?.update(u32(7), value(seen, mac, 0, 0));
  }
  const wider = compile('wider', source({ field: 'added; __u64 seen' }));
  const load = { file: wider, pins: { rows: second }, former: { rows: first } };
  const carried = value(u32(0, 0), seen, mac, 0, 0);
  {
    using object = bpf.load(load);
    const rows = object.maps.get('rows');
    assert.deepEqual(rows?.lookup(u32(7)), carried);
    assert.equal(rows?.dump().count, 1);
    rows?.delete(u32(7));
  }
  using again = bpf.load(load);
  assert.equal(again.maps.get('rows')?.dump().count, 0, 'one that is pinned already is as it was');
  bpf.unpin(first);
  bpf.unpin(second);
});

test('no descriptor stays behind', () => {
  const cycle = (): void => {
    using object = bpf.load({ file });
    using map = bpf.createMap({ name: 'm', type: 1, keySize: 4, valueSize: 4, maxEntries: 4 });
    assert.ok(map.id > 0 && object.maps.size > 0);
  };
  cycle();
  const before = readdirSync('/proc/self/fd').length;
  for (let i = 0; i < 5; i++) cycle();
  assert.equal(readdirSync('/proc/self/fd').length, before);
});

test('a big table is dumped whole, of whatever type', () => {
  const count = 20_000;
  const keys = new Uint8Array(Uint32Array.from({ length: count }, (_, i) => i).buffer);
  for (const type of [1, 9]) {
    using map = bpf.createMap({ name: 'big', type, keySize: 4, valueSize: 4, maxEntries: count * 2 });
    map.updateBatch({ count, keys, values: keys });
    const rows = map.dump();
    const seen = new Uint32Array(rows.keys.buffer).toSorted();
    // The LRU may evict a few by itself.
    assert.ok(type === 9 ? rows.count > count * 0.9 : rows.count === count, `${rows.count} rows`);
    assert.equal(new Set(seen).size, rows.count);
    assert.deepEqual(rows.keys, rows.values);
  }
  using trie = bpf.createMap({ name: 'trie', type: 11, keySize: 8, valueSize: 4, maxEntries: 2, flags: 1 });
  trie.update(u32(32, 1), u32(1));
  trie.update(u32(32, 2), u32(2));
  assert.throws(() => trie.update(u32(32, 3), u32(3)), { code: 'E2BIG' });
  assert.equal(trie.dump().count, 2);
  using devices = bpf.createMap({ name: 'devices', type: 14, keySize: 4, valueSize: 4, maxEntries: 4 });
  devices.update(u32(2), u32(1));
  assert.deepEqual(devices.dump(), { count: 1, keys: u32(2), values: u32(1) });
});
