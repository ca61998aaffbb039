import assert from 'node:assert/strict';
import { Duplex } from 'node:stream';
import { test } from 'node:test';
import fc from 'fast-check';
import { fakeClock } from '../../../test/fake/clock.ts';
import { fakeEngine } from '../../../test/fake/engine.ts';
import { openSession } from '../session.ts';
import { keyDecoder, type Key } from './keys.ts';
import { runCommands, runTerminal } from './terminal.ts';

/** The other end of a terminal: a screen that understands what the editor and the pager send. */
function fakeTerminal(columns = 80, rows = 24) {
  let raw = '';
  const stream = new Duplex({
    read() {},
    write(chunk: Buffer, _encoding, done) {
      raw += chunk.toString();
      done();
    },
  });
  const screen = { columns, rows };
  const session = sessionOf();
  const ended = runTerminal(session, stream, screen, new AbortController().signal);
  // By turns of the loop: of time a busy machine takes what it likes.
  const settle = async (): Promise<void> => {
    for (let i = 0; i < 6; i += 1) await new Promise((resolve) => setTimeout(resolve, 5));
  };
  return {
    raw: () => raw,
    ended,
    stream,
    async type(...texts: string[]): Promise<void> {
      for (const text of texts) {
        stream.push(text);
        await settle();
      }
    },
    lines: () => drawn(raw, columns),
    last: () => drawn(raw, columns).at(-1),
  };
}

function sessionOf() {
  const clock = fakeClock();
  const engine = fakeEngine(clock);
  const who = 'kim@ssh:10.0.0.5';
  return openSession({ engine, commands: engine.commands, clock, who, role: 'admin', hostname: () => 'leaf1' });
}

/** The lines that a VT100 would show, without scrolling. */
function drawn(raw: string, columns: number): string[] {
  let lines: string[][] = [[]];
  let row = 0;
  let column = 0;
  // oxlint-disable-next-line no-control-regex
  for (const [all, parameter, final] of raw.matchAll(/\u001b\[([0-9;]*)([A-Za-z])|[^]/gu)) {
    const n = Number(parameter || '1');
    if (final === 'A') row = Math.max(0, row - n);
    else if (final === 'B') row += n;
    else if (final === 'C') column += n;
    else if (final === 'H') row = column = 0;
    else if (final === 'K') lines[row]!.splice(column);
    else if (final === 'J' && parameter === '2') lines = [[]];
    else if (final === 'J') {
      lines[row]!.splice(column);
      lines.splice(row + 1);
    } else if (all === '\r') column = 0;
    else if (all === '\n') row += 1;
    else if (all !== '\u0007') {
      if (column === columns) {
        row += 1;
        column = 0;
      }
      lines[row] ??= [];
      lines[row]![column] = all;
      column += 1;
    }
    for (let i = 0; i <= row; i += 1) lines[i] ??= [];
  }
  return lines.map((line) =>
    Array.from(line, (char) => char ?? ' ')
      .join('')
      .trimEnd(),
  );
}

const up = '\u001b[A';
const left = '\u001b[D';

test('a line is typed, edited and run', async () => {
  const terminal = fakeTerminal();
  await terminal.type('shw ports', left.repeat(7), 'o', '\u0005', ' swp1\r');
  assert.deepEqual(terminal.lines(), [
    'midplane@leaf1> show ports swp1',
    'Port   MTU',
    'swp1  9000',
    'midplane@leaf1>',
  ]);
  assert.ok(!terminal.raw().replaceAll('\r\n', '').includes('\n'));
});

test('? shows help without Enter and keeps the line; in quotes it is text', async () => {
  const terminal = fakeTerminal();
  await terminal.type('show ?');
  assert.deepEqual(terminal.lines().slice(-1), ['midplane@leaf1> show']);
  assert.ok(terminal.lines().includes('  ports  ports and their state'));
  await terminal.type('\u0015configure\r', 'set ports swp1 description "why?"');
  assert.equal(terminal.last(), 'midplane@leaf1# set ports swp1 description "why?"');
});

test('Tab completes', async () => {
  const terminal = fakeTerminal();
  await terminal.type('sh\tpo\tsw\t1');
  assert.equal(terminal.last(), 'midplane@leaf1> show ports swp1');
});

test('history, search, kill and yank, words', async () => {
  const terminal = fakeTerminal();
  await terminal.type('show ports\r', 'show lines 1\r', 'half', up, up);
  assert.equal(terminal.last(), 'midplane@leaf1> show ports');
  await terminal.type('\u001b[B\u001b[B');
  assert.equal(terminal.last(), 'midplane@leaf1> half');
  await terminal.type('\u0015', '\u0012por');
  assert.equal(terminal.last(), "(search)'por': show ports");
  await terminal.type('\u0005');
  assert.equal(terminal.last(), 'midplane@leaf1> show ports');
  await terminal.type('\u0017', '\u0017', '\u0019');
  assert.equal(terminal.last(), 'midplane@leaf1> show');
  await terminal.type('\u007f\u007f', '\u0003');
  assert.deepEqual(terminal.lines().slice(-2), ['midplane@leaf1> sho^C', 'midplane@leaf1>']);
});

test('a long line wraps and is edited in the middle', async () => {
  const terminal = fakeTerminal(30);
  await terminal.type('configure\r', 'set ports swp1 description abcdefghijklmnopqrstuvwxyz', left.repeat(20), 'é交');
  const text = terminal.lines().slice(-3).join('');
  assert.equal(text, 'midplane@leaf1# set ports swp1 description abcdefé交ghijklmnopqrstuvwxyz');
  await terminal.type('\u007f\u007f');
  assert.match(terminal.lines().join(''), /description abcdefghijklmnopqrstuvwxyz$/);
});

test('the pager: space, enter, q, and no-more', async () => {
  const terminal = fakeTerminal(80, 10);
  await terminal.type('show lines 100\r');
  assert.equal(terminal.last(), '--More--');
  assert.equal(terminal.lines().at(-2), 'line 9');
  await terminal.type('\r');
  assert.equal(terminal.lines().at(-2), 'line 10');
  await terminal.type(' ');
  assert.equal(terminal.lines().at(-2), 'line 19');
  await terminal.type('q');
  assert.equal(terminal.last(), 'midplane@leaf1>');
  await terminal.type('show lines 100 | no-more\r');
  assert.equal(terminal.lines().at(-2), 'line 100');
});

test('^C stops what runs; what was typed behind it is dropped', async () => {
  const terminal = fakeTerminal();
  await terminal.type('monitor vlans 1000\r', 'show ports\r', '\u0003');
  assert.equal(terminal.last(), 'midplane@leaf1>');
  assert.ok(!terminal.lines().join('\n').includes('swp1'));
});

test('^D leaves, edits are asked about first; a lost connection ends', async () => {
  const terminal = fakeTerminal();
  await terminal.type('configure\r', 'set ports swp1 mtu 1400\r', '\u0004', '\u0004');
  assert.match(terminal.raw(), /another exit loses them/);
  await terminal.type('\u0004');
  await terminal.ended;
  const lost = fakeTerminal();
  await lost.type('monitor vlans 100000\r');
  lost.stream.destroy();
  await lost.ended;
});

test('the size changes in band', async () => {
  const terminal = fakeTerminal(80, 24);
  await terminal.type('\u001b[48;10;40;0;0t', 'show lines 50\r');
  assert.equal(terminal.lines().at(-2), 'line 9');
});

test('keys survive any cut between chunks', () => {
  const text = 'é交😀\u001b[A\u001b[1;5C\u001bOH\r\n\u0003a?\u001b[48;24;80t';
  const bytes = Buffer.from(text);
  const whole = keyDecoder().feed(bytes);
  fc.assert(
    fc.property(fc.array(fc.nat(bytes.length), { maxLength: 8 }), (cuts) => {
      const decoder = keyDecoder();
      const at = [0, ...cuts.sort((a, b) => a - b), bytes.length];
      const keys = at.slice(1).flatMap((end, i) => decoder.feed(bytes.subarray(at[i], end)));
      assert.equal(flat(keys), flat(whole));
    }),
  );
});

test('any bytes are keys or nothing, never a failure', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 40 })), (chunks) => {
      const decoder = keyDecoder();
      for (const chunk of chunks) {
        for (const key of decoder.feed(chunk)) {
          // oxlint-disable-next-line no-control-regex
          if (key.kind === 'text') assert.doesNotMatch(key.text, /[\u0000-\u001f\u007f-\u009f]/);
        }
      }
    }),
  );
});

function flat(keys: readonly Key[]): string {
  return keys.map((key) => (key.kind === 'text' ? key.text : JSON.stringify(key))).join('');
}

test('commands without a terminal stop at the first that fails', async () => {
  let text = '';
  const write = (part: string): void => void (text += part);
  const sink = { columns: 80, write, writeError: write };
  const { signal } = new AbortController();
  assert.equal(await runCommands(sessionOf(), 'show ports swp1 ; show lines 1', sink, signal), 0);
  assert.equal(text, 'Port   MTU\nswp1  9000\nline 1\n');
  text = '';
  assert.equal(await runCommands(sessionOf(), 'configure\nset ports swp1 mtu 1\ncommit', sink, signal), 1);
  assert.doesNotMatch(text, /revision/);
  assert.equal(await runCommands(sessionOf(), 'show ports nope', sink, signal), 2);
});
