// The fields of a request as they come out of HPACK, made a head of HTTP/1.1 so that routing sees one kind of request.
// What RFC 9113 8.2 and 8.3 call malformed is found here: nothing that a server behind could read in another way gets
// through.
import {
  CONNECTION,
  CONTENT_LENGTH,
  HOST,
  KEEP_ALIVE,
  PROXY_CONNECTION,
  TRANSFER_ENCODING,
  hashAt,
} from '../head/fields.ts';
import {
  TARGET,
  TE,
  TOKEN,
  UPGRADE,
  VALUE,
  bytesAre,
  classes,
  contentLength,
  identify,
  lower,
} from '../head/fields.ts';
import type { Subject } from '../record/line.ts';
import { HEAD_ROOM } from './frames.ts';
import type { FieldSink } from './hpack/hpack.ts';
import { keyName, newKey } from './websocket.ts';

/** The largest list that is taken: SETTINGS_MAX_HEADER_LIST_SIZE. */
export const MAX_LIST_BYTES = 32 * 1024;

const latin1 = (text: string): Buffer => Buffer.from(text, 'latin1');
const pseudoNames = [':method', ':path', ':scheme', ':authority', ':protocol'].map(latin1);
const METHOD = 0;
const PATH = 1;
const SCHEME = 2;
const AUTHORITY = 3;
const PROTOCOL = 4;
const lineEnd = latin1(' HTTP/1.1\r\n');
const hostName = latin1('host: ');
const cookieName = latin1('cookie');
const cookieLine = latin1('cookie: ');
const cookieGlue = latin1('; ');
const chunkedLine = latin1('transfer-encoding: chunked\r\n\r\n');
const crlf = latin1('\r\n');
const connect = latin1('CONNECT');
const trailersOnly = latin1('trailers');
const schemes = [latin1('http'), latin1('https')];
const websocketName = latin1('websocket');
const getLine = latin1('GET ');
const upgradeLines = latin1('connection: upgrade\r\nupgrade: ');
const keyLine = latin1('sec-websocket-key: ');

/** Every byte is of this class, and there is one. */
function all(a: Uint8Array, off: number, len: number, bits: number): boolean {
  for (let i = 0; i < len; i += 1) if ((classes[a[off + i]!]! & bits) === 0) return false;
  return len > 0;
}

function blank(c: number | undefined): boolean {
  return c === 32 || c === 9;
}

/** A field's value (RFC 9113 8.2.1): no control byte, no blank at either end. */
export function isValue(a: Uint8Array, off: number, len: number): boolean {
  for (let i = 0; i < len; i += 1) if ((classes[a[off + i]!]! & VALUE) === 0) return false;
  return len === 0 || (!blank(a[off]) && !blank(a[off + len - 1]));
}

/** Hash of a lower-case name as nameHash has it, NaN where it is no such name. */
export function nameHashOf(a: Uint8Array, off: number, len: number): number {
  for (let i = 0; i < len; i += 1) {
    const c = a[off + i]!;
    if ((classes[c]! & TOKEN) === 0 || lower[c] !== c) return NaN;
  }
  return len > 0 ? hashAt(a, off, len) : NaN;
}

/** Builds one head after another, each in the same place. */
export class RequestHead implements FieldSink {
  /** Why the request is malformed, '' where it is not. */
  why = '';
  /** -1: none was said. */
  contentLength = -1;
  /** CONNECT: what follows is no body. */
  tunnel = false;
  /** It became the Upgrade of a WebSocket, with this key; else ''. */
  key = '';
  private readonly dst: Uint8Array;
  private readonly first: number;
  private at = 0;
  private seen = 0;
  private readonly pseudo = new Uint8Array(MAX_LIST_BYTES);
  private readonly offs = new Int32Array(pseudoNames.length);
  private readonly lens = new Int32Array(pseudoNames.length);
  private pseudoAt = 0;
  private line = false;
  private hasHost = false;
  private readonly cookies = new Uint8Array(HEAD_ROOM);
  private cookiesAt = 0;

  constructor(dst: Uint8Array, first: number) {
    this.dst = dst;
    this.first = first;
  }

  begin(): void {
    this.why = '';
    this.contentLength = -1;
    this.tunnel = false;
    this.key = '';
    this.at = this.first;
    this.seen = this.pseudoAt = this.cookiesAt = 0;
    this.line = this.hasHost = false;
  }

  field(a: Uint8Array, name: number, nameLen: number, value: number, valueLen: number): void {
    if (this.why !== '') return;
    if (this.at - this.first + this.pseudoAt + this.cookiesAt + nameLen + valueLen > MAX_LIST_BYTES) {
      this.why = 'list too large';
    } else if (!isValue(a, value, valueLen)) this.why = 'bad byte in a value';
    else if (a[name] === 58 && nameLen > 0) this.pseudoField(a, name, nameLen, value, valueLen);
    else this.regular(a, name, nameLen, value, valueLen);
  }

  private pseudoField(a: Uint8Array, name: number, nameLen: number, value: number, valueLen: number): void {
    let which = pseudoNames.length - 1;
    while (which >= 0 && !bytesAre(a, name, nameLen, pseudoNames[which]!)) which -= 1;
    if (which < 0) this.why = 'unknown pseudo-header';
    else if (this.line) this.why = 'pseudo-header behind a field';
    else if ((this.seen & (1 << which)) !== 0) this.why = 'pseudo-header twice';
    if (this.why !== '') return;
    this.seen |= 1 << which;
    this.offs[which] = this.pseudoAt;
    this.lens[which] = valueLen;
    for (let i = 0; i < valueLen; i += 1) this.pseudo[this.pseudoAt + i] = a[value + i]!;
    this.pseudoAt += valueLen;
  }

  /** What is known of the request, also where it is malformed. */
  subject(to: Subject): void {
    const { pseudo, offs, lens } = this;
    const of = (which: number): [number, number] => (this.has(which) ? [offs[which]!, lens[which]!] : [0, 0]);
    to.set(pseudo, ...of(METHOD), ...of(AUTHORITY), ...of(PATH));
  }

  private has(which: number): boolean {
    return (this.seen & (1 << which)) !== 0;
  }

  private is(which: number, bytes: Uint8Array): boolean {
    return this.has(which) && bytesAre(this.pseudo, this.offs[which]!, this.lens[which]!, bytes);
  }

  /** The request line and Host: what the pseudo-headers say. */
  private startLine(): void {
    this.line = true;
    this.tunnel = this.is(METHOD, connect);
    this.why = this.tunnel ? this.connectFault() : this.fault();
    if (this.why !== '') return;
    const websocket = this.is(PROTOCOL, websocketName);
    if (websocket) this.putAll(getLine);
    else {
      this.putPseudo(METHOD);
      this.putAll(space);
    }
    this.putPseudo(this.tunnel && !websocket ? AUTHORITY : PATH);
    this.putAll(lineEnd);
    if (this.has(AUTHORITY)) {
      this.putAll(hostName);
      this.putPseudo(AUTHORITY);
      this.putAll(crlf);
    }
    if (this.has(PROTOCOL)) this.upgrade(websocket);
  }

  /** Extended CONNECT as the request of HTTP/1.1 that means the same (RFC 8441 5.1): for a WebSocket GET; whatever else
   * stays CONNECT, which with an Upgrade is refused. */
  private upgrade(websocket: boolean): void {
    this.putAll(upgradeLines);
    this.putPseudo(PROTOCOL);
    this.putAll(crlf);
    if (!websocket) return;
    this.key = newKey();
    this.putAll(keyLine);
    this.putAll(latin1(this.key));
    this.putAll(crlf);
  }

  /** RFC 9113 8.3.1. */
  private fault(): string {
    const { pseudo, offs, lens } = this;
    if (!this.has(METHOD) || !this.has(PATH) || !this.has(SCHEME)) return 'pseudo-header missing';
    if (this.has(PROTOCOL)) return ':protocol without CONNECT';
    if (!all(pseudo, offs[METHOD]!, lens[METHOD]!, TOKEN)) return 'bad :method';
    return this.targetFault() || (this.has(AUTHORITY) ? this.authorityFault() : '');
  }

  private targetFault(): string {
    const { pseudo, offs, lens } = this;
    if (!schemes.some((scheme) => this.is(SCHEME, scheme))) return 'bad :scheme';
    if (!all(pseudo, offs[PATH]!, lens[PATH]!, TARGET)) return 'bad :path';
    const first = pseudo[offs[PATH]!];
    return first === 47 || (first === 42 && lens[PATH]! === 1) ? '' : 'bad :path';
  }

  /** RFC 9113 8.5; with :protocol it has what other methods have (RFC 8441 4). */
  private connectFault(): string {
    if (!this.has(AUTHORITY)) return 'CONNECT without :authority';
    const fault = this.authorityFault() || (this.has(PROTOCOL) ? this.protocolFault() : '');
    if (fault !== '' || this.has(PROTOCOL)) return fault;
    return this.has(SCHEME) || this.has(PATH) ? 'bad CONNECT' : '';
  }

  private protocolFault(): string {
    const { pseudo, offs, lens } = this;
    if (!this.has(SCHEME) || !this.has(PATH)) return 'pseudo-header missing';
    if (!all(pseudo, offs[PROTOCOL]!, lens[PROTOCOL]!, TOKEN)) return 'bad :protocol';
    return pseudo[offs[PATH]!] === 47 ? this.targetFault() : 'bad :path';
  }

  private authorityFault(): string {
    return all(this.pseudo, this.offs[AUTHORITY]!, this.lens[AUTHORITY]!, TARGET) ? '' : 'bad :authority';
  }

  private regular(a: Uint8Array, name: number, nameLen: number, value: number, valueLen: number): void {
    if (!this.line) this.startLine();
    if (this.why !== '') return;
    const hash = nameHashOf(a, name, nameLen);
    if (Number.isNaN(hash)) {
      this.why = 'bad field name';
      return;
    }
    const id = identify(a, name, nameLen, hash);
    if (id !== 0 && !this.known(id, a, value, valueLen)) return;
    if (this.key !== '' && bytesAre(a, name, nameLen, keyName)) return;
    if (bytesAre(a, name, nameLen, cookieName)) return this.cookie(a, value, valueLen);
    this.put(a, name, nameLen);
    this.put(colon, 0, 2);
    this.put(a, value, valueLen);
    this.put(crlf, 0, 2);
  }

  /** A field with a meaning for connections and framing. False: it is not passed on, or `why` says what is wrong. */
  private known(id: number, a: Uint8Array, value: number, valueLen: number): boolean {
    switch (id) {
      case CONNECTION:
      case TRANSFER_ENCODING:
      case UPGRADE:
      case KEEP_ALIVE:
      case PROXY_CONNECTION:
        this.why = 'field of one connection';
        return false;
      case TE:
        if (!bytesAre(a, value, valueLen, trailersOnly)) this.why = 'TE other than trailers';
        return false;
      case HOST:
        return this.host(a, value, valueLen);
      case CONTENT_LENGTH:
        return this.length(a, value, valueLen);
      default:
        return true;
    }
  }

  private host(a: Uint8Array, value: number, valueLen: number): boolean {
    if (this.hasHost) this.why = 'Host twice';
    this.hasHost = true;
    if (!this.has(AUTHORITY)) return true;
    const off = this.offs[AUTHORITY]!;
    let same = valueLen === this.lens[AUTHORITY];
    for (let i = 0; same && i < valueLen; i += 1) same = lower[a[value + i]!] === lower[this.pseudo[off + i]!];
    if (!same) this.why = 'Host differs from :authority';
    return false;
  }

  private length(a: Uint8Array, value: number, valueLen: number): boolean {
    this.contentLength = this.contentLength < 0 ? contentLength(a, value, valueLen) : -1;
    if (this.contentLength < 0) this.why = 'bad content-length';
    else if (this.tunnel) this.why = 'content-length of CONNECT';
    return this.why === '';
  }

  /** Cookie fields become one (RFC 9113 8.2.3). */
  private cookie(a: Uint8Array, value: number, valueLen: number): void {
    if (this.cookiesAt > 0) {
      this.cookies.set(cookieGlue, this.cookiesAt);
      this.cookiesAt += 2;
    }
    for (let i = 0; i < valueLen; i += 1) this.cookies[this.cookiesAt + i] = a[value + i]!;
    this.cookiesAt += valueLen;
  }

  /** Closes the head; `whole` says that no body follows. Gives the place behind it; `why` says whether it stands. */
  end(whole: boolean): number {
    if (!this.line && this.why === '') this.startLine();
    if (this.why === '' && whole && this.contentLength > 0) this.why = 'content-length without a body';
    if (this.why !== '') return this.first;
    if (this.cookiesAt > 0) {
      this.putAll(cookieLine);
      this.put(this.cookies, 0, this.cookiesAt);
      this.put(crlf, 0, 2);
    }
    this.putAll(whole || this.tunnel || this.contentLength >= 0 ? crlf : chunkedLine);
    return this.at;
  }

  private putAll(bytes: Uint8Array): void {
    this.put(bytes, 0, bytes.length);
  }

  private putPseudo(which: number): void {
    this.put(this.pseudo, this.offs[which]!, this.lens[which]!);
  }

  private put(a: Uint8Array, off: number, len: number): void {
    for (let i = 0; i < len; i += 1) this.dst[this.at + i] = a[off + i]!;
    this.at += len;
  }
}

const space = latin1(' ');
const colon = latin1(': ');
