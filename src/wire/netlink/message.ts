// Netlink messages and attributes, host byte order (little-endian machines only), RFC 3549 and linux/netlink.h.

export const NLM_F_REQUEST = 0x1;
export const NLM_F_ACK = 0x4;
export const NLM_F_DUMP = 0x300;
export const NLM_F_REPLACE = 0x100;
export const NLM_F_EXCL = 0x200;
export const NLM_F_CREATE = 0x400;

const headerSize = 16;
const attributeHeader = 4;
const nested = 0x8000;
const typeMask = 0x3fff;

/** An attribute to write: its type, and a value or attributes nested in it. Numbers are u32; smaller ones are bytes. */
export type Attribute = readonly [type: number, value: Uint8Array | string | number | readonly Attribute[]];

/** A message to send, without flags and sequence number. `fixed` is the family's own header. */
export interface Request {
  readonly type: number;
  readonly flags: number;
  readonly fixed: Uint8Array;
  readonly attributes: readonly Attribute[];
}

/** A message that came. `body` is what follows the netlink header. */
export interface Message {
  readonly type: number;
  readonly flags: number;
  readonly seq: number;
  readonly body: Uint8Array;
}

const textEncoder = new TextEncoder();
const textDecoder = new TextDecoder();

/** One byte as an attribute's value. */
export function u8(value: number): Uint8Array {
  return Uint8Array.of(value);
}

/** A signed or unsigned 32-bit number as an attribute's value. */
export function u32(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value, true);
  return bytes;
}

/** Bytes of a message with its header, padded to 4. */
export function encodeMessage(request: Request, seq: number): Uint8Array {
  const attributes = encodeAttributes(request.attributes);
  const size = headerSize + align(request.fixed.length) + attributes.length;
  const bytes = new Uint8Array(align(size));
  const view = new DataView(bytes.buffer);
  view.setUint32(0, size, true);
  view.setUint16(4, request.type, true);
  view.setUint16(6, request.flags | NLM_F_REQUEST, true);
  view.setUint32(8, seq, true);
  bytes.set(request.fixed, headerSize);
  bytes.set(attributes, headerSize + align(request.fixed.length));
  return bytes;
}

/** Attributes one after the other, each padded to 4. Strings end with NUL. Throws RangeError above 65,531 bytes. */
export function encodeAttributes(attributes: readonly Attribute[]): Uint8Array {
  const parts = attributes.map(([type, value]) => encodeAttribute(type, value));
  return concatBytes(parts);
}

function encodeAttribute(type: number, value: Attribute[1]): Uint8Array {
  const isNested = Array.isArray(value);
  const payload = payloadOf(value);
  const size = attributeHeader + payload.length;
  if (size > 0xffff) throw new RangeError(`netlink attribute ${type} of ${size} bytes`);
  const bytes = new Uint8Array(align(size));
  const view = new DataView(bytes.buffer);
  view.setUint16(0, size, true);
  view.setUint16(2, isNested ? type | nested : type, true);
  bytes.set(payload, attributeHeader);
  return bytes;
}

function payloadOf(value: Attribute[1]): Uint8Array {
  if (value instanceof Uint8Array) return value;
  if (typeof value === 'number') return u32(value);
  if (typeof value === 'string') return textEncoder.encode(`${value}\0`);
  return encodeAttributes(value);
}

/** Byte strings one after the other. */
export function concatBytes(parts: readonly Uint8Array[]): Uint8Array {
  let size = 0;
  for (const part of parts) size += part.length;
  const bytes = new Uint8Array(size);
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

/** The messages in a datagram or a whole answer; stops at the first that is cut short. */
export function* decodeMessages(bytes: Uint8Array): Generator<Message> {
  const view = viewOf(bytes);
  let at = 0;
  while (at + headerSize <= bytes.length) {
    const size = view.getUint32(at, true);
    if (size < headerSize || at + size > bytes.length) return;
    yield {
      type: view.getUint16(at + 4, true),
      flags: view.getUint16(at + 6, true),
      seq: view.getUint32(at + 8, true),
      body: bytes.subarray(at + headerSize, at + size),
    };
    at += align(size);
  }
}

/** Attributes by type, without their flag bits, from `offset` on; of one type the last wins. */
export function decodeAttributes(bytes: Uint8Array, offset = 0): Map<number, Uint8Array> {
  const view = viewOf(bytes);
  const attributes = new Map<number, Uint8Array>();
  let at = offset;
  while (at + attributeHeader <= bytes.length) {
    const size = view.getUint16(at, true);
    if (size < attributeHeader || at + size > bytes.length) break;
    attributes.set(view.getUint16(at + 2, true) & typeMask, bytes.subarray(at + attributeHeader, at + size));
    at += align(size);
  }
  return attributes;
}

/** The u32 of an attribute, or undefined where it is absent or short. */
export function readU32(value: Uint8Array | undefined): number | undefined {
  return value === undefined || value.length < 4 ? undefined : viewOf(value).getUint32(0, true);
}

/** The text of an attribute up to its NUL. */
export function readText(value: Uint8Array | undefined): string | undefined {
  if (value === undefined) return undefined;
  const end = value.indexOf(0);
  return textDecoder.decode(end < 0 ? value : value.subarray(0, end));
}

/** A view on exactly these bytes. */
export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function align(size: number): number {
  return (size + 3) & ~3;
}
