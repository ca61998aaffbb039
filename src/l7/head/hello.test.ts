import assert from 'node:assert/strict';
import net from 'node:net';
import type { AddressInfo } from 'node:net';
import { before, test } from 'node:test';
import tls from 'node:tls';
import fc from 'fast-check';
import { MAX_HELLO, TLS10, TLS11, TLS12, TLS13, hello, helloBytes, offered, offers, parseHello } from './hello.ts';

const OFFSET = 3;

/** Parses at an offset, with other bytes before and behind. */
function parse(bytes: Uint8Array, behind = 0x16): number {
  const arena = Buffer.concat([Buffer.alloc(OFFSET, 65), bytes, Buffer.alloc(64, behind)]);
  return parseHello(arena, OFFSET, OFFSET + bytes.length);
}

const said = () => ({
  sni: helloBytes.toString('latin1', hello.sniOff, hello.sniOff + hello.sniLen),
  alpn: offered(),
  versions: hello.versions,
});

/** The first bytes of Node's own client. */
async function helloOf(options: tls.ConnectionOptions): Promise<Buffer> {
  const server = net.createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const got = new Promise<Buffer>((resolve) =>
    server.once('connection', (socket) => {
      socket.on('error', () => {});
      const pieces: Buffer[] = [];
      socket.on('data', (piece: Buffer) => {
        pieces.push(piece);
        const all = Buffer.concat(pieces);
        if (parse(all) === 0) return;
        resolve(all);
        socket.destroy();
      });
    }),
  );
  const client = tls.connect({ host: '127.0.0.1', port: (server.address() as AddressInfo).port, ...options });
  client.on('error', () => {});
  const bytes = await got;
  client.destroy();
  server.close();
  return bytes;
}

const options: readonly tls.ConnectionOptions[] = [
  { servername: 'Www.Example.com', ALPNProtocols: ['h2', 'http/1.1'] },
  { minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2', servername: 'a.test' },
  { minVersion: 'TLSv1.3', ALPNProtocols: ['acme-tls/1'], servername: 'b_1.test' },
  { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' },
  { servername: `${'a'.repeat(60)}.test`, ALPNProtocols: Array.from({ length: 200 }, (_, i) => `protocol-${i}`) },
];
const hellos: Buffer[] = [];

before(async () => {
  for (const one of options) hellos.push(await helloOf(one));
});

test('what the client of node:tls says', () => {
  const wanted = [
    { sni: 'www.example.com', alpn: ['h2', 'http/1.1'], versions: TLS12 | TLS13 },
    { sni: 'a.test', alpn: [], versions: TLS10 | TLS11 | TLS12 },
    { sni: 'b_1.test', alpn: ['acme-tls/1'], versions: TLS13 },
    { sni: '', alpn: [], versions: TLS10 | TLS11 },
    { sni: options[4]!.servername, alpn: options[4]!.ALPNProtocols, versions: TLS12 | TLS13 },
  ];
  for (const [i, bytes] of hellos.entries()) {
    assert.equal(parse(bytes), bytes.length, hello.why);
    assert.deepEqual(said(), wanted[i]);
  }
  parse(hellos[0]!);
  assert.deepEqual(
    ['h2', 'http/1.1', 'h', 'http/1.0'].map((name) => offers(Buffer.from(name))),
    [true, true, false, false],
  );
  parse(hellos[1]!);
  assert.equal(offers(Buffer.from('h2')), false);
});

/** The handshake message again, in records that end after these many bytes. */
function inRecords(bytes: Buffer, cuts: readonly number[]): Buffer {
  const message = bytes.subarray(5);
  const ends = [...new Set(cuts.map((cut) => 1 + (cut % message.length)))].toSorted((a, b) => a - b);
  const pieces: Buffer[] = [];
  let from = 0;
  for (const end of [...ends, message.length]) {
    if (end === from) continue;
    pieces.push(Buffer.from([22, 3, 1, (end - from) >> 8, (end - from) & 255]), message.subarray(from, end));
    from = end;
  }
  return Buffer.concat(pieces);
}

const which = fc.nat(options.length - 1);
const cutting = fc.array(fc.nat(5000), { maxLength: 12 });

test('records and segments may end anywhere', () => {
  fc.assert(
    fc.property(which, cutting, fc.array(fc.nat(6000), { maxLength: 6 }), (i, cuts, ends) => {
      parse(hellos[i]!);
      const wanted = said();
      const bytes = inRecords(hellos[i]!, cuts);
      for (const end of [0, 1, 4, 5, bytes.length - 1, ...ends]) {
        if (end < bytes.length) assert.equal(parse(bytes.subarray(0, end)), 0, hello.why);
      }
      assert.equal(parse(bytes), bytes.length, hello.why);
      assert.deepEqual(said(), wanted);
    }),
    { numRuns: 300 },
  );
  const single = inRecords(
    hellos[0]!,
    Array.from({ length: hellos[0]!.length }, (_, i) => i),
  );
  assert.equal(parse(single), single.length);
});

test('any bytes: no exception, nothing behind the end counts, what is named lies in the ClientHello', () => {
  const changes = fc.array(fc.tuple(fc.nat(3000), fc.nat(255)), { minLength: 1, maxLength: 6 });
  fc.assert(
    fc.property(which, cutting, changes, fc.option(fc.nat(3000)), (i, cuts, all, cut) => {
      const bytes = inRecords(hellos[i]!, cuts);
      for (const [at, value] of all) bytes[at % bytes.length] = value;
      const part = cut === null ? bytes : bytes.subarray(0, cut);
      const got = parse(part);
      const first = said();
      assert.ok(got >= -1 && got <= part.length);
      assert.equal(parse(part, 0), got);
      if (got <= 0) return;
      assert.deepEqual(said(), first);
      assert.match(first.sni, /^([a-z0-9_-]+(\.[a-z0-9_-]+)*)?$/);
      assert.ok(hello.sniOff + hello.sniLen <= part.length && hello.alpnOff + hello.alpnLen <= part.length);
      assert.equal(parse(part.subarray(0, got)), got);
    }),
    { numRuns: 4000 },
  );
});

const u16 = (n: number): number[] => [n >> 8, n & 255];
const sized = (...bytes: readonly number[]): number[] => [...u16(bytes.length), ...bytes];
const extension = (type: number, ...bytes: readonly number[]): number[] => [...u16(type), ...sized(...bytes)];
const text = (name: string): number[] => [...Buffer.from(name, 'latin1')];
const name = (host: string): number[] => extension(0, ...sized(0, ...sized(...text(host))));

/** A ClientHello by hand. */
function handmade(
  extensions: readonly number[] | undefined,
  o: { body?: readonly number[]; behind?: number[] } = {},
): Buffer {
  const middle = o.body ?? [0, 0, 2, 0x13, 1, 1, 0];
  const body = [
    3,
    3,
    ...Array.from({ length: 32 }, () => 7),
    ...middle,
    ...(extensions === undefined ? [] : sized(...extensions)),
  ];
  const message = [1, 0, ...u16(body.length), ...body, ...(o.behind ?? [])];
  return Buffer.from([22, 3, 1, ...u16(message.length), ...message]);
}

test('what is no ClientHello, or one that says two things, is refused', () => {
  const fine = [
    handmade(undefined),
    handmade([]),
    handmade(name('a.test')),
    handmade([...name('a.test'), ...extension(16, ...sized(2, 104, 50)), ...extension(43, 2, 3, 4)]),
    handmade([...extension(43, 4, 0x5a, 0x5a, 3, 4), ...extension(0xfe0d, 1, 2, 3)]),
  ];
  for (const bytes of fine) assert.equal(parse(bytes), bytes.length, hello.why);
  assert.equal(hello.versions, TLS13);
  const refused: readonly [Uint8Array, RegExp][] = [
    [Buffer.from('GET / HTTP/1.1\r\n'), /no TLS handshake/],
    [Buffer.from([0x80, 0x2e, 1, 3, 1]), /no TLS handshake/],
    [Buffer.from([22, 2, 0, 0, 1, 1]), /no version of TLS/],
    [Buffer.from([22, 3, 1, 0, 0]), /of a length/],
    [Buffer.from([22, 3, 1, 0x40, 1]), /of a length/],
    [Buffer.from([22, 3, 1, 0, 4, 2]), /begins with no ClientHello/],
    [Buffer.from([22, 3, 1, 0, 4, 1, 1, 0, 0]), /larger than 16384/],
    [Buffer.from([22, 3, 1, 0, 4, 1, 0, 0x3f, 0xfd]), /larger than 16384/],
    [Buffer.from([22, 3, 1, 0, 1, 1, 23, 3, 1, 0, 1, 0]), /no TLS handshake/],
    [handmade([], { behind: [0] }), /behind a ClientHello/],
    [handmade(undefined, { body: [33, ...Array.from({ length: 33 }, () => 0), 0, 2, 0x13, 1, 1, 0] }), /session id/],
    [handmade(undefined, { body: [0, 0, 0, 1, 0] }), /cipher suites/],
    [handmade(undefined, { body: [0, 0, 3, 0x13, 1, 1, 1, 0] }), /cipher suites/],
    [handmade(undefined, { body: [0, 0, 2, 0x13, 1, 0] }), /compression/],
    [handmade(undefined, { body: [0, 0, 2, 0x13, 1, 1, 0, 0, 1] }), /length of extensions/],
    [handmade([0, 0, 0]), /short extension/],
    [handmade([0, 99, 0, 9, 1]), /leaves its ClientHello/],
    [handmade([...name('a.test'), ...name('b.test')]), /comes twice/],
    [handmade([...extension(16, ...sized(1, 97)), ...extension(16, ...sized(1, 98))]), /comes twice/],
    [handmade(extension(0, ...sized(0, ...sized(...text('a'))), 0)), /server name/],
    [handmade(extension(0, ...sized(0, ...sized(97), 0, ...sized(98)))), /server name/],
    [handmade(extension(0, ...sized(1, ...sized(97)))), /server name/],
    ...['', 'a.', '.a', 'a..b', 'a b', 'a\0b', 'a/b', 'a:1', '\xe4.test', 'x'.repeat(256)].map(
      (host): [Uint8Array, RegExp] => [handmade(name(host)), /server name/],
    ),
    [handmade(extension(16)), /list of protocols/],
    [handmade(extension(16, ...sized(0, 1, 97))), /list of protocols/],
    [handmade(extension(16, ...sized(3, 97))), /list of protocols/],
    [handmade(extension(43, 3, 3, 4, 3)), /list of versions/],
    [handmade(extension(43, 0)), /list of versions/],
  ];
  for (const [bytes, why] of refused) {
    assert.equal(parse(bytes), -1, String(why));
    assert.match(hello.why, why);
  }
});

test('a ClientHello has 16 KB, its records not much more', () => {
  const largest = handmade(extension(21, ...Array.from({ length: MAX_HELLO - 51 }, () => 0)));
  assert.equal(largest.length, MAX_HELLO + 5);
  assert.equal(parse(largest), largest.length, hello.why);
  const single = inRecords(
    largest,
    Array.from({ length: MAX_HELLO }, (_, i) => i),
  );
  assert.equal(parse(single), -1);
  assert.match(hello.why, /too many records/);
});
