// A page at a time: how many lines fit, and what the keys at "--More--" do.
import { textWidth } from '../../lib/table.ts';
import type { Key } from './keys.ts';

export interface Pager {
  /** What to write now. `more`: a key is awaited. */
  readonly text: string;
  readonly more: boolean;
}

/** Splits a text into screens. `rows` and `columns` are asked at each page. */
export interface Pages {
  /** The first page, or the next step after a key; undefined: the key means nothing here. */
  first(): Pager;
  press(key: Key): Pager | undefined;
}

const prompt = '--More--';
const erase = '\r\u001b[K';

/** space, page: the next page; enter, down: one line; G: the rest; q, ^C: no more. */
export function pages(text: string, size: () => { columns: number; rows: number }): Pages {
  const lines = text.split('\n');
  if (lines.at(-1) === '') lines.pop();
  let at = 0;
  const take = (rows: number): Pager => {
    const from = at;
    let used = 0;
    for (const line of lines.slice(from)) {
      const height = rowsOf(line, size().columns);
      if (used > 0 && used + height > rows) break;
      used += height;
      at += 1;
    }
    const page = lines
      .slice(from, at)
      .map((line) => `${line}\n`)
      .join('');
    const more = at < lines.length;
    return { text: more ? page + prompt : page, more };
  };
  return {
    first: () => take(Math.max(1, size().rows - 1)),
    press(key) {
      const name = key.kind === 'text' ? key.text : key.kind === 'key' ? key.name : 'size';
      if (name === ' ' || name === 'f') return erased(take(Math.max(1, size().rows - 1)));
      if (name === 'enter' || name === 'down' || name === 'j') return erased(take(1));
      if (name === 'G') return erased(take(Number.POSITIVE_INFINITY));
      if (name === 'q' || name === 'Q' || name === 'ctrl-c') return { text: erase, more: false };
      return undefined;
    },
  };
}

function erased(page: Pager): Pager {
  return { ...page, text: erase + page.text };
}

/** Screen rows of a line. */
export function rowsOf(line: string, columns: number): number {
  return Math.max(1, Math.ceil(textWidth(line) / Math.max(1, columns)));
}
