// What the engine in C notes of a head's control bytes, against one look at each byte; and that a head is read the same
// with it and without.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { connect } from '../../../test/fake/l7.ts';
import { listenAt } from '../../../test/fake/l7-engines.ts';
import { freePort } from '../../../test/fake/port.ts';
import { cases } from '../../../test/lab/smuggling/cases.ts';
import { headBounds, parseRequest } from '../http1.ts';
import { openEngine } from '../transport-native.ts';
import * as t from '../transport.ts';
import { createRandom } from '../upstream/pick.ts';
import { readControls, unnoted } from './controls.ts';
import type { Controls } from './controls.ts';
import { FIELD_WORDS, fields, head } from './fields.ts';

/** Places in `a` of what the engine is to note between `off` and `end`. */
function expected(a: Uint8Array, off: number, end: number): number[] {
  const places: number[] = [];
  for (let p = off; p < end && places.length < t.ROW_CONTROLS; p += 1) {
    const c = a[p]!;
    if ((c >= 32 && c !== 127) || c === 9 || (c === 10 && p > off && a[p - 1] === 13)) continue;
    places.push(p);
    if (places.at(-2) === p - 2) break;
  }
  return places;
}

/** All that a parse says. */
function reading(a: Buffer, off: number, end: number, controls: Controls): unknown {
  const got = parseRequest(a, off, end, headBounds, controls);
  return got > 0 ? [got, { ...head }, [...fields.subarray(0, head.count * FIELD_WORDS)]] : [got, got < 0 && head.why];
}

const bits = '\r\n\t\u0000\u0001\u007f\u0080\u00ff :x';

function change(text: string, random: () => number): string {
  let all = text;
  for (let i = random() % 3; i > 0; i -= 1) {
    const at = random() % (all.length + 1);
    all = all.slice(0, at) + bits[random() % bits.length]! + all.slice(at + (random() % 2));
  }
  return all;
}

test('the engine notes the control bytes of heads, and they are read the same with and without', async (context) => {
  const seed = Date.now() % 1_000_000;
  context.diagnostic(`seed ${seed}`);
  const random = createRandom(seed);
  const wrong: unknown[] = [];
  let rows = 0;
  const engine = openEngine({
    onBatch(n) {
      for (let i = 0; i < n; i += 1) {
        const base = i * t.ROW_WORDS;
        engine.rows[base + t.W_ACTION] = t.CLOSE;
        if (engine.rows[base + t.W_KIND] !== t.REQUEST) continue;
        rows += 1;
        const off = engine.rows[base + t.W_OFF]!;
        const end = off + engine.rows[base + t.W_LEN]!;
        const { places, at, end: last } = noted(base);
        const copy = Buffer.from(engine.arena.subarray(0, end));
        const all = [...places.subarray(at, last)];
        const wanted = expected(engine.arena, off, end);
        if (String(all) !== String(wanted)) wrong.push([copy.toString('latin1', off), all, wanted]);
        const with_ = reading(engine.arena, off, end, noted(base));
        const without = reading(copy, off, end, unnoted);
        if (JSON.stringify(with_) !== JSON.stringify(without))
          wrong.push([copy.toString('latin1', off), with_, without]);
      }
    },
  });
  const noted = readControls(engine);
  const port = await freePort();
  listenAt(engine, port);
  const corpus = cases.flatMap(({ bytes, sibling }) => [bytes, sibling]);
  const all = [...corpus, ...corpus.map((text) => change(text, random))];
  all.push(`GET / HTTP/1.1\r\n${'\u0001'.repeat(2000)}`, `GET / HTTP/1.1\r\nA: ${'x'.repeat(30_000)}\r\n\r\n`);
  for (let i = 0; i < 64; i += 1) all.push(`GET / HTTP/1.1\r\nHost: ${'h'.repeat(i)}\r\n\r\n`);
  // Several at once, so that a batch has more than one.
  for (let i = 0; i < all.length; i += 8) {
    await Promise.all(
      all.slice(i, i + 8).map(async (text) => {
        const c = await connect(port);
        c.send(text);
        await c.closed();
      }),
    );
  }
  engine.shut();
  assert.deepEqual(wrong, []);
  assert.ok(rows >= all.length * 0.9, `${rows} rows of ${all.length}`);
});
