// A value of one layout as a value of another, field by field and by name: what a table's rows need when its struct has
// changed.
import { type Btf, layoutOf, resolveType, sizeOf } from './btf.ts';

interface Move {
  readonly from: number;
  readonly to: number;
  readonly size: number;
}

/** A function from the bytes of a value of type `fromId` of `from` to those of the same value as `toId` of `to`. Fields
 * that only the new type has are zero, and so are those that are of another kind there. An unsigned field may have
 * grown, unless it is in network order (its name ends in _be). */
export function relayout(from: Btf, fromId: number, to: Btf, toId: number): (bytes: Uint8Array) => Uint8Array {
  const moves = movesOf({ btf: from, id: fromId, at: 0 }, { btf: to, id: toId, at: 0 }, '');
  const size = sizeOf(to, toId);
  return (bytes) => {
    const out = new Uint8Array(size);
    for (const move of moves) out.set(bytes.subarray(move.from, move.from + move.size), move.to);
    return out;
  };
}

interface Place {
  readonly btf: Btf;
  readonly id: number;
  readonly at: number;
}

function movesOf(from: Place, to: Place, name: string): Move[] {
  if (layoutOf(from.btf, from.id) === layoutOf(to.btf, to.id)) {
    return [{ from: from.at, to: to.at, size: sizeOf(to.btf, to.id) }];
  }
  const [a, b] = [resolveType(from.btf, from.id), resolveType(to.btf, to.id)];
  if (a.kind === 'struct' && b.kind === 'struct') {
    return b.members.flatMap((member) => {
      const old = a.members.find((each) => each.name === member.name);
      if (old === undefined || old.bits > 0 || member.bits > 0) return [];
      const inside = { ...from, id: old.type, at: from.at + old.offset / 8 };
      return movesOf(inside, { ...to, id: member.type, at: to.at + member.offset / 8 }, member.name);
    });
  }
  if (a.kind === 'array' && b.kind === 'array') {
    const [step, width] = [sizeOf(from.btf, a.type), sizeOf(to.btf, b.type)];
    return Array.from({ length: Math.min(a.count, b.count) }, (_, i) => {
      const item = { ...from, id: a.type, at: from.at + i * step };
      return movesOf(item, { ...to, id: b.type, at: to.at + i * width }, name);
    }).flat();
  }
  const grows = a.kind === 'int' && b.kind === 'int' && !a.signed && !b.signed && a.size < b.size;
  return grows && !name.endsWith('_be') ? [{ from: from.at, to: to.at, size: a.size }] : [];
}
