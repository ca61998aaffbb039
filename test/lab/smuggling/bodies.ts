// Where chunks, and the body that they make, end.
import { type Case, bad, chunk, coded, hidden, last, odd, plainChunked, post } from './case.ts';

const hex = hidden.length.toString(16);
const size = (text: string): string => coded(`${text}\r\n${hidden}\r\n${last}`);
const each = (list: readonly (readonly [string, string])[]): readonly Case[] =>
  list.map(([name, text]) => bad(name, size(text), size(`${hex};x=y`)));

const sizes = each([
  ['0x before a size', `0x${hex}`],
  ['a plus before a size', `+${hex}`],
  ['a minus before a size', `-${hex}`],
  ['a space before a size', ` ${hex}`],
  ['a space behind a size', `${hex} `],
  ['a tab behind a size', `${hex}\t`],
  ['an underscore in a size', `${hex[0]}_${hex.slice(1)}`],
  ['NUL behind a size', `${hex}\0`],
  ['a quote before a size', `"${hex}"`],
  ['a comma in a size', `${hex},0`],
  ['a letter that is no digit', `${hex}g`],
  ['no size', ''],
]);

const overflows: readonly Case[] = [
  ...each([
    ['a size beyond 64 bits', `1${hex.padStart(16, '0')}`],
    ['a size beyond 63 bits', `8${hex.padStart(15, '0')}`],
    ['a size beyond 32 bits', `1${hex.padStart(12, '0')}`],
  ]),
  bad('zeros before a size without end', coded(`${'0'.repeat(10_000)}1\r\nx\r\n${last}`), coded(`01\r\nx\r\n${last}`)),
];

const extensions = each([
  ['a space before an extension', `${hex} ;x`],
  ['an extension without size', ';x'],
  ['NUL in an extension', `${hex};x=\0`],
  ['a bare CR in an extension', `${hex};x\ry`],
  ['an extension that is too long', `${hex};${'x'.repeat(20_000)}`],
]);

/** The line of a chunk ends in different places for different readers. */
const extensionEnds: readonly Case[] = [
  bad('LF in an extension', coded(`2;\nxx\r\n${hex}\r\n0\r\n\r\n${hidden}\r\n${last}`), plainChunked),
  bad('LF ends an extension', coded(`${hex};x\n${hidden}\r\n${last}`), plainChunked),
  bad('CR ends an extension', coded(`${hex};x\r${hidden}\r\n${last}`), plainChunked),
  bad('LF in the extension of the last chunk', coded(`0;\n\r\n\r\n${hidden}`), coded('0;x\r\n\r\n') + hidden),
];

const lineEnds: readonly Case[] = [
  bad('LF behind a size', coded(`${hex}\n${hidden}\r\n${last}`), plainChunked),
  bad('CR behind a size', coded(`${hex}\r${hidden}\r\n${last}`), plainChunked),
  bad('CR CR LF behind a size', coded(`${hex}\r\r\n${hidden}\r\n${last}`), plainChunked),
];

const dataEnds: readonly Case[] = [
  bad('LF behind the data', coded(`${hex}\r\n${hidden}\n${last}`), plainChunked),
  bad('nothing behind the data', coded(`${hex}\r\n${hidden}${last}`), plainChunked),
  bad('two bytes for CR LF behind the data', coded(`1\r\nxXX${last}${hidden}`), coded(`1\r\nx\r\n${last}`)),
  bad('CR and a byte behind the data', coded(`1\r\nx\rX${last}${hidden}`), coded(`1\r\nx\r\n${last}`)),
  bad('a byte and LF behind the data', coded(`1\r\nxX\n${last}${hidden}`), coded(`1\r\nx\r\n${last}`)),
  bad('more data than the size', coded(`1\r\nxy\r\n${last}`), coded(`2\r\nxy\r\n${last}`)),
  bad('less data than the size', coded(`3\r\nx\r\n${last}${hidden}`), coded(`1\r\nx\r\n${last}`) + hidden),
];

const lasts: readonly Case[] = [
  bad('LF behind the last chunk', coded(`0\n\n${hidden}`), coded(last) + hidden),
  bad('CR LF LF behind the last chunk', coded(`0\r\n\n${hidden}`), coded(last) + hidden),
  bad('CR CR behind the last chunk', coded(`0\r\n\r\r${hidden}`), coded(last) + hidden),
  bad('a minus before the last size', coded(`-0\r\n\r\n${hidden}`), coded(last) + hidden),
  bad('0x before the last size', coded(`0x0\r\n\r\n${hidden}`), coded(last) + hidden),
  odd(
    'several zeros for the last chunk',
    coded(`000\r\n\r\n`) + hidden,
    coded(last) + hidden,
    'a size has any number of digits, and the router writes it anew',
  ),
  odd(
    'the last chunk has an extension',
    coded('0;x=y\r\n\r\n') + hidden,
    coded(last) + hidden,
    'extensions are dropped, and the router writes the chunk anew',
  ),
];

const trailers: readonly Case[] = [
  bad('a request for a trailer', coded(`0\r\n${hidden}`), coded(last) + hidden),
  bad('a folded trailer', coded('0\r\nX: y\r\n z\r\n\r\n'), coded('0\r\nX: y\r\n\r\n')),
  bad('a space before the colon of a trailer', coded('0\r\nX : y\r\n\r\n'), coded('0\r\nX: y\r\n\r\n')),
  bad('LF in a trailer', coded('0\r\nX: y\nZ: w\r\n\r\n'), coded('0\r\nX: y\r\nZ: w\r\n\r\n')),
  bad('NUL in a trailer', coded('0\r\nX: \0\r\n\r\n'), coded('0\r\nX: y\r\n\r\n')),
  bad('trailers that are too long', coded(`0\r\n${'X: y\r\n'.repeat(6000)}\r\n`), coded('0\r\nX: y\r\n\r\n')),
  ...['Content-Length: 5', 'Transfer-Encoding: chunked', 'Host: b', 'Connection: close'].map((field) =>
    odd(`${field} for a trailer`, coded(`0\r\n${field}\r\n\r\n`), coded('0\r\nX: y\r\n\r\n'), 'trailers are dropped'),
  ),
  odd(
    'a trailer that was announced',
    post('Trailer: content-length', 'Transfer-Encoding: chunked') + `${chunk('x')}0\r\nContent-Length: 5\r\n\r\n`,
    plainChunked,
    'trailers are dropped, announced or not',
  ),
];

export const bodies: Readonly<Record<string, readonly Case[]>> = {
  'sizes that are no numbers': sizes,
  'sizes that overflow': overflows,
  'extensions of chunks': extensions,
  'TERM.EXT: ends of extensions': extensionEnds,
  'ends of a size line': lineEnds,
  'SPILL.TERM: ends of data': dataEnds,
  'the last chunk': lasts,
  trailers,
};
