// Where the values of a head end: at its control bytes. The engine in C notes where those are, many bytes at a time;
// what it did not note is looked for here.
import { CONTROLS, CONTROLS_AT, W_CONTROLS, W_CONTROLS_END } from '../transport.ts';
import type { Engine } from '../transport.ts';

/** Places of control bytes, from `at` up to `end`, in order: between the first and the last only tabs are left out, and
 * an LF right behind a CR. */
export interface Controls {
  readonly places: Int32Array;
  at: number;
  end: number;
}

/** Nobody looked. */
export const unnoted: Controls = { places: new Int32Array(0), at: 0, end: 0 };

/** Reads what an engine noted of a row; good until the next call. */
export function readControls({ arena, rows }: Engine): (base: number) => Controls {
  const places = new Int32Array(arena.buffer, arena.byteOffset + CONTROLS_AT, CONTROLS);
  const controls: Controls = { places, at: 0, end: 0 };
  return (base) => {
    controls.at = rows[base + W_CONTROLS]!;
    controls.end = rows[base + W_CONTROLS_END]!;
    return controls;
  };
}

/** The first place at or behind `start`, which is not right behind a CR, whose byte may not stand in a value (RFC 9110
 * 5.5). */
export function plainEnd(a: Uint8Array, start: number, end: number, controls: Controls): number {
  while (controls.at < controls.end) {
    const place = controls.places[controls.at]!;
    if (place >= start) return Math.min(place, end);
    controls.at += 1;
  }
  return scanned(a, start, end);
}

function control(c: number): boolean {
  return (c < 32 && c !== 9) || c === 127;
}

let seen: Uint8Array | undefined;
let words: Int32Array = new Int32Array(0);

/** The arena as words; none where it does not begin at one. */
function look(a: Uint8Array): void {
  seen = a;
  words = a.byteOffset % 4 === 0 ? new Int32Array(a.buffer, a.byteOffset, a.length >> 2) : new Int32Array(0);
}

/** Four bytes at a time as long as each is 32 or more and none is 127: the rest is looked at one by one. */
function scanned(a: Uint8Array, start: number, end: number): number {
  let p = start;
  if (seen !== a) look(a);
  for (;;) {
    while (p < end && ((p & 3) !== 0 || p + 4 > end || p >> 2 >= words.length)) {
      if (control(a[p]!)) return p;
      p += 1;
    }
    if (p >= end) return p;
    let w = words[p >> 2]!;
    let d = w ^ 0x7f7f7f7f;
    while (((((w - 0x20202020) & ~w) | ((d - 0x01010101) & ~d)) & 0x80808080) === 0) {
      p += 4;
      if (p + 4 > end) break;
      w = words[p >> 2]!;
      d = w ^ 0x7f7f7f7f;
    }
    for (let i = 0; i < 4 && p < end; i += 1, p += 1) if (control(a[p]!)) return p;
  }
}
