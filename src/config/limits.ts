// What a document may be at most. Each bound is checked before the work that it bounds is done.
import { readAtMost } from '../lib/file.ts';
import type { Problem } from './problem.ts';

/** Bounds on one YAML file. */
export interface Limits {
  /** Bytes of text. */
  readonly bytes: number;
  /** Collections inside each other. */
  readonly depth: number;
  /** Aliases ("*name") in the file. */
  readonly aliases: number;
  /** Lexical tokens, white space and comments included. */
  readonly tokens: number;
  /** Keys and values after aliases are put in. */
  readonly values: number;
  /** Problems reported; the rest are counted. */
  readonly problems: number;
}

/** The bounds of a product's document: 4 MiB of it load in seconds and in some 100 MB. */
export const defaultLimits: Limits = {
  bytes: 4 << 20,
  depth: 32,
  aliases: 64,
  tokens: 1_200_000,
  values: 300_000,
  problems: 200,
};

/** A file as far as it need be read to be refused for its length. */
export const readText = (path: string, limits: Limits = defaultLimits): Uint8Array =>
  readAtMost(path, limits.bytes + 1);

const control = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f\ufffe\uffff]/; // oxlint-disable-line no-control-regex

/** The text in the bytes of a file, or the Problem that keeps it from being text: too long, not UTF-8, or with
 * characters that YAML 1.2 section 5.1 does not allow. A byte order mark is dropped. Of bytes that were decoded already
 * the text may be given. */
export function decodeText(bytes: Uint8Array | string, file: string, limits: Limits = defaultLimits): string | Problem {
  const decoded = typeof bytes === 'string';
  if ((decoded ? Buffer.byteLength(bytes) : bytes.length) > limits.bytes) {
    const message = `the file is too long: at most ${limits.bytes} bytes are allowed`;
    return { file, line: 1, column: 1, path: '', message };
  }
  const text = decoded ? bytes.toWellFormed() : new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes);
  const wrong = decoded ? undefined : firstDifference(bytes, text);
  if (wrong !== undefined) return { ...place(text, wrong, file), message: 'the text is not UTF-8 from here on' };
  return checkText(text.startsWith('\ufeff') ? text.slice(1) : text, file, limits);
}

/** The text itself, or the Problem of its length or of a character that YAML does not allow. */
export function checkText(text: string, file: string, limits: Limits = defaultLimits): string | Problem {
  if (text.length > limits.bytes) {
    const message = `the text is too long: at most ${limits.bytes} characters are allowed`;
    return { file, line: 1, column: 1, path: '', message };
  }
  const at = text.search(control);
  if (at < 0) return text;
  const code = text.charCodeAt(at).toString(16).padStart(4, '0').toUpperCase();
  return {
    ...place(text, at, file),
    message: `the character U+${code} is not allowed in YAML`,
    hint: 'in double quotes it can be written as an escape',
  };
}

/** Where decoding put a replacement in, as an offset into the text. */
function firstDifference(bytes: Uint8Array, text: string): number | undefined {
  if (!text.includes('\ufffd')) return undefined;
  const again = Buffer.from(text, 'utf8');
  if (Buffer.compare(again, bytes) === 0) return undefined;
  const at = again.findIndex((byte, i) => byte !== bytes[i]);
  return again
    .subarray(0, at)
    .toString('utf8')
    .replace(/\ufffd$/, '').length;
}

function place(text: string, offset: number, file: string): Omit<Problem, 'message'> {
  const before = text.slice(0, offset).split('\n');
  return { file, line: before.length, column: (before.at(-1)?.length ?? 0) + 1, path: '' };
}
