// A client of HTTP/2 that says just what it is told: frames by words, and what comes back, taken apart.
import { Decoder } from '../../src/l7/http2/hpack/hpack.ts';
import { connect } from './l7.ts';

export type Fields = readonly (readonly [name: string, value: string])[];

export const frameTypes = {
  DATA: 0,
  HEADERS: 1,
  PRIORITY: 2,
  RST_STREAM: 3,
  SETTINGS: 4,
  PUSH_PROMISE: 5,
  PING: 6,
  GOAWAY: 7,
  WINDOW_UPDATE: 8,
  CONTINUATION: 9,
} as const;
export type FrameType = keyof typeof frameTypes;
const names = Object.keys(frameTypes) as FrameType[];
export const END_STREAM = 1;
export const END_HEADERS = 4;

export const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1');

export interface Frame {
  readonly type: FrameType;
  readonly flags: number;
  readonly id: number;
  readonly payload: Buffer;
}

export function u32(n: number): Buffer {
  const b = Buffer.alloc(4);
  b.writeUInt32BE(n >>> 0);
  return b;
}

export function frame(
  type: FrameType | number,
  flags: number,
  id: number,
  payload: Uint8Array = Buffer.alloc(0),
): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = typeof type === 'number' ? type : frameTypes[type];
  head[4] = flags;
  head.writeUInt32BE(id, 5);
  return Buffer.concat([head, payload]);
}

function packString(text: string): Buffer {
  const bytes = Buffer.from(text, 'latin1');
  if (bytes.length < 127) return Buffer.concat([Buffer.from([bytes.length]), bytes]);
  const len: number[] = [127];
  let rest = bytes.length - 127;
  for (; rest >= 128; rest >>>= 7) len.push((rest & 127) | 128);
  return Buffer.concat([Buffer.from([...len, rest]), bytes]);
}

/** A block of literal fields, which no table keeps. */
export function block(fields: Fields): Buffer {
  return Buffer.concat(fields.flatMap(([name, value]) => [Buffer.from([0]), packString(name), packString(value)]));
}

const MAX_FRAME = 16_384;

/** HEADERS with a whole block, and CONTINUATION where it is larger than a frame. */
export function headers(id: number, fields: Fields, flags = END_STREAM): Buffer {
  const whole = block(fields);
  const pieces: Buffer[] = [];
  for (let at = 0; at === 0 || at < whole.length; at += MAX_FRAME) {
    const last = at + MAX_FRAME >= whole.length ? END_HEADERS : 0;
    const piece = whole.subarray(at, at + MAX_FRAME);
    pieces.push(at === 0 ? frame('HEADERS', flags | last, id, piece) : frame('CONTINUATION', last, id, piece));
  }
  return Buffer.concat(pieces);
}

export const get: Fields = [
  [':method', 'GET'],
  [':scheme', 'http'],
  [':path', '/'],
  [':authority', 'a'],
];
export const post: Fields = [[':method', 'POST'], ...get.slice(1)];

export interface Http2Client {
  send(...frames: Uint8Array[]): void;
  /** All frames so far. */
  frames(): Frame[];
  /** Resolves with the first frame, also one that came before, that fits. */
  until(fits: (f: Frame) => boolean, ms?: number): Promise<Frame>;
  /** Fields of a HEADERS frame; each is to be asked once and in order. */
  fields(f: Frame): Record<string, string>;
  /** Status of a stream's answer, or how it ended: "RST 1", "GOAWAY 1", "closed". */
  outcome(id: number): Promise<string>;
  closed(): Promise<string>;
  destroy(): void;
}

/** The whole frames of what came. */
export function framesOf(bytes: Buffer): Frame[] {
  const list: Frame[] = [];
  for (let p = 0; p + 9 <= bytes.length;) {
    const end = p + 9 + bytes.readUIntBE(p, 3);
    if (end > bytes.length) break;
    const id = bytes.readUInt32BE(p + 5);
    list.push({ type: names[bytes[p + 3]!]!, flags: bytes[p + 4]!, id, payload: bytes.subarray(p + 9, end) });
    p = end;
  }
  return list;
}

/** Connected, with preface and SETTINGS sent. */
export async function http2Client(port: number, settings: Uint8Array = Buffer.alloc(0)): Promise<Http2Client> {
  const c = await connect(port);
  const decoder = new Decoder();
  c.send(Buffer.concat([preface, frame('SETTINGS', 0, 0, settings)]));
  const self: Http2Client = {
    send: (...frames) => c.send(Buffer.concat(frames)),
    frames: () => framesOf(Buffer.from(c.text(), 'latin1')),
    async until(fits, ms = 10_000) {
      const until = performance.now() + ms;
      for (;;) {
        const found = framesOf(Buffer.from(c.text(), 'latin1')).find((f) => fits(f));
        if (found !== undefined) return found;
        if (performance.now() > until || c.socket.destroyed) {
          const seen = framesOf(Buffer.from(c.text(), 'latin1')).map(
            (f) => `${f.type}/${f.id}/${f.payload.toString('hex')}`,
          );
          throw new Error(`no such frame, but ${seen.join(' ')}`);
        }
        await new Promise((resolve) => setTimeout(resolve, 2));
      }
    },
    fields(f) {
      const all: Record<string, string> = {};
      decoder.decode(f.payload, 0, f.payload.length, {
        field(a, name, nameLen, value, valueLen) {
          const text = (off: number, len: number) => Buffer.from(a.subarray(off, off + len)).toString('latin1');
          all[text(name, nameLen)] = text(value, valueLen);
        },
      });
      return all;
    },
    async outcome(id) {
      const ends = (f: Frame) =>
        (f.id === id && (f.type === 'HEADERS' || f.type === 'RST_STREAM')) ||
        (f.type === 'GOAWAY' && f.payload.readUInt32BE(4) !== 0);
      const f = await self.until(ends).catch(() => undefined);
      if (f === undefined) return 'closed';
      if (f.type === 'HEADERS') return self.fields(f)[':status']!;
      return f.type === 'GOAWAY' ? `GOAWAY ${f.payload.readUInt32BE(4)}` : `RST ${f.payload.readUInt32BE(0)}`;
    },
    closed: () => c.closed(),
    destroy: () => void c.socket.destroy(),
  };
  return self;
}
