import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { parseIp } from '../../lib/ip.ts';
import {
  DGRAM,
  INET,
  INET6,
  MAX_PROXY,
  STREAM,
  UNIX,
  UNSPEC,
  findTlv,
  parseProxy,
  proxy,
  proxyInfo,
  tlv,
  writeProxy1,
  writeProxy2,
} from './proxy.ts';
import type { ProxyInfo } from './proxy.ts';

const OFFSET = 5;

/** Parses at an offset, with other bytes before and behind. */
function parse(bytes: Uint8Array | string, behind = 0xff): number {
  const own = Buffer.from(bytes as string, 'latin1');
  const arena = Buffer.concat([Buffer.alloc(OFFSET, 65), own, Buffer.alloc(64, behind)]);
  return parseProxy(arena, OFFSET, OFFSET + own.length);
}

const sizes = [0, 4, 16, 108];
/** What was parsed, as plain data. */
function said(p: ProxyInfo) {
  const size = sizes[p.family]!;
  const { family, transport, fromPort, toPort } = p;
  return { family, transport, fromPort, toPort, from: [...p.from.subarray(0, size)], to: [...p.to.subarray(0, size)] };
}

const byte = fc.nat(255);
const port = fc.nat(65_535);
const infos = fc
  .record({
    family: fc.constantFrom(INET, INET6, UNIX),
    transport: fc.constantFrom(STREAM, DGRAM),
    fromPort: port,
    toPort: port,
  })
  .chain((r) =>
    fc
      .tuple(
        fc.array(byte, { minLength: sizes[r.family]!, maxLength: sizes[r.family]! }),
        fc.array(byte, { minLength: sizes[r.family]!, maxLength: sizes[r.family]! }),
      )
      .map(([from, to]): ProxyInfo => {
        const info = proxyInfo();
        info.from.set(from);
        info.to.set(to);
        const unix = r.family === UNIX;
        return Object.assign(info, r, unix ? { fromPort: 0, toPort: 0 } : {});
      }),
  );

function written(write: typeof writeProxy1, info: ProxyInfo): Buffer {
  const out = Buffer.alloc(300);
  return out.subarray(0, write(out, 0, info));
}

test('what was written is read, whole and not before', () => {
  fc.assert(
    fc.property(infos, fc.constantFrom(1, 2), (info, version) => {
      const bytes = written(version === 1 ? writeProxy1 : writeProxy2, info);
      assert.ok(bytes.length <= (version === 1 ? 107 : 232));
      for (let n = 0; n < bytes.length; n += 1) assert.equal(parse(bytes.subarray(0, n)), 0, `${n} bytes`);
      assert.equal(parse(Buffer.concat([bytes, Buffer.from('GET / ')])), bytes.length, proxy.why);
      const plain = info.transport === STREAM && info.family !== UNIX;
      if (version === 1 && !plain) assert.equal(proxy.family, UNSPEC);
      else assert.deepEqual(said(proxy), said(info));
      assert.deepEqual([proxy.version, proxy.local], [version, false]);
    }),
  );
});

test('any bytes: no exception, nothing behind the end counts, no length beyond it', () => {
  const mutations = fc.array(fc.tuple(fc.nat(231), byte), { maxLength: 4 });
  fc.assert(
    fc.property(
      infos,
      fc.constantFrom(writeProxy1, writeProxy2),
      mutations,
      fc.nat(232),
      (info, write, changes, cut) => {
        const bytes = written(write, info);
        for (const [at, value] of changes) if (at < bytes.length) bytes[at] = value;
        const part = bytes.subarray(0, Math.min(cut, bytes.length));
        const got = parse(part, 0);
        assert.ok(got >= -1 && got <= part.length);
        assert.equal(parse(part, 0x0a), got);
        assert.equal(parse(part, 0x30), got);
        if (got < 0) assert.equal(parse(Buffer.concat([part, Buffer.alloc(300, 32)])), -1, 'bad stays bad');
        if (got > 0) assert.equal(parse(part.subarray(0, got)), got);
      },
    ),
    { numRuns: 3000 },
  );
});

test('addresses of version 1 are read as lib/ip reads them', () => {
  const text = fc.oneof(
    fc.array(fc.constantFrom('1', 'fd00', '0', ':', '::', 'ffff', '12345', 'g', '.', '255', '256', '01'), {
      maxLength: 18,
    }),
    fc.array(fc.constantFrom('1:', '0:', 'abcd:', ':', 'F:'), { maxLength: 9 }).map((list) => [...list, '7']),
    fc.array(fc.constantFrom('0', '10', '255', '256', '00'), { minLength: 4, maxLength: 4 }).map((l) => [l.join('.')]),
  );
  fc.assert(
    fc.property(text, fc.boolean(), (pieces, six) => {
      const address = pieces.join('');
      const ip = parseIp(address);
      const ok = ip !== undefined && ip.family === (six ? 6 : 4) && !(six && address.includes('.'));
      const other = six ? '::1' : '127.0.0.1';
      const got = parse(`PROXY TCP${six ? 6 : 4} ${address} ${other} 1 2\r\n`);
      assert.equal(got > 0, ok, address);
      if (ok) assert.deepEqual(said(proxy).from, [...ip.bytes]);
    }),
    { numRuns: 3000 },
  );
});

const good1: readonly string[] = [
  'PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n',
  'PROXY TCP6 ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n'.replaceAll('f...f', 'ffff:ffff:ffff:ffff:ffff:ffff'),
  'PROXY UNKNOWN\r\n',
  'PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n'.replaceAll('f...f', 'ffff:ffff:ffff:ffff:ffff:ffff'),
  'PROXY UNKNOWN whatever \x01 it is\r\n',
];
const bad1: readonly string[] = [
  'GET / HTTP/1.1\r\n',
  'proxy TCP4 1.1.1.1 2.2.2.2 1 2\r\n',
  'PROXY TCP4 1.1.1.1 2.2.2.2 1 2\n',
  'PROXY TCP4 1.1.1.1 2.2.2.2 1 2\rX',
  'PROXY TCP4  1.1.1.1 2.2.2.2 1 2\r\n',
  'PROXY TCP4 1.1.1.1 2.2.2.2 1 2 \r\n',
  'PROXY TCP4 1.1.1.1 2.2.2.2 1\r\n',
  'PROXY TCP4 1.1.1.1 2.2.2.2 65536 2\r\n',
  'PROXY TCP4 1.1.1.1 2.2.2.2 01 2\r\n',
  'PROXY TCP4 1.1.1.1 2.2.2.2 -1 2\r\n',
  'PROXY TCP4 1.1.1 2.2.2.2 1 2\r\n',
  'PROXY TCP4 ::1 ::1 1 2\r\n',
  'PROXY TCP6 1.1.1.1 2.2.2.2 1 2\r\n',
  'PROXY UDP4 1.1.1.1 2.2.2.2 1 2\r\n',
  'PROXY UNKNOWNX\r\n',
  'PROXY \r\n',
  `PROXY UNKNOWN ${'x'.repeat(92)}\r\n`,
];

test('version 1, line by line', () => {
  for (const line of good1) assert.equal(parse(line), line.length, `${line}: ${proxy.why}`);
  for (const line of bad1) assert.equal(parse(line + ' '.repeat(120)), -1, line);
  assert.equal(good1[3]!.length, 107);
});

/** A header of version 2 by hand. */
function header(command: number, family: number, rest: Uint8Array, length = rest.length): Buffer {
  const start = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1');
  return Buffer.concat([start, Buffer.from([command, family, length >> 8, length & 255]), rest]);
}
const field = (type: number, ...value: readonly number[]): number[] => [
  type,
  value.length >> 8,
  value.length & 255,
  ...value,
];
const four = [10, 0, 0, 1, 10, 0, 0, 2, 0, 1, 0, 80];

test('version 2: what is said is checked, what is not said is skipped', () => {
  const rest = (...more: readonly number[]) => Buffer.from([...four, ...more]);
  const taken: readonly Buffer[] = [
    header(0x20, 0, Buffer.alloc(0)),
    header(0x20, 0x11, rest()),
    header(0x20, 0xff, rest(1, 2)),
    header(0x21, 0, rest()),
    header(0x21, 0x11, rest()),
    header(0x21, 0x12, rest()),
    header(0x21, 0x11, rest(...field(1, 104, 50), ...field(5), ...field(0xee, 1, 2, 3))),
    header(0x21, 0x11, rest(...field(4, ...Array.from({ length: MAX_PROXY - 31 }, () => 0)))),
  ];
  for (const bytes of taken) assert.equal(parse(bytes), bytes.length, proxy.why);
  const refused: readonly [Buffer, RegExp][] = [
    [header(0x31, 0x11, rest()), /version or command/],
    [header(0x22, 0x11, rest()), /version or command/],
    [header(0x21, 0x41, rest()), /family or transport/],
    [header(0x21, 0x13, rest()), /family or transport/],
    [header(0x21, 0x10, rest()), /family or transport/],
    [header(0x21, 0x01, rest()), /family or transport/],
    [header(0x21, 0x11, rest().subarray(0, 11)), /shorter than its addresses/],
    [header(0x21, 0x21, rest()), /shorter than its addresses/],
    [header(0x21, 0x31, rest()), /shorter than its addresses/],
    [header(0x21, 0x11, rest(1, 0)), /TLV/],
    [header(0x21, 0x11, rest(1, 0, 2, 9)), /TLV/],
    [header(0x21, 0x11, rest(1, 255, 255)), /TLV/],
    [header(0x21, 0x11, rest(...field(3, 1, 2, 3, 4))), /checksum/],
    [header(0x21, 0x11, rest(...field(3))), /checksum/],
    [header(0x21, 0x11, rest(), MAX_PROXY - 15), /longer than/],
  ];
  for (const [bytes, why] of refused) {
    assert.equal(parse(bytes), -1);
    assert.match(proxy.why, why);
  }
});

test('TLVs are found by their type', () => {
  const fields = [...field(1, 104, 50), ...field(5), ...field(2, 97, 46, 98)];
  const bytes = header(0x21, 0x11, Buffer.from([...four, ...fields]));
  assert.equal(parseProxy(bytes, 0, bytes.length), bytes.length);
  const text = (type: number) =>
    findTlv(bytes, type) ? bytes.toString('latin1', tlv.off, tlv.off + tlv.len) : undefined;
  assert.deepEqual([1, 2, 5, 3].map(text), ['h2', 'a.b', '', undefined]);
  assert.equal(parse('PROXY UNKNOWN\r\n'), 15);
  assert.equal(findTlv(bytes, 1), false, 'of the header that was parsed last');
});
