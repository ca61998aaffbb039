// What no SSH client says: bytes for a server that must not mind. Packets are in the clear (RFC 4253, section 6).
import { connect } from 'node:net';

const ident = Buffer.from('SSH-2.0-raw\r\n');

const u32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value >>> 0);
  return bytes;
};

const string = (bytes: Uint8Array | string): Buffer => Buffer.concat([u32(bytes.length), Buffer.from(bytes)]);

/** Length, padding length, payload, padding to a multiple of eight. */
function packet(...parts: readonly (Uint8Array | number)[]): Buffer {
  const payload = Buffer.concat(parts.map((part) => (typeof part === 'number' ? Buffer.of(part) : part)));
  const least = 8 - ((payload.length + 5) % 8);
  const size = least < 4 ? least + 8 : least;
  return Buffer.concat([u32(payload.length + 1 + size), Buffer.of(size), payload, Buffer.alloc(size)]);
}

/** SSH_MSG_KEXINIT with one algorithm of each kind, all of which the server has. */
function kexInit(kex = 'curve25519-sha256'): Buffer {
  const cipher = 'chacha20-poly1305@openssh.com';
  const mac = 'hmac-sha2-256-etm@openssh.com';
  const lists = [kex, 'ssh-ed25519', cipher, cipher, mac, mac, 'none', 'none', '', ''];
  return packet(20, Buffer.alloc(16, 7), ...lists.map(string), 0, u32(0));
}

/** SSH_MSG_KEX_ECDH_INIT. */
const ecdhInit = (point: Uint8Array): Buffer => packet(30, string(point));

/** Sent piece by piece; the server is to close the connection. */
export const attacks: Readonly<Record<string, readonly Uint8Array[]>> = {
  'another protocol': [Buffer.from('GET / HTTP/1.1\r\nhost: x\r\n\r\n'), Buffer.alloc(8192, 'x\n')],
  'a line without an end before the version': [Buffer.alloc(2 ** 21, 'x')],
  'lines without an end before the version': [Buffer.alloc(2 ** 16, 'x\r\n')],
  'a version of its own': [Buffer.from('SSH-1.5-old\r\n')],
  'nothing but zeros': [Buffer.alloc(2 ** 17)],
  'a length of 4 GiB': [ident, u32(0xffff_ffff), Buffer.alloc(64)],
  'a length of 2 GiB': [ident, u32(0x7fff_ffff), Buffer.alloc(64)],
  'a packet of 35,001 bytes': [ident, u32(35_001), Buffer.alloc(35_001)],
  'a packet of 256 KiB': [ident, u32(2 ** 18), Buffer.of(4, 20), Buffer.alloc(2 ** 18)],
  'a length of zero': [ident, u32(0), Buffer.alloc(64)],
  'more padding than packet': [ident, u32(12), Buffer.of(255, 20), Buffer.alloc(64)],
  'an odd length': [ident, u32(13), Buffer.of(4, 20), Buffer.alloc(64)],
  'lists that are longer than the packet': [ident, packet(20, Buffer.alloc(16), u32(0xffff_fff0), Buffer.alloc(100))],
  'algorithms that nobody has': [ident, kexInit('x'.repeat(20_000))],
  'a point of no order': [ident, kexInit(), ecdhInit(Buffer.alloc(32))],
  'a point that is too short': [ident, kexInit(), ecdhInit(Buffer.alloc(31, 9))],
  'a point that is too long': [ident, kexInit(), ecdhInit(Buffer.alloc(30_000, 9))],
  'a point without a string': [ident, kexInit(), packet(30)],
  'a login before the keys': [ident, packet(50, string('kim'), string('ssh-connection'), string('none'))],
  'a channel before the keys': [ident, packet(90, string('session'), u32(0), u32(1), u32(1))],
  'new keys before there are any': [ident, kexInit(), packet(21)],
  'a message of no number': [ident, packet(255, Buffer.alloc(32)), kexInit(), packet(255), packet(192)],
  'key exchanges without an end': [ident, ...Array.from({ length: 500 }, () => kexInit())],
  'noise under keys that are not its own': [
    ident,
    kexInit(),
    ecdhInit(Buffer.alloc(32, 9)),
    packet(21),
    Buffer.alloc(4096, 0xa5),
  ],
};

/** Where a client may fall silent. */
export const stages: Readonly<Record<string, Uint8Array>> = {
  nothing: Buffer.alloc(0),
  'half a version': Buffer.from('SSH-2.'),
  'a version': ident,
  'half an offer': Buffer.concat([ident, kexInit().subarray(0, 40)]),
  'an offer': Buffer.concat([ident, kexInit()]),
  'half a key': Buffer.concat([ident, kexInit(), ecdhInit(Buffer.alloc(32, 9)).subarray(0, 20)]),
  'a key exchange': Buffer.concat([ident, kexInit(), ecdhInit(Buffer.alloc(32, 9))]),
};

export interface At {
  readonly host: string;
  readonly port: number;
  readonly localAddress?: string;
}

/** Connects, sends the pieces, and waits for the end. Milliseconds until the other side closed, undefined where it has
 * not within `waitMs`; and what it said. */
export function send(
  at: At,
  pieces: readonly Uint8Array[],
  waitMs: number,
): Promise<{ readonly closedMs: number | undefined; readonly said: Buffer }> {
  return new Promise((resolve) => {
    const begun = performance.now();
    const heard: Buffer[] = [];
    const socket = connect({ ...at, noDelay: true });
    const done = (closedMs: number | undefined): void => {
      clearTimeout(timer);
      resolve({ closedMs, said: Buffer.concat(heard) });
      socket.destroy();
    };
    const timer = setTimeout(() => done(undefined), waitMs);
    socket.on('data', (data: Buffer) => heard.push(data));
    socket.on('error', () => undefined);
    socket.once('close', () => done(performance.now() - begun));
    socket.once('connect', () => write(0));
    const write = (index: number): void => {
      const piece = pieces[index];
      if (piece === undefined || socket.destroyed) return;
      // Each piece a segment of its own.
      socket.write(piece, () => setImmediate(write, index + 1));
    };
  });
}
