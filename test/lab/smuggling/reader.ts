// Readers of request streams that differ where servers are known to differ. Bytes are unambiguous when all of them find
// the same requests. They share no code with the router.

export interface Seen {
  /** "GET /path host body", or what of it could be read. */
  readonly text: string;
  /** Its body had come to its end. */
  readonly whole: boolean;
}

interface Reader {
  readonly name: string;
  /** A line may end in LF alone. */
  readonly bareLf: boolean;
  /** Content-Length wins over Transfer-Encoding. */
  readonly lengthFirst: boolean;
  /** Which of two Content-Lengths counts. */
  readonly lastLength: boolean;
  /** Transfer-Encoding counts when it contains "chunked" anywhere, else only when it is exactly that. */
  readonly anyChunked: boolean;
  /** "Name : value" is a field and a line that begins with a space belongs to the one before; else both are text. */
  readonly loose: boolean;
  /** A chunk size may begin with "0x" or a sign and end at the first other byte. */
  readonly looseSize: boolean;
}

const strict: Reader = {
  name: 'strict',
  bareLf: false,
  lengthFirst: false,
  lastLength: false,
  anyChunked: false,
  loose: false,
  looseSize: false,
};

export const readers: readonly Reader[] = [
  strict,
  { ...strict, name: 'bare LF', bareLf: true },
  { ...strict, name: 'length first', lengthFirst: true },
  { ...strict, name: 'last length, bare LF', lastLength: true, bareLf: true },
  { ...strict, name: 'any chunked', anyChunked: true, loose: true },
  { ...strict, name: 'loose', loose: true, bareLf: true, looseSize: true, anyChunked: true },
];

interface Head {
  readonly line: string;
  readonly host: string;
  readonly lengths: readonly string[];
  readonly codings: readonly string[];
  readonly end: number;
}

function lineEnd(text: string, from: number, bareLf: boolean): { at: number; next: number } | undefined {
  const at = text.indexOf(bareLf ? '\n' : '\r\n', from);
  if (at < 0) return undefined;
  if (!bareLf) return { at, next: at + 2 };
  return { at: at > from && text[at - 1] === '\r' ? at - 1 : at, next: at + 1 };
}

function headAt(text: string, from: number, reader: Reader): Head | undefined {
  const lines: string[] = [];
  for (let p = from; ;) {
    const end = lineEnd(text, p, reader.bareLf);
    if (end === undefined) return undefined;
    const line = text.slice(p, end.at);
    p = end.next;
    if (line === '' && lines.length > 0) return { ...fieldsOf(lines, reader), end: p };
    const folded = reader.loose && /^[ \t]/.test(line) && lines.length > 1;
    if (folded) lines[lines.length - 1] += ` ${line.trim()}`;
    else if (line !== '') lines.push(line);
  }
}

function fieldsOf([line = '', ...lines]: readonly string[], reader: Reader): Omit<Head, 'end'> {
  const all = (name: string): string[] =>
    lines.flatMap((text) => {
      const [, found = '', value = ''] = (reader.loose ? /^\s*([^:]*?)\s*:(.*)$/ : /^([^:\s]+):(.*)$/).exec(text) ?? [];
      return found.toLowerCase() === name ? [value.trim()] : [];
    });
  return {
    line,
    host: all('host').join('|'),
    lengths: all('content-length'),
    codings: all('transfer-encoding').map((value) => value.toLowerCase()),
  };
}

function chunked({ codings, lengths }: Head, reader: Reader): boolean {
  if (reader.lengthFirst && lengths.length > 0) return false;
  return codings.some((value) => (reader.anyChunked ? value.includes('chunked') : value === 'chunked'));
}

interface Body {
  readonly data: string;
  /** Undefined: it does not end here. */
  readonly end: number | undefined;
}

function chunksAt(text: string, from: number, reader: Reader): Body {
  let data = '';
  for (let p = from; ;) {
    const end = lineEnd(text, p, reader.bareLf);
    if (end === undefined) return { data, end: undefined };
    const line = text.slice(p, end.at);
    const digits = (reader.looseSize ? /^\s*[+-]?(?:0x)?([0-9a-f]+)/i : /^([0-9a-f]+)(?:;.*)?$/i).exec(line)?.[1];
    if (digits === undefined) return { data, end: undefined };
    const size = Number.parseInt(digits, 16);
    if (size === 0) return { data, end: trailersEnd(text, end.next, reader) };
    data += text.slice(end.next, end.next + size);
    const after = lineEnd(text, end.next + size, reader.bareLf);
    if (after === undefined || (after.at !== end.next + size && !reader.looseSize)) return { data, end: undefined };
    p = after.next;
  }
}

function trailersEnd(text: string, from: number, reader: Reader): number | undefined {
  for (let p = from; ;) {
    const end = lineEnd(text, p, reader.bareLf);
    if (end === undefined) return undefined;
    if (end.at === p) return end.next;
    p = end.next;
  }
}

function bodyAt(text: string, head: Head, reader: Reader): Body {
  if (chunked(head, reader)) return chunksAt(text, head.end, reader);
  const size = Number(/\d+/.exec(head.lengths.at(reader.lastLength ? -1 : 0) ?? '')?.[0] ?? 0);
  const data = text.slice(head.end, head.end + size);
  return { data, end: data.length < size ? undefined : head.end + size };
}

/** What this reader takes the bytes of one connection for. */
export function read(text: string, reader: Reader = strict): Seen[] {
  const seen: Seen[] = [];
  for (let p = 0; p < text.length;) {
    const head = headAt(text, p, reader);
    if (head === undefined) return [...seen, { text: `unfinished ${JSON.stringify(text.slice(p))}`, whole: false }];
    const { data, end } = bodyAt(text, head, reader);
    const target = head.line.replace(/ HTTP\/1\.[01]$/, '').replace(/(?<=^[A-Z]+ )http:\/\/[^/]*/i, '');
    seen.push({ text: `${target} ${head.host} ${JSON.stringify(data)}`, whole: end !== undefined });
    if (end === undefined) return seen;
    p = end;
  }
  return seen;
}

/** Names of readers that find other requests than the strict one. */
export function disagreeing(text: string): string[] {
  const wanted = JSON.stringify(read(text));
  return readers.filter((reader) => JSON.stringify(read(text, reader)) !== wanted).map((reader) => reader.name);
}
