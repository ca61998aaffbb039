// The line editor: keys in, escape sequences out (ECMA-48, as every terminal since the VT100 has them). It keeps the
// line, the cursor and the history, and draws; what a line means is not its business.
import { charWidth } from '../../lib/table.ts';
import type { Key, KeyName } from './keys.ts';

/** What a key led to, where it is more than an edit. */
export type LineEvent =
  | { readonly kind: 'line'; readonly text: string }
  | { readonly kind: 'help' }
  | { readonly kind: 'complete' }
  | { readonly kind: 'interrupt' }
  | { readonly kind: 'end' };

export interface LineEditor {
  /** Shows the prompt and an empty line. */
  begin(prompt: string): void;
  press(key: Key): LineEvent | undefined;
  /** The line up to the cursor. */
  before(): string;
  /** Puts text in place of what stands between `start` (of `before()`) and the cursor. */
  replace(start: number, text: string): void;
  /** Draws prompt and line again, below what was written meanwhile. */
  redraw(): void;
  /** Moves to the line below, so that other text can be written. */
  leave(): void;
}

interface State {
  readonly write: (text: string) => void;
  readonly columns: () => number;
  readonly history: string[];
  prompt: string;
  chars: string[];
  cursor: number;
  /** Row of the cursor below the prompt's. */
  row: number;
  historyAt: number;
  /** The line that was being typed when the history was entered. */
  draft: string;
  killed: string;
  literalNext: boolean;
  search: { readonly query: string; readonly at: number } | undefined;
}

const mostHistory = 500;
const longestLine = 64 * 1024;

/** `columns` is asked at each draw. "?" is a help key except where `isText` says that it belongs to the text. */
export function lineEditor(
  write: (text: string) => void,
  columns: () => number,
  isText: (before: string) => boolean,
): LineEditor {
  const state: State = {
    write,
    columns,
    history: [],
    prompt: '',
    chars: [],
    cursor: 0,
    row: 0,
    historyAt: 0,
    draft: '',
    killed: '',
    literalNext: false,
    search: undefined,
  };
  return {
    before: () => before(state),
    begin: (prompt) => begin(state, prompt),
    press: (key) => press(state, key, isText),
    replace(start, text) {
      const kept = charsOf(before(state).slice(0, start) + text);
      state.chars = kept.concat(state.chars.slice(state.cursor));
      state.cursor = kept.length;
      draw(state);
    },
    redraw() {
      state.row = 0;
      draw(state);
    },
    leave() {
      const end = place(head(state) + state.chars.join(''), columns());
      const down = end.row - state.row;
      write(`${down > 0 ? `\u001b[${down}B` : ''}\r\n`);
      state.row = 0;
    },
  };
}

function begin(state: State, prompt: string): void {
  const lines = prompt.split('\n');
  state.prompt = lines.pop() ?? '';
  state.write(lines.map((line) => `${line}\r\n`).join(''));
  state.chars = [];
  state.cursor = 0;
  state.row = 0;
  state.historyAt = state.history.length;
  state.search = undefined;
  // Plain where it can be, for programs that read along.
  if (place(state.prompt, state.columns()).row > 0) draw(state);
  else state.write(state.prompt);
}

function press(state: State, key: Key, isText: (before: string) => boolean): LineEvent | undefined {
  if (key.kind === 'size') {
    draw(state);
    return undefined;
  }
  if (search(state, key)) return undefined;
  const literal = state.literalNext;
  state.literalNext = false;
  if (key.kind === 'key') return actions[key.name]?.(state) ?? undefined;
  if (key.text === '?' && !literal && !isText(before(state))) return { kind: 'help' };
  insert(state, key.text);
  return undefined;
}

const actions: Readonly<Partial<Record<KeyName, (state: State) => LineEvent | void>>> = {
  enter: finishLine,
  tab: () => ({ kind: 'complete' }),
  backspace: (s) => remove(s, s.cursor - 1, s.cursor),
  delete: (s) => remove(s, s.cursor, s.cursor + 1),
  up: (s) => walkHistory(s, -1),
  down: (s) => walkHistory(s, 1),
  left: (s) => moveTo(s, s.cursor - 1),
  right: (s) => moveTo(s, s.cursor + 1),
  home: (s) => moveTo(s, 0),
  end: (s) => moveTo(s, s.chars.length),
  'word-left': (s) => moveTo(s, wordStart(s)),
  'word-right': (s) => moveTo(s, wordEnd(s)),
  'ctrl-a': (s) => moveTo(s, 0),
  'ctrl-b': (s) => moveTo(s, s.cursor - 1),
  'ctrl-c': interrupt,
  'ctrl-d': (s) => (s.chars.length === 0 ? { kind: 'end' } : remove(s, s.cursor, s.cursor + 1)),
  'ctrl-e': (s) => moveTo(s, s.chars.length),
  'ctrl-f': (s) => moveTo(s, s.cursor + 1),
  'ctrl-k': (s) => kill(s, s.cursor, s.chars.length),
  'ctrl-l': clearScreen,
  'ctrl-n': (s) => walkHistory(s, 1),
  'ctrl-p': (s) => walkHistory(s, -1),
  'ctrl-r': (s) => find(s, '', s.history.length - 1),
  'ctrl-u': (s) => kill(s, 0, s.cursor),
  'ctrl-v': (s) => void (s.literalNext = true),
  'ctrl-w': (s) => kill(s, wordStart(s), s.cursor),
  'ctrl-y': (s) => insert(s, s.killed),
};

/** Code points: the cursor never stands inside one. */
function charsOf(text: string): string[] {
  return Array.from(text);
}

function before(state: State): string {
  return state.chars.slice(0, state.cursor).join('');
}

/** What stands in front of the line. */
function head(state: State): string {
  return state.search ? `(search)'${state.search.query}': ` : state.prompt;
}

function draw(state: State): void {
  const { columns, row } = state;
  const text = head(state) + state.chars.join('');
  const end = place(text, columns());
  const at = place(head(state) + before(state), columns());
  state.row = at.row;
  const up = row > 0 ? `\u001b[${row}A` : '';
  // In a full last column the terminal keeps the cursor there: a blank and a return move it on.
  const wrap = end.column === 0 && end.row > 0 ? ' \r' : '';
  const back = end.row > at.row ? `\u001b[${end.row - at.row}A` : '';
  const right = at.column > 0 ? `\u001b[${at.column}C` : '';
  state.write(`${up}\r\u001b[J${text}${wrap}${back}\r${right}`);
}

function insert(state: State, text: string): void {
  const added = charsOf(text);
  if (state.chars.length + added.length > longestLine) return state.write('\u0007');
  const atEnd = state.cursor === state.chars.length;
  const from = place(head(state) + before(state), state.columns());
  state.chars.splice(state.cursor, 0, ...added);
  state.cursor += added.length;
  const to = place(head(state) + before(state), state.columns());
  // The common case writes the characters alone.
  if (atEnd && from.row === to.row && to.column > from.column) state.write(text);
  else draw(state);
}

function remove(state: State, from: number, to: number): void {
  const start = Math.max(0, from);
  if (state.chars.splice(start, to - start).length === 0) return;
  state.cursor = start;
  draw(state);
}

function kill(state: State, from: number, to: number): void {
  state.killed = state.chars.slice(from, to).join('');
  remove(state, from, to);
}

function setLine(state: State, text: string): void {
  state.chars = charsOf(text);
  state.cursor = state.chars.length;
  draw(state);
}

function moveTo(state: State, at: number): void {
  const target = Math.max(0, Math.min(at, state.chars.length));
  if (target === state.cursor) return;
  state.cursor = target;
  draw(state);
}

function wordStart({ chars, cursor }: State): number {
  let at = cursor;
  while (at > 0 && chars[at - 1] === ' ') at -= 1;
  while (at > 0 && chars[at - 1] !== ' ') at -= 1;
  return at;
}

function wordEnd({ chars, cursor }: State): number {
  let at = cursor;
  while (at < chars.length && chars[at] === ' ') at += 1;
  while (at < chars.length && chars[at] !== ' ') at += 1;
  return at;
}

function walkHistory(state: State, step: -1 | 1): void {
  const { history, historyAt } = state;
  const next = historyAt + step;
  if (next < 0 || next > history.length) return;
  if (historyAt === history.length) state.draft = state.chars.join('');
  state.historyAt = next;
  setLine(state, history[next] ?? state.draft);
}

function finishLine(state: State): LineEvent {
  const { history } = state;
  const text = state.chars.join('');
  moveTo(state, state.chars.length);
  state.write('\r\n');
  state.row = 0;
  if (text.trim() !== '' && history.at(-1) !== text) history.push(text);
  if (history.length > mostHistory) history.shift();
  return { kind: 'line', text };
}

function interrupt(state: State): LineEvent {
  moveTo(state, state.chars.length);
  state.write('^C\r\n');
  state.row = 0;
  return { kind: 'interrupt' };
}

function clearScreen(state: State): void {
  state.write('\u001b[H\u001b[2J');
  state.row = 0;
  draw(state);
}

/** Keys while ^R searches: text narrows, ^R goes on; all others take the found line and act on it. */
function search(state: State, key: Key): boolean {
  const { search: now, history } = state;
  if (!now) return false;
  const name = key.kind === 'key' ? key.name : undefined;
  if (key.kind === 'text') find(state, now.query + key.text, history.length - 1);
  else if (name === 'ctrl-r') find(state, now.query, now.at - 1);
  else if (name === 'backspace') find(state, now.query.slice(0, -1), history.length - 1);
  else {
    state.search = undefined;
    draw(state);
    return false;
  }
  return true;
}

/** The newest line from `from` on downwards that has the query; the line stays where there is none. */
function find(state: State, query: string, from: number): void {
  const at = query === '' ? -1 : state.history.findLastIndex((line, i) => i <= from && line.includes(query));
  state.search = { query, at: at < 0 ? (state.search?.at ?? state.history.length) : at };
  if (at < 0) return draw(state);
  setLine(state, state.history[at] ?? '');
}

/** Where the cursor stands behind a text that begins in the first column and wraps. */
function place(text: string, columns: number): { row: number; column: number } {
  let row = 0;
  let column = 0;
  for (const char of text) {
    const width = charWidth(char);
    if (column + width > columns) {
      row += 1;
      column = 0;
    }
    column += width;
  }
  return column === columns ? { row: row + 1, column: 0 } : { row, column };
}
