// An interactive session on a raw terminal, wherever the bytes come from: keys in, editor, session, pager, text out.
import { connect } from 'node:net';
import type { Duplex, Writable } from 'node:stream';
import { StringDecoder } from 'node:string_decoder';
import { completion, printChoices } from '../complete.ts';
import { maxLineLength, splitCommands, splitLine } from '../words.ts';
import type { ExitCode } from '../verbs/state.ts';
import type { Answer, Session } from '../session.ts';
import { keyDecoder, type Key } from './keys.ts';
import { lineEditor, type LineEditor } from './line.ts';
import { pages, rowsOf } from './pager.ts';

/** The terminal's size; the transport changes it. */
export interface Screen {
  columns: number;
  rows: number;
}

/** Characters and keys that may wait while a command runs; then the stream waits. */
const mostTyped = 64 * 1024;
/** Bytes that may wait for a client that does not read; a command that writes on is stopped. */
export const mostUnread = 8 * 1024 * 1024;

/** Runs the session on the stream until one of both ends, or `signal` does. The stream is not closed. */
export async function runTerminal(
  session: Session,
  stream: Duplex,
  screen: Screen,
  signal: AbortSignal,
  greeting = '',
): Promise<void> {
  const keys = keyQueue(stream, screen, signal);
  const write = (text: string): void => {
    if (stream.writable) stream.write(text.replace(/\r?\n/g, '\r\n'));
  };
  const editor = lineEditor(
    write,
    () => screen.columns,
    (before) => splitLine(before).open === 'quote',
  );
  write(greeting);
  editor.begin(session.prompt());
  for await (const key of keys) {
    const event = editor.press(key);
    if (!event) continue;
    if (event.kind === 'help') await showHelp(session, editor, write, screen);
    if (event.kind === 'complete') await complete(session, editor, write, screen);
    if (event.kind === 'interrupt') editor.begin(session.prompt());
    if (event.kind !== 'line' && event.kind !== 'end') continue;
    if (event.kind === 'end') write('exit\n');
    const text = event.kind === 'end' ? 'exit' : event.text;
    const answer = await runLine(session, text, { stream, keys, write, screen, signal });
    if (answer.ends) return;
    editor.begin(session.prompt());
  }
}

interface Running {
  readonly stream: Duplex;
  readonly keys: KeyQueue;
  readonly write: (text: string) => void;
  readonly screen: Screen;
  readonly signal: AbortSignal;
}

async function runLine(session: Session, text: string, how: Running): Promise<Answer> {
  const { keys, write, screen, signal, stream } = how;
  const interrupt = new AbortController();
  keys.onInterrupt = () => interrupt.abort();
  if (keys.takeInterrupt()) interrupt.abort();
  const out = {
    columns: screen.columns,
    write(part: string): void {
      write(part);
      // A client that doesn't read must not take the daemon's memory.
      if (stream.writableLength > mostUnread) interrupt.abort();
    },
    redraw(picture: string): void {
      if (!stream.writableNeedDrain) write(`\u001b[H\u001b[J${fitting(picture, screen)}`);
    },
  };
  try {
    const answer = await session.execute(text, out, AbortSignal.any([interrupt.signal, signal]));
    keys.onInterrupt = undefined;
    if (answer.attach !== undefined) await attach(answer.attach, how);
    else if (answer.page) await page(answer.text, how);
    else write(answer.text);
    return answer;
  } finally {
    keys.onInterrupt = undefined;
  }
}

const escapeByte = 0x1d;

/** Gives the terminal to what listens on the socket, until ^] or until it hangs up. */
async function attach(path: string, { stream, keys, write, signal }: Running): Promise<void> {
  write('connected; ^] ends\n');
  const far = connect(path);
  const over = new Promise<string>((resolve) => {
    far.once('error', (error) => resolve(error.message));
    far.once('close', () => resolve('the other side hung up'));
    stream.once('close', () => resolve(''));
    signal.addEventListener('abort', () => resolve(''), { once: true });
    keys.onBytes = (chunk) => {
      const at = chunk.indexOf(escapeByte);
      far.write(at < 0 ? chunk : chunk.subarray(0, at));
      if (at >= 0) resolve('disconnected');
    };
  });
  // What the guest says is for this terminal as it is: that is what a console is for.
  far.on('data', (chunk: Buffer) => {
    if (stream.writable && !stream.write(chunk)) far.pause();
  });
  const drain = (): void => void far.resume();
  stream.on('drain', drain);
  const why = await over;
  keys.onBytes = undefined;
  stream.off('drain', drain);
  far.destroy();
  write(`\n${why}\n`);
}

/** A redrawn picture must not scroll: what does not fit is left away. */
function fitting(picture: string, screen: Screen): string {
  const lines: string[] = [];
  let used = 0;
  for (const line of picture.replace(/\n$/, '').split('\n')) {
    used += rowsOf(line, screen.columns);
    if (used > screen.rows - 1) break;
    lines.push(line);
  }
  return `${lines.join('\n')}\n`;
}

async function page(text: string, { keys, write, screen }: Running): Promise<void> {
  const book = pages(text, () => screen);
  let now = book.first();
  write(now.text);
  while (now.more) {
    const next = await keys.next();
    if (next.done) return;
    const step = book.press(next.value);
    if (!step) continue;
    write(step.text);
    now = step;
  }
}

async function showHelp(session: Session, editor: LineEditor, write: Running['write'], screen: Screen): Promise<void> {
  const expected = await session.expect(editor.before());
  editor.leave();
  write(printChoices(expected, screen.columns));
  editor.redraw();
}

async function complete(session: Session, editor: LineEditor, write: Running['write'], screen: Screen): Promise<void> {
  const expected = await session.expect(editor.before());
  const text = completion(expected);
  if (text !== undefined) {
    editor.replace(expected.start, text);
  } else if (expected.choices.length > 0) {
    editor.leave();
    write(printChoices(expected, screen.columns));
    editor.redraw();
  } else {
    write('\u0007');
  }
}

interface KeyQueue extends AsyncIterableIterator<Key> {
  /** Set while a command runs: ^C goes there and not into the queue. */
  onInterrupt: (() => void) | undefined;
  /** Set while something else has the terminal: bytes go there as they come. */
  onBytes: ((chunk: Buffer) => void) | undefined;
  /** Drops what was typed up to a ^C, if one waits: it was meant for what starts now. */
  takeInterrupt(): boolean;
}

function resize(screen: Screen, { columns, rows }: { readonly columns: number; readonly rows: number }): void {
  screen.columns = Math.min(Math.max(columns, 20), 1000);
  screen.rows = Math.min(Math.max(rows, 4), 1000);
}

const sizeOf = (key: Key): number => (key.kind === 'text' ? key.text.length : 1);

/** The stream's keys one after the other. Beyond the bound the stream waits. */
function keyQueue(stream: Duplex, screen: Screen, signal: AbortSignal): KeyQueue {
  const decoder = keyDecoder();
  const pending: Key[] = [];
  let typed = 0;
  let ended = signal.aborted;
  let wake: (() => void) | undefined;
  const notify = (): void => {
    wake?.();
    wake = undefined;
  };
  const take = (key: Key): void => {
    if (key.kind === 'size') resize(screen, key);
    const interrupts = key.kind === 'key' && key.name === 'ctrl-c' && queue.onInterrupt !== undefined;
    if (interrupts) {
      pending.length = 0;
      typed = 0;
      queue.onInterrupt?.();
    } else if (key.kind !== 'size') {
      pending.push(key);
      typed += sizeOf(key);
    }
  };
  stream.on('data', (chunk: Buffer) => {
    if (queue.onBytes !== undefined) return queue.onBytes(chunk);
    for (const key of decoder.feed(chunk)) take(key);
    if (typed > mostTyped) stream.pause();
    notify();
  });
  const end = (): void => {
    ended = true;
    notify();
  };
  const cut = (): void => {
    queue.onInterrupt?.();
    end();
  };
  // An end of input lets what was typed run; a lost connection doesn't.
  stream.on('end', end).on('close', cut).on('error', cut);
  signal.addEventListener('abort', cut, { once: true });
  const queue: KeyQueue = {
    onInterrupt: undefined,
    onBytes: undefined,
    takeInterrupt() {
      const at = pending.findLastIndex((key) => key.kind === 'key' && key.name === 'ctrl-c');
      for (const key of pending.splice(0, at + 1)) typed -= sizeOf(key);
      return at >= 0;
    },
    async next() {
      while (pending.length === 0 && !ended) await new Promise<void>((resolve) => (wake = resolve));
      const key = pending.shift();
      if (key === undefined) return { done: true, value: undefined };
      typed -= sizeOf(key);
      if (stream.isPaused() && typed < mostTyped / 2) stream.resume();
      return { done: false, value: key };
    },
    [Symbol.asyncIterator]: () => queue,
  };
  return queue;
}

/** Where commands without a terminal write: what failed goes to `writeError`. */
export interface Sink {
  readonly columns: number;
  readonly write: (text: string) => void;
  readonly writeError: (text: string) => void;
}

/** Commands without a terminal: one after the other, up to the first that fails. Answers its exit code. */
export async function runCommands(session: Session, text: string, sink: Sink, signal: AbortSignal): Promise<ExitCode> {
  for (const command of splitCommands(text)) {
    const answer = await runPlain(session, command, sink, signal);
    if (answer.exitCode !== 0) return answer.exitCode;
    if (answer.ends) break;
  }
  return 0;
}

async function runPlain(session: Session, command: string, sink: Sink, signal: AbortSignal): Promise<Answer> {
  const out = { columns: sink.columns, write: sink.write, redraw: sink.write };
  const answer = await session.execute(command, out, signal);
  (answer.exitCode === 0 ? sink.write : sink.writeError)(answer.text);
  return answer;
}

/** Commands from a stream without a terminal, run as their lines come in; ends at the first that fails. */
export async function runScript(
  session: Session,
  stream: Duplex,
  errors: Writable,
  signal: AbortSignal,
): Promise<ExitCode> {
  const unread = new AbortController();
  const to = (target: Writable) => (text: string) => {
    if (target.writable) target.write(text);
    if (target.writableLength > mostUnread) unread.abort();
  };
  const sink = { columns: 80, write: to(stream), writeError: to(errors) };
  const utf8 = new StringDecoder('utf8');
  let pending = '';
  const run = async (text: string): Promise<Answer | undefined> => {
    for (const command of splitCommands(text)) {
      const answer = await runPlain(session, command, sink, AbortSignal.any([signal, unread.signal]));
      if (answer.exitCode !== 0 || answer.ends) return answer;
    }
    return undefined;
  };
  for await (const chunk of stream.iterator({ destroyOnReturn: false })) {
    pending += utf8.write(chunk as Buffer);
    const end = pending.lastIndexOf('\n') + 1;
    const stopped = await run(pending.slice(0, end));
    if (stopped) return stopped.exitCode;
    pending = pending.slice(end);
    if (pending.length > maxLineLength || signal.aborted) break;
  }
  return (await run(pending))?.exitCode ?? 0;
}
