// The Huffman code of HPACK (RFC 7541 appendix B). It is canonical, so the lengths of its codes say all of it.

/** Bits of the code of each byte, then of EOS. */
const lengths = [
  '13 23 28 28 28 28 28 28 28 24 30 28 28 30 28 28 28 28 28 28 28 28 30 28 28 28 28 28 28 28 28 28 6 10 10',
  '12 13 6 8 11 10 10 8 11 8 6 6 6 5 5 5 6 6 6 6 6 6 6 7 8 15 6 12 10 13 6 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7',
  '7 7 7 7 7 7 8 7 8 13 19 13 14 6 15 5 6 5 6 5 6 6 6 5 7 7 6 6 6 5 6 7 6 5 5 6 7 7 7 7 7 15 11 14 13 28 20',
  '22 20 20 22 22 22 23 22 23 23 23 23 23 24 23 24 24 22 23 24 23 23 23 23 21 22 23 22 23 23 24 22 21 20 22',
  '22 23 23 21 23 22 22 24 21 22 23 23 21 21 22 21 23 22 23 23 20 22 22 22 23 22 22 23 26 26 20 19 22 23 22',
  '25 26 26 26 27 27 26 24 25 19 21 26 27 27 26 27 24 21 21 26 26 28 27 27 27 20 24 20 21 22 21 21 23 22 22',
  '25 25 24 24 26 23 26 27 26 26 27 27 27 27 27 28 27 27 27 27 27 26 30',
].flatMap((line) => line.split(' ').map(Number));

const EOS = 256;
const NIBBLES = 16;
const EMITS = 1 << 16;
const FAILS = 1 << 17;

interface Node {
  zero: number;
  one: number;
  symbol: number;
}

function tree(): Node[] {
  const nodes: Node[] = [{ zero: -1, one: -1, symbol: -1 }];
  const order = [...lengths.keys()].sort((a, b) => lengths[a]! - lengths[b]! || a - b);
  let code = 0;
  let last = 0;
  for (const symbol of order) {
    code *= 2 ** (lengths[symbol]! - last);
    last = lengths[symbol]!;
    let at = 0;
    for (let bit = last - 1; bit >= 0; bit -= 1) {
      const side = Math.floor(code / 2 ** bit) % 2 === 1 ? 'one' : 'zero';
      if (nodes[at]![side] < 0) nodes[at]![side] = nodes.push({ zero: -1, one: -1, symbol: -1 }) - 1;
      at = nodes[at]![side];
    }
    nodes[at]!.symbol = symbol;
    code += 1;
  }
  return nodes;
}

/** By state and four bits: next state, a byte above it, EMITS where that one is complete, FAILS. A string may end in
 * the states of `accepting`: at most seven ones are left of it (RFC 7541 5.2). */
function machine(): { steps: Int32Array; accepting: Uint8Array } {
  const nodes = tree();
  const inner = [...nodes.keys()].filter((i) => nodes[i]!.symbol < 0);
  const state = new Map(inner.map((node, i) => [node, i]));
  const steps = new Int32Array(inner.length * NIBBLES);
  for (const node of inner) {
    for (let nibble = 0; nibble < NIBBLES; nibble += 1) {
      let at = node;
      let byte = 0;
      let flags = 0;
      for (let bit = 3; bit >= 0 && flags !== FAILS; bit -= 1) {
        at = (nibble >> bit) & 1 ? nodes[at]!.one : nodes[at]!.zero;
        const { symbol } = nodes[at]!;
        if (symbol === EOS) flags = FAILS;
        else if (symbol >= 0) {
          byte = symbol;
          flags = EMITS;
          at = 0;
        }
      }
      const next = flags === FAILS ? 0 : state.get(at)!;
      steps[state.get(node)! * NIBBLES + nibble] = next | (byte << 8) | flags;
    }
  }
  const accepting = new Uint8Array(inner.length);
  for (let ones = 0, at = 0; ones <= 7; ones += 1, at = nodes[at]!.one) accepting[state.get(at)!] = 1;
  return { steps, accepting };
}

const { steps, accepting } = machine();

/** Decodes src[from, to) to dst[at..]. Gives the place behind, or -1 where it is no Huffman string. The caller sees to
 * the room: at most 8/5 of the bytes. */
export function decodeHuffman(src: Uint8Array, from: number, to: number, dst: Uint8Array, at: number): number {
  let state = 0;
  let flags = 0;
  let o = at;
  for (let p = from; p < to; p += 1) {
    const c = src[p]!;
    let step = steps[(state << 4) | (c >> 4)]!;
    if ((step & EMITS) !== 0) {
      dst[o] = (step >> 8) & 255;
      o += 1;
    }
    flags |= step;
    step = steps[((step & 255) << 4) | (c & 15)]!;
    if ((step & EMITS) !== 0) {
      dst[o] = (step >> 8) & 255;
      o += 1;
    }
    flags |= step;
    state = step & 255;
  }
  return (flags & FAILS) !== 0 || accepting[state] === 0 ? -1 : o;
}
