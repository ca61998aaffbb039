// What a client of WebSockets says after its handshake (RFC 6455 5): after the cases of Autobahn's test suite, whose
// numbers the names begin with.
export interface SocketCase {
  readonly name: string;
  /** Pieces as they are written. */
  readonly pieces: readonly Buffer[];
  /** The last piece waits for so many frames. */
  readonly after?: number;
  /** Frames that come back before the client closes; 'end': the server does. */
  readonly back: number | 'end';
}

const TEXT = 1;
const BINARY = 2;
const CLOSE = 8;
const PING = 9;
const PONG = 10;
const mask = Buffer.from([0x37, 0xfa, 0x21, 0x3d]);

interface How {
  readonly fin?: boolean;
  readonly rsv?: number;
  readonly masked?: boolean;
}

export function frame(opcode: number, payload: Uint8Array | string, o: How = {}): Buffer {
  const { fin = true, rsv = 0, masked = true } = o;
  const body = Buffer.from(payload);
  const size = body.length < 126 ? Buffer.from([body.length]) : Buffer.alloc(body.length < 65_536 ? 3 : 9);
  if (size.length === 3) size.writeUInt16BE(body.length, 1);
  if (size.length === 9) size.writeBigUInt64BE(BigInt(body.length), 1);
  if (size.length > 1) size[0] = size.length === 3 ? 126 : 127;
  size[0]! |= masked ? 0x80 : 0;
  const out = masked ? body.map((byte, i) => byte ^ mask[i & 3]!) : body;
  return Buffer.concat(
    [Buffer.from([(fin ? 0x80 : 0) | (rsv << 4) | opcode]), size, masked ? mask : '', out].map(bytes),
  );
}

const bytes = (piece: Uint8Array | string): Buffer => Buffer.from(piece);
const open = (opcode: number, payload: Uint8Array | string): Buffer => frame(opcode, payload, { fin: false });

function closing(code: number, reason: Uint8Array | string = ''): Buffer {
  const two = Buffer.alloc(2);
  two.writeUInt16BE(code);
  return frame(CLOSE, Buffer.concat([two, Buffer.from(reason)]));
}

/** The client's last word, where the server has not had its own. */
export const farewell = closing(1000, 'done');

const one = (name: string, back: SocketCase['back'], ...pieces: readonly Buffer[]): SocketCase => ({
  name,
  back,
  pieces,
});

/** Written in pieces of that size. */
function chopped(whole: Buffer, size: number): Buffer[] {
  return Array.from({ length: Math.ceil(whole.length / size) }, (_, i) => whole.subarray(i * size, (i + 1) * size));
}

const sizes = [0, 125, 126, 127, 128, 65_535, 65_536, 300_000];
const framing: readonly SocketCase[] = [
  ...sizes.map((n) => one(`1.1 text of ${n}`, 1, frame(TEXT, Buffer.alloc(n, '*')))),
  ...sizes.map((n) => one(`1.2 binary of ${n}`, 1, frame(BINARY, Buffer.alloc(n, 0xfe)))),
  ...[1, 7, 997, 16_384].map((n) => one(`1.1.8 in pieces of ${n}`, 1, ...chopped(frame(TEXT, '*'.repeat(3000)), n))),
];

const pings: readonly SocketCase[] = [
  one('2.1 ping', 1, frame(PING, '')),
  one('2.2 ping with text', 1, frame(PING, 'Hello, world!')),
  one('2.3 ping with bytes', 1, frame(PING, Buffer.from([0, 255, 254, 253, 252, 251, 0, 255]))),
  one('2.4 ping of 125', 1, frame(PING, Buffer.alloc(125, 0xfe))),
  one('2.5 ping of 126', 'end', frame(PING, Buffer.alloc(126, 0xfe))),
  one('2.6 ping in pieces', 1, ...chopped(frame(PING, Buffer.alloc(125, 0xfe)), 1)),
  one('2.7 pong that nobody asked for', 0, frame(PONG, '')),
  one('2.8 the same with text', 0, frame(PONG, 'unasked')),
  one('2.9 pong, then ping', 1, frame(PONG, 'unasked'), frame(PING, 'asked')),
  one('2.10 ten pings', 10, ...Array.from({ length: 10 }, (_, i) => frame(PING, `payload-${i}`))),
];

const reserved: readonly SocketCase[] = [
  ...[1, 2, 3, 4, 5, 6, 7].map((rsv) => one(`3 reserved bits ${rsv}`, 'end', frame(TEXT, 'x', { rsv }))),
  ...[3, 4, 5, 6, 7, 11, 12, 13, 14, 15].map((op) => one(`4 opcode ${op}`, 'end', frame(op, ''))),
  { ...one('4 opcode 3 behind a text', 'end', frame(TEXT, 'x'), frame(3, 'y')), after: 1 },
  one('unmasked', 'end', frame(TEXT, 'x', { masked: false })),
];

const fragments: readonly SocketCase[] = [
  one('5.1 ping in two fragments', 'end', open(PING, 'one'), frame(0, 'two')),
  one('5.2 pong in two fragments', 'end', open(PONG, 'one'), frame(0, 'two')),
  one('5.3 text in two', 1, open(TEXT, 'one'), frame(0, 'two')),
  one('5.4 text in two, at once', 1, Buffer.concat([open(TEXT, 'one'), frame(0, 'two')])),
  one('5.5 text in two, bytewise', 1, ...chopped(Buffer.concat([open(TEXT, 'one'), frame(0, 'two')]), 1)),
  one('5.6 ping between', 2, open(TEXT, 'one'), frame(PING, 'between'), frame(0, 'two')),
  one('5.9 continuation of nothing', 'end', frame(0, 'x')),
  one('5.10 open continuation of nothing', 'end', open(0, 'x')),
  { ...one('5.15 continuation behind the end', 'end', open(TEXT, 'a'), frame(0, 'b'), open(0, 'c')), after: 1 },
  one('5.18 a text within a text', 'end', open(TEXT, 'a'), frame(TEXT, 'b')),
  one(
    '5.19 five, two pings',
    3,
    open(TEXT, 'a'),
    open(0, 'b'),
    frame(PING, 'p'),
    open(0, 'c'),
    frame(PING, 'q'),
    frame(0, 'd'),
  ),
  one('5.20 empty ones', 1, open(TEXT, ''), open(0, ''), frame(0, '')),
];

const good = ['κόσμε', 'Hello-µ@ßöäüàá-UTF-8!!', '\u{10ffff}', '\0', '\u{800}', '\ufffd', '\ud7ff', '\ue000'];
const bad = [
  '80',
  'bf',
  'c0af',
  'e08080',
  'eda080',
  'edbfbf',
  'f4908080',
  'f8888080',
  'fe',
  'ff',
  'c2',
  'e28c',
  'cebae1',
];
const utf8: readonly SocketCase[] = [
  ...good.map((text) => one(`6.2 valid ${JSON.stringify(text)}`, 1, frame(TEXT, text))),
  ...good.map((text) => {
    const all = [...Buffer.from(text)].map((byte) => open(0, Buffer.from([byte])));
    all[0]![0] = TEXT;
    return one(`6.2 valid ${JSON.stringify(text)}, byte by byte`, 1, ...all, frame(0, ''));
  }),
  ...bad.map((hex) => one(`6.3 invalid ${hex}`, 'end', frame(TEXT, Buffer.from(hex, 'hex')))),
];

const fine = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999];
const wrong = [0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999, 5000, 65_535];
const closes: readonly SocketCase[] = [
  one('7.1 close behind a text', 1, frame(TEXT, 'x')),
  one('7.1.2 two closes', 'end', Buffer.concat([farewell, farewell])),
  one('7.1.3 a ping behind the close', 'end', Buffer.concat([farewell, frame(PING, 'late')])),
  one('7.1.4 a text behind the close', 'end', Buffer.concat([farewell, frame(TEXT, 'late')])),
  one('7.3.1 close of 0', 'end', frame(CLOSE, '')),
  one('7.3.2 close of 1', 'end', frame(CLOSE, 'a')),
  one('7.3.3 close of 2', 'end', closing(1000)),
  one('7.3.5 a reason of 123', 'end', closing(1000, '*'.repeat(123))),
  one('7.3.6 a reason of 124', 'end', closing(1000, '*'.repeat(124))),
  one('7.5.1 a reason that is no UTF-8', 'end', closing(1000, Buffer.from([0xce, 0xba, 0xe1, 0xed, 0xa0, 0x80]))),
  ...fine.map((code) => one(`7.7 close ${code}`, 'end', closing(code, 'why'))),
  ...wrong.map((code) => one(`7.9 close ${code}`, 'end', closing(code))),
];

const large: readonly SocketCase[] = [
  one('9.1 text of 1 MiB', 1, frame(TEXT, Buffer.alloc(2 ** 20, 'a'))),
  one(
    '9.3 1 MiB in fragments of 64',
    1,
    open(BINARY, ''),
    ...chopped(Buffer.alloc(2 ** 18, 1), 64).map((p) => open(0, p)),
    frame(0, ''),
  ),
  one('9.5 more than is taken', 'end', frame(TEXT, Buffer.alloc(2 ** 20 + 1, 'a'))),
  one('9.7 a thousand messages', 1000, ...Array.from({ length: 1000 }, (_, i) => frame(TEXT, `message ${i}`))),
];

export const socketCases: readonly SocketCase[] = [
  ...framing,
  ...pings,
  ...reserved,
  ...fragments,
  ...utf8,
  ...closes,
  ...large,
];
