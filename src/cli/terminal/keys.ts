// Bytes of a terminal -> keys. UTF-8 and escape sequences may be cut anywhere between two chunks.
import { StringDecoder } from 'node:string_decoder';

export type KeyName =
  | 'enter'
  | 'tab'
  | 'backspace'
  | 'delete'
  | 'up'
  | 'down'
  | 'left'
  | 'right'
  | 'home'
  | 'end'
  | 'word-left'
  | 'word-right'
  | `ctrl-${string}`;

/** A key, printable text, or the terminal's new size (the in-band report of xterm's mode 2048, CSI 48 t). */
export type Key =
  | { readonly kind: 'key'; readonly name: KeyName }
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'size'; readonly columns: number; readonly rows: number };

const csiKeys: Readonly<Record<string, KeyName>> = {
  A: 'up',
  B: 'down',
  C: 'right',
  D: 'left',
  H: 'home',
  F: 'end',
  '1~': 'home',
  '3~': 'delete',
  '4~': 'end',
  '7~': 'home',
  '8~': 'end',
  '1;5C': 'word-right',
  '1;5D': 'word-left',
  '1;3C': 'word-right',
  '1;3D': 'word-left',
};

const longestSequence = 32;

export interface KeyDecoder {
  /** The keys that are complete with this chunk. */
  feed(chunk: Uint8Array): readonly Key[];
}

export function keyDecoder(): KeyDecoder {
  const utf8 = new StringDecoder('utf8');
  let pending = '';
  let afterReturn = false;
  return {
    feed(chunk) {
      const keys: Key[] = [];
      let text = pending + utf8.write(Buffer.from(chunk));
      pending = '';
      while (text !== '') {
        if (text[0] === '\u001b') {
          const sequence = readSequence(text);
          if (!sequence) {
            // An unfinished one waits for more; one without end is dropped.
            if (text.length < longestSequence) pending = text;
            break;
          }
          if (sequence.key) keys.push(sequence.key);
          text = text.slice(sequence.length);
          afterReturn = false;
          continue;
        }
        const char = String.fromCodePoint(text.codePointAt(0) ?? 0);
        text = text.slice(char.length);
        const skip = char === '\n' && afterReturn;
        afterReturn = char === '\r';
        if (!skip) pushChar(keys, char);
      }
      return keys;
    },
  };
}

function pushChar(keys: Key[], char: string): void {
  const code = char.codePointAt(0) ?? 0;
  if (code === 0x0d || code === 0x0a) keys.push({ kind: 'key', name: 'enter' });
  else if (code === 0x09) keys.push({ kind: 'key', name: 'tab' });
  else if (code === 0x08 || code === 0x7f) keys.push({ kind: 'key', name: 'backspace' });
  else if (code < 0x20) keys.push({ kind: 'key', name: `ctrl-${String.fromCharCode(code + 0x60)}` });
  else if (code >= 0x80 && code < 0xa0) return;
  else appendText(keys, char);
}

/** Neighbouring characters become one text: a paste is one key. */
function appendText(keys: Key[], char: string): void {
  const last = keys.at(-1);
  if (last?.kind === 'text' && char !== '?' && last.text !== '?') {
    keys[keys.length - 1] = { kind: 'text', text: last.text + char };
  } else {
    keys.push({ kind: 'text', text: char });
  }
}

/** ECMA-48 5.4: CSI, parameters 0x30-0x3f, intermediates 0x20-0x2f, a final byte; or SS3 and one byte. */
function readSequence(text: string): { length: number; key?: Key } | undefined {
  // oxlint-disable-next-line no-control-regex
  const match = /^\u001b(?:\[([0-?]*[ -/]*[@-~])|O([@-~])|([^[O]))/.exec(text);
  if (!match) return undefined;
  const [all, csi, ss3, meta] = match;
  const length = all.length;
  const size = csi === undefined ? null : /^48;(\d{1,4});(\d{1,4})(?:;\d+)*t$/.exec(csi);
  if (size) return { length, key: { kind: 'size', rows: Number(size[1]), columns: Number(size[2]) } };
  const metaName: KeyName | undefined = meta === 'b' ? 'word-left' : meta === 'f' ? 'word-right' : undefined;
  const name = metaName ?? csiKeys[csi ?? ss3 ?? ''];
  return name ? { length, key: { kind: 'key', name } } : { length };
}
