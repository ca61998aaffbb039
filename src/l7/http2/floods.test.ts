// What costs a server much and a client nothing is bounded: the connection ends with ENHANCE_YOUR_CALM, and the others
// are served meanwhile.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  END_HEADERS,
  END_STREAM,
  block,
  frame,
  get,
  headers,
  http2Client,
  post,
  u32,
} from '../../../test/fake/http2.ts';
import type { Http2Client } from '../../../test/fake/http2.ts';
import { simpleRig } from '../../../test/fake/l7-rig.ts';
import { BURST } from './budget.ts';

const COUNT = BURST * 3;
const CALM = 'GOAWAY 11';

function times(make: (i: number) => Uint8Array): Buffer {
  return Buffer.concat(Array.from({ length: COUNT }, (_, i) => make(i)));
}

const zero = Buffer.alloc(0);
const odd = (i: number): number => 1 + 2 * i;

/** A field of 3,968 bytes that the table keeps. */
const entry = Buffer.concat([Buffer.from([0x40, 1, 0x61, 0x7f, 0x81, 0x1e]), Buffer.alloc(3968, 'v')]);

/** Frames behind SETTINGS, and the streams that are opened before. */
const floods: readonly (readonly [name: string, frames: () => Uint8Array, outcome?: string])[] = [
  ['rapid reset', () => times((i) => Buffer.concat([headers(odd(i), get), frame('RST_STREAM', 0, odd(i), u32(8))]))],
  [
    'made to reset: a window of nothing',
    () => times((i) => Buffer.concat([headers(odd(i), post, 0), frame('WINDOW_UPDATE', 0, odd(i), u32(0))])),
  ],
  [
    'made to reset: a window that overflows',
    () => times((i) => Buffer.concat([headers(odd(i), post, 0), frame('WINDOW_UPDATE', 0, odd(i), u32(0x7fffffff))])),
  ],
  [
    'made to reset: a priority of the wrong size',
    () => times((i) => Buffer.concat([headers(odd(i), post, 0), frame('PRIORITY', 0, odd(i), zero)])),
  ],
  [
    'made to reset: a stream that depends on itself',
    () =>
      times((i) =>
        Buffer.concat([
          headers(odd(i), post, 0),
          frame('PRIORITY', 0, odd(i), Buffer.concat([u32(odd(i)), Buffer.alloc(1)])),
        ]),
      ),
  ],
  [
    'made to reset: data behind the end',
    () => times((i) => Buffer.concat([headers(odd(i), get), frame('DATA', 0, odd(i), Buffer.from('x'))])),
  ],
  ['malformed requests', () => times((i) => headers(odd(i), [['x', 'y']]))],
  ['streams beyond the bound', () => times((i) => headers(odd(i), post, 0))],
  ['PING', () => times(() => frame('PING', 0, 0, Buffer.alloc(8)))],
  ['PING that nobody asked for', () => times(() => frame('PING', 1, 0, Buffer.alloc(8)))],
  ['SETTINGS', () => times(() => frame('SETTINGS', 0, 0))],
  [
    'SETTINGS that change windows',
    () => times((i) => frame('SETTINGS', 0, 0, Buffer.concat([Buffer.from([0, 4]), u32(i)]))),
  ],
  ['acknowledged SETTINGS', () => times(() => frame('SETTINGS', 1, 0))],
  ['PRIORITY', () => times((i) => frame('PRIORITY', 0, odd(i), Buffer.from([0, 0, 0, 0, 1])))],
  ['unknown frames', () => times(() => frame(77, 0, 0))],
  ['empty DATA', () => Buffer.concat([headers(1, post, 0), times(() => frame('DATA', 0, 1))])],
  [
    'padding alone',
    () => Buffer.concat([headers(1, post, 0), times(() => frame('DATA', 8, 1, Buffer.from([3, 0, 0, 0])))]),
  ],
  ['windows opened byte by byte', () => times(() => frame('WINDOW_UPDATE', 0, 0, u32(1)))],
  [
    'windows of streams that are over',
    () => Buffer.concat([headers(1, get), times(() => frame('WINDOW_UPDATE', 0, 1, u32(1)))]),
  ],
  ['GOAWAY', () => times(() => frame('GOAWAY', 0, 0, Buffer.alloc(8)))],
  [
    'empty CONTINUATION',
    () => Buffer.concat([frame('HEADERS', END_STREAM, 1, block(get)), times(() => frame('CONTINUATION', 0, 1))]),
  ],
  [
    'CONTINUATION without an end',
    () =>
      Buffer.concat([
        frame('HEADERS', END_STREAM, 1, block(get)),
        ...Array.from({ length: 8 }, () => frame('CONTINUATION', 0, 1, Buffer.alloc(16_000, block([['a', 'b']])))),
      ]),
  ],
  [
    'a bomb of references to one large entry',
    () => {
      return frame(
        'HEADERS',
        END_STREAM | END_HEADERS,
        1,
        Buffer.concat([block(get), entry, Buffer.alloc(10_000, 0xbe)]),
      );
    },
  ],
];

test(`${floods.length} floods end their connection, calmly`, async () => {
  await using s = await simpleRig();
  const other = await http2Client(s.port);
  let id = 1;
  for (const [name, frames, outcome = CALM] of floods) {
    const c = await http2Client(s.port);
    c.send(frames());
    const goaway = await c
      .until((f) => f.type === 'GOAWAY', 5000)
      .catch((error: Error) => assert.fail(`${name}: ${error.message}`));
    assert.equal(`GOAWAY ${goaway.payload.readUInt32BE(4)}`, outcome, name);
    c.destroy();
    other.send(headers(id, get));
    assert.equal(await other.outcome(id), '200', `beside ${name}`);
    id += 2;
  }
  other.destroy();
  assert.deepEqual(s.r.faults, []);
});

test('a list a little over its bound costs its stream alone', async () => {
  await using s = await simpleRig();
  const c: Http2Client = await http2Client(s.port);
  const fields = Buffer.concat([block(get), entry, Buffer.alloc(9, 0xbe)]);
  c.send(frame('HEADERS', END_STREAM | END_HEADERS, 1, fields));
  assert.equal(await c.outcome(1), 'RST 11');
  c.send(headers(3, get));
  assert.equal(await c.outcome(3), '200');
  c.destroy();
});

test('who works gets what a flood does not: thousands of requests, each with its pings and windows', async () => {
  await using s = await simpleRig();
  const c = await http2Client(s.port);
  for (let i = 0; i < COUNT; i += 1) {
    c.send(headers(odd(i), get), frame('WINDOW_UPDATE', 0, 0, u32(2)));
    if (i % 50 === 49) {
      c.send(frame('PING', 0, 0, Buffer.alloc(8)));
      assert.equal(await c.outcome(odd(i)), '200');
    }
  }
  assert.equal(await c.outcome(odd(COUNT - 1)), '200');
  c.destroy();
});
