// Texts that were cut, or made to hurt.
import { readFileSync } from 'node:fs';
import { defaultLimits } from '../../src/config/limits.ts';

/** What a manifest begins with. */
export const head = 'apiVersion: v1\nkind: Secret\nmetadata: { name: x }\n';

const repeated = (text: string, bytes: number): string => text.repeat(Math.ceil(bytes / text.length)).slice(0, bytes);
const size = defaultLimits.bytes;

const laughs = ['a0: &a0 [x]', ...Array.from({ length: 30 }, (_, i) => `a${i + 1}: &a${i + 1} [*a${i}, *a${i}]`)].join(
  '\n',
);

/** What comes after the head of a manifest, and stands alone as a document; and what is said of it. */
export const bodies: Readonly<Record<string, readonly [body: () => string | Uint8Array, meant: RegExp]>> = {
  'cut in double quotes': [() => 'data: { a: "one\n  two', /missing closing "quote/],
  'cut in single quotes': [() => "data:\n  a: 'it''s", /missing closing 'quote/],
  'cut in a flow list': [() => 'data: { a: [1, 2, ', /flow sequence .* end with a \]/],
  'cut in a flow map': [() => 'data: { a: 1, b: { c', /flow map .* end with a \}/],
  'more than 4 MiB of comment': [() => repeated('# x\n', size + 1), /too long/],
  'more than 4 MiB in one word': [() => `data: { a: ${'x'.repeat(size)} }`, /too long/],
  'a billion laughs': [() => laughs, /aliases|values/],
  'an alias in its own anchor': [() => 'data: &a { b: *a }', /nested deeper/],
  'a million aliases': [() => `data: &a x\nb: [${'*a,'.repeat(1_000_000)}]`, /aliases/],
  'a million brackets': [() => `data: ${'['.repeat(1_000_000)}`, /nested deeper/],
  'a million maps': [() => `data: ${'{a: '.repeat(1_000_000)}`, /nested deeper/],
  'lists in lists': [() => `data:\n  ${'- '.repeat(1_000_000)}`, /nested deeper/],
  'steps of indentation': [
    () => Array.from({ length: 2500 }, (_, i) => `${' '.repeat(i)}a:\n`).join(''),
    /nested deeper/,
  ],
  'a program': [() => readFileSync(process.execPath).subarray(0, 3_000_000), /not UTF-8|not allowed/],
  'Latin-1': [() => Buffer.from('data: { a: "Zürich" }\n', 'latin1'), /not UTF-8/],
  'UTF-16': [() => Buffer.from('\ufeffdata: { a: x }\n', 'utf16le'), /not UTF-8|not allowed/],
  'a NUL': [() => 'data: { a: "\u0000" }\n', /U\+0000 is not allowed/],
};
