// The codecs that native/abi.ts writes, made from a small object and tried; and src/kernel/abi.ts, made again.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath, pathToFileURL } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));

const source = `
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
enum drop_reason { DROP_NO_PORT = 0, DROP_TOO_BIG = 7 };
enum port_flags { PORT_SHUT = 1, PORT_ACCESS = 2 };
struct abi_enums { enum drop_reason drop; enum port_flags flags; };
const volatile struct abi_enums abi_enums;
struct mac { __u8 bytes[6]; __u16 pad; };
struct key { __u16 vlan; __u16 port_be; __u32 addr_be; };
struct row {
	__u64 seen; __s32 delta; __u8 kind; __u8 pad1; __u16 words[3]; __u16 pad2;
	__u64 wide_be[2]; struct mac macs[2]; struct mac one; __u8 table[2][4];
};
struct test_args { __u32 in; __s64 out; };
struct unshared { __u32 x; };
struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 4); __type(key, struct key); __type(value, struct row); }
	rows SEC(".maps");
SEC("syscall") int call(struct test_args *args) { struct unshared u = { args->in }; args->out = u.x; return 0; }
char _license[] SEC("license") = "GPL";
`;

let folder = '';
let text = '';

function generate(object: string): string {
  return execFileSync(process.execPath, [join(root, 'native/abi.ts'), object], { encoding: 'utf8' });
}

before(() => {
  folder = mkdtempSync(join(tmpdir(), 'mpt-abi-'));
  writeFileSync(join(folder, 'a.bpf.c'), source);
  const include = `-I/usr/include/${process.arch === 'x64' ? 'x86_64' : 'aarch64'}-linux-gnu`;
  const object = join(folder, 'a.bpf.o');
  const flags = ['-O2', '-g', '-target', 'bpf', '-mcpu=v3', include, '-c', join(folder, 'a.bpf.c'), '-o', object];
  execFileSync('clang-19', flags);
  text = generate(object);
  // It imports ../lib/bytes.ts.
  mkdirSync(join(folder, 'lib'));
  mkdirSync(join(folder, 'kernel'));
  writeFileSync(join(folder, 'lib/bytes.ts'), readFileSync(join(root, 'src/lib/bytes.ts')));
  writeFileSync(join(folder, 'kernel/abi.ts'), text);
});
after(() => rmSync(folder, { recursive: true }));

test('values come out as they went in, at the compiler’s offsets, each in its byte order', async () => {
  const abi = await import(pathToFileURL(join(folder, 'kernel/abi.ts')).href);
  assert.equal(abi.keySize, 8);
  const key = abi.encodeKey({ vlan: 0x0102, port: 0x0304, addr: 0x05060708 });
  assert.equal(Buffer.from(key).toString('hex'), '0201030405060708');
  assert.deepEqual(abi.decodeKey(key), { vlan: 0x0102, port: 0x0304, addr: 0x05060708 });
  const mac = (n: number) => ({ bytes: new Uint8Array(6).fill(n) });
  const row = {
    seen: 0xffff_ffff_ffff_ffffn,
    delta: -5,
    kind: 255,
    words: [1, 2, 0xffff],
    wide: [1n, 2n],
    macs: [mac(1), mac(2)],
    one: mac(3),
    table: [Uint8Array.of(1, 2, 3, 4), Uint8Array.of(5, 6, 7, 8)],
  };
  const bytes = abi.encodeRow(row);
  assert.equal(bytes.length, abi.rowSize);
  assert.deepEqual(abi.decodeRow(bytes), row);
  const shifted = new Uint8Array([...new Uint8Array(3), ...bytes]);
  assert.deepEqual(abi.decodeRow(shifted, 3), row);
  assert.throws(() => abi.decodeRow(shifted, 4), RangeError);
  const rest = Object.fromEntries(Object.entries(row).filter(([name]) => name !== 'seen'));
  for (const wrong of [
    { ...row, kind: 256 },
    { ...row, delta: 2 ** 31 },
    { ...row, words: [1, 2] },
    { ...row, words: [1, 2, 0.5] },
    { ...row, seen: -1n },
    { ...row, one: { bytes: new Uint8Array(5) } },
    rest,
  ]) {
    assert.throws(() => abi.encodeRow(wrong), RangeError);
  }
  assert.deepEqual(abi.dropReasons, { 'no-port': 0, 'too-big': 7 });
  assert.deepEqual(abi.portFlags, { shut: 1, access: 2 });
  assert.deepEqual(abi.decodeTestArgs(abi.encodeTestArgs({ in: 1, out: -1n })), { in: 1, out: -1n });
});

test('only what is shared is there, and the formatter has nothing to say', () => {
  assert.doesNotMatch(text, /Unshared|AbiEnums|SkBuff/);
  const file = join(folder, 'kernel/abi.ts');
  writeFileSync(join(folder, '.oxfmtrc.json'), readFileSync(join(root, '.oxfmtrc.json')));
  execFileSync(join(root, 'node_modules/.bin/oxfmt'), [file], { cwd: folder });
  assert.equal(readFileSync(file, 'utf8'), text);
});

test('src/kernel/abi.ts is what the forwarding core gives', () => {
  const object = join(root, 'native/build/switch.tcx.bpf.o');
  assert.ok(existsSync(object), `${object} is missing: run native/setup.sh`);
  assert.equal(readFileSync(join(root, 'src/kernel/abi.ts'), 'utf8'), generate(object));
});
