// The fields of a response as they come out of HPACK, made a head of HTTP/1.1. What RFC 9113 8.2 and 8.3.2 call
// malformed is found here.
import {
  CONNECTION,
  CONTENT_LENGTH,
  KEEP_ALIVE,
  PROXY_CONNECTION,
  TRANSFER_ENCODING,
  UPGRADE,
  bytesAre,
  contentLength,
  identify,
  nameHash,
} from '../head/fields.ts';
import type { FieldSink } from './hpack/hpack.ts';
import { MAX_LIST_BYTES, isValue, nameHashOf } from './request.ts';

const latin1 = (text: string): Buffer => Buffer.from(text, 'latin1');
const statusName = latin1(':status');
const startLine = latin1('HTTP/1.1 ');
const switching = latin1('HTTP/1.1 101');
const startEnd = latin1(' \r\n');
const colon = latin1(': ');
const crlf = latin1('\r\n');
const chunkedEnd = latin1('transfer-encoding: chunked\r\n\r\n');
const emptyEnd = latin1('content-length: 0\r\n\r\n');
const hop: readonly number[] = [CONNECTION, KEEP_ALIVE, PROXY_CONNECTION, TRANSFER_ENCODING, UPGRADE];

const grpcType = latin1('application/grpc');
const typeHash = nameHash('content-type');

function startsWith(a: Uint8Array, off: number, len: number, bytes: Uint8Array): boolean {
  return len >= bytes.length && bytesAre(a, off, bytes.length, bytes);
}

/** Builds one head after another, each in the same place. */
export class ResponseHead implements FieldSink {
  why = '';
  status = 0;
  /** -1: none was said. */
  contentLength = -1;
  /** Of an answer to gRPC-web: what its content type has behind "application/grpc"; '' of any other. */
  web = '';
  private readonly dst: Uint8Array;
  private readonly first: number;
  private at = 0;

  constructor(dst: Uint8Array, first: number) {
    this.dst = dst;
    this.first = first;
  }

  begin(web = ''): void {
    this.why = '';
    this.web = web;
    this.status = 0;
    this.contentLength = -1;
    this.at = this.first;
  }

  field(a: Uint8Array, name: number, nameLen: number, value: number, valueLen: number): void {
    if (this.why !== '') return;
    if (this.at - this.first + nameLen + valueLen > MAX_LIST_BYTES) this.why = 'list too large';
    else if (!isValue(a, value, valueLen)) this.why = 'bad byte in a value';
    else if (this.status === 0) this.statusLine(a, name, nameLen, value, valueLen);
    else this.regular(a, name, nameLen, value, valueLen);
  }

  /** :status stands first and alone. */
  private statusLine(a: Uint8Array, name: number, nameLen: number, value: number, valueLen: number): void {
    const digits = valueLen === 3 ? Number(String.fromCharCode(a[value]!, a[value + 1]!, a[value + 2]!)) : NaN;
    if (!bytesAre(a, name, nameLen, statusName)) this.why = 'no :status';
    // 101 has no meaning here (RFC 9113 8.6).
    else if (!(digits >= 100 && digits <= 599) || digits === 101) this.why = 'bad :status';
    if (this.why !== '') return;
    this.status = digits;
    this.put(startLine, 0, startLine.length);
    this.put(a, value, 3);
    this.put(startEnd, 0, startEnd.length);
  }

  private regular(a: Uint8Array, name: number, nameLen: number, value: number, valueLen: number): void {
    const hash = nameHashOf(a, name, nameLen);
    const id = Number.isNaN(hash) ? -1 : identify(a, name, nameLen, hash);
    if (id < 0) this.why = 'bad field name';
    else if (hop.includes(id)) this.why = 'field of one connection';
    else if (id === CONTENT_LENGTH) this.length(a, value, valueLen);
    if (this.why !== '' || (this.web !== '' && id === CONTENT_LENGTH)) return;
    this.put(a, name, nameLen);
    this.put(colon, 0, 2);
    if (this.web !== '' && hash === typeHash && startsWith(a, value, valueLen, grpcType)) {
      this.put(grpcType, 0, grpcType.length);
      this.put(latin1(this.web), 0, this.web.length);
      this.put(a, value + grpcType.length, valueLen - grpcType.length);
    } else this.put(a, value, valueLen);
    this.put(crlf, 0, 2);
  }

  private length(a: Uint8Array, value: number, valueLen: number): void {
    this.contentLength = this.contentLength < 0 ? contentLength(a, value, valueLen) : -1;
    if (this.contentLength < 0) this.why = 'bad content-length';
    // The body gets another.
    else if (this.web !== '') this.contentLength = -1;
  }

  /** The status is one of an interim head, or of an answer that has no body. */
  isBodiless(): boolean {
    return this.status < 200 || this.status === 204 || this.status === 304;
  }

  /** Closes the head; `whole` says that the stream ends with it, `toHead` that HEAD is answered. Gives the place
   * behind it; `why` says whether it stands. */
  end(whole: boolean, toHead: boolean): number {
    const bodiless = toHead || this.isBodiless();
    if (this.why === '' && this.status === 0) this.why = 'no :status';
    if (this.why === '' && whole && this.status < 200) this.why = 'an interim head that ends the stream';
    if (this.why === '' && whole && !bodiless && this.contentLength > 0) this.why = 'content-length without a body';
    if (this.why !== '') return this.first;
    let last = crlf;
    if (!bodiless && this.contentLength < 0) last = whole ? emptyEnd : chunkedEnd;
    this.put(last, 0, last.length);
    return this.at;
  }

  /** Closes the head of 2xx to a WebSocket as one of HTTP/1.1, where 101 says the same; `accept` answers its key. */
  endSwitched(accept: string): number {
    if (this.contentLength > 0) this.why = 'content-length of a tunnel';
    if (this.why !== '') return this.first;
    const lines = latin1(`connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: ${accept}\r\n\r\n`);
    this.dst.set(switching, this.first);
    this.put(lines, 0, lines.length);
    return this.at;
  }

  private put(a: Uint8Array, off: number, len: number): void {
    for (let i = 0; i < len; i += 1) this.dst[this.at + i] = a[off + i]!;
    this.at += len;
  }
}
