import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { nameHash } from '../../head/fields.ts';
import { decodeHuffman } from './huffman.ts';
import { Decoder, putField, putNamed, putStatic, putStatus } from './hpack.ts';
import { COMPRESSION_ERROR, ENHANCE_YOUR_CALM } from '../frames.ts';

function reader(): { decoder: Decoder; read(block: Uint8Array): string[]; error(block: Uint8Array): number } {
  const decoder = new Decoder();
  const read = (block: Uint8Array): [number, string[]] => {
    const list: string[] = [];
    const error = decoder.decode(block, 0, block.length, {
      field(a, name, nameLen, value, valueLen) {
        const text = (off: number, len: number) => Buffer.from(a.subarray(off, off + len)).toString('latin1');
        list.push(`${text(name, nameLen)}: ${text(value, valueLen)}`);
      },
    });
    return [error, list];
  };
  return {
    decoder,
    read(block) {
      const [error, list] = read(block);
      assert.equal(error, 0);
      return list;
    },
    error: (block) => read(block)[0],
  };
}

const hex = (text: string) => Buffer.from(text.replaceAll(' ', ''), 'hex');
const first = [':method: GET', ':scheme: http', ':path: /', ':authority: www.example.com'];
const third = [':method: GET', ':scheme: https', ':path: /index.html', ':authority: www.example.com'];

test('the requests of RFC 7541 C.3 and C.4, plain and by Huffman, over one table', () => {
  const plain = reader();
  assert.deepEqual(plain.read(hex('828684410f7777772e6578616d706c652e636f6d')), first);
  assert.deepEqual(plain.read(hex('828684be58086e6f2d6361636865')), [...first, 'cache-control: no-cache']);
  const last = hex('828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565');
  assert.deepEqual(plain.read(last), [...third, 'custom-key: custom-value']);
  const packed = reader();
  assert.deepEqual(packed.read(hex('828684418cf1e3c2e5f23a6ba0ab90f4ff')), first);
  assert.deepEqual(packed.read(hex('828684be5886a8eb10649cbf')), [...first, 'cache-control: no-cache']);
  const again = hex('828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf');
  assert.deepEqual(packed.read(again), [...third, 'custom-key: custom-value']);
});

test('the answers of RFC 7541 C.6: a table of 256 bytes loses its oldest', () => {
  const r = reader();
  const sized = Buffer.concat([
    hex('3fe101'),
    hex('488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff'),
  ]);
  assert.deepEqual(r.read(Buffer.concat([sized, hex('6e919d29ad171863c78f0b97c8e9ae82ae43d3')])), [
    ':status: 302',
    'cache-control: private',
    'date: Mon, 21 Oct 2013 20:13:21 GMT',
    'location: https://www.example.com',
  ]);
  assert.equal(r.read(hex('4883640effc1c0bf'))[0], ':status: 307');
  assert.equal(r.error(hex('c2')), COMPRESSION_ERROR, 'the fifth entry is gone');
});

test('blocks that can not be', () => {
  const cases: readonly (readonly [what: string, block: string, code: number])[] = [
    ['index 0', '80', COMPRESSION_ERROR],
    ['an index behind both tables', 'be', COMPRESSION_ERROR],
    ['an integer without its end', 'ff', COMPRESSION_ERROR],
    ['an integer that never ends', 'ffffffffffffffffff7f', COMPRESSION_ERROR],
    ['a name that is cut off', '000561', COMPRESSION_ERROR],
    ['a value that is missing', '000161', COMPRESSION_ERROR],
    ['a literal of a name that is not there', '0f7000', COMPRESSION_ERROR],
    ['Huffman with eight bits of padding', '0081ff', COMPRESSION_ERROR],
    ['Huffman padded with zeros', '00811000', COMPRESSION_ERROR],
    ['Huffman with EOS in it', '0084ffffffff00', COMPRESSION_ERROR],
    ['a table larger than allowed', '3fe21f', COMPRESSION_ERROR],
    ['a size behind a field', '8220', COMPRESSION_ERROR],
    ['three sizes', '202020', COMPRESSION_ERROR],
    ['a string over 32 KB', '007f82ff01'.padEnd(10 + 2 * 33_000, '61'), ENHANCE_YOUR_CALM],
  ];
  for (const [what, block, code] of cases) assert.equal(reader().error(hex(block)), code, what);
});

test('a list of little that unpacks to much is left before it is whole', () => {
  const r = reader();
  const length = 127 + 0x20 + (0x1e << 7);
  const block = Buffer.concat([hex('40016b7fa01e'), Buffer.alloc(length, 'v'), Buffer.alloc(20_000, 0xbe)]);
  assert.equal(r.error(block), ENHANCE_YOUR_CALM);
  assert.ok(r.decoder.listBytes < 256 * 1024);
});

const text = (min: number, max: number) =>
  fc.string({
    unit: fc.integer({ min: 33, max: 126 }).map((c) => String.fromCharCode(c)),
    minLength: min,
    maxLength: max,
  });

test('what is written is read as it was', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(text(1, 20), text(0, 300)), { maxLength: 20 }), (list) => {
      const dst = new Uint8Array(64 * 1024);
      let at = putStatus(dst, 0, 418);
      at = putStatic(dst, at, 2);
      at = putNamed(dst, at, 4, Buffer.from('/x'), 0, 2);
      for (const [name, value] of list) {
        const a = Buffer.from(name + value, 'latin1');
        const field = {
          name: 0,
          nameLen: name.length,
          hash: nameHash(name),
          value: name.length,
          valueLen: value.length,
        };
        at = putField(dst, at, a, field);
      }
      const said = [':status: 418', ':method: GET', ':path: /x', ...list.map(([name, value]) => `${name}: ${value}`)];
      assert.deepEqual(reader().read(dst.subarray(0, at)), said);
    }),
  );
});

test('no bytes make the decoder throw, or write beyond its room', () => {
  const r = reader();
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => void r.error(bytes)),
    { numRuns: 2000 },
  );
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
      const dst = new Uint8Array(200);
      const end = decodeHuffman(bytes, 0, bytes.length, dst, 0);
      assert.ok(end <= Math.ceil(bytes.length * 1.6));
    }),
  );
});
