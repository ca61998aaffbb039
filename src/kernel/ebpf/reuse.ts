// Whether a pinned map is the one that an object declares: a program reads a map of another layout without a word.
import { addon } from '../addon.ts';
import type { MapDeclaration, MapInfo } from '../addon.ts';
import { KernelError } from '../errno.ts';
import { layoutOf, parseBtf } from '../../wire/btf.ts';
import type { Btf, MapTypes } from '../../wire/btf.ts';

const DEVMAP = 14;
const DEVMAP_HASH = 25;
/** The kernel adds it to device maps by itself. */
const BPF_F_RDONLY_PROG = 1 << 7;
/** Types that libbpf makes without BTF, the kernel wants none: perf, cgroup, stack, map of map, device, socket, CPU and
 * XSK arrays, queue and stack. */
const withoutBtf: readonly number[] = [4, 7, 8, 12, 13, DEVMAP, 15, 16, 17, 18, 22, 23, DEVMAP_HASH, 27];

/** Throws KernelError EINVAL, naming the map and what differs, where the pinned map is not as declared. */
export function checkReuse(declared: MapDeclaration, pinned: MapInfo, btf: Btf, types: MapTypes | undefined): void {
  const own = declared.type === DEVMAP || declared.type === DEVMAP_HASH ? BPF_F_RDONLY_PROG : 0;
  const facts: readonly [string, number, number][] = [
    ['type', pinned.type, declared.type],
    ['key size', pinned.keySize, declared.keySize],
    ['value size', pinned.valueSize, declared.valueSize],
    ['entries', pinned.maxEntries, declared.maxEntries],
    ['flags', pinned.flags & ~own, declared.flags & ~own],
  ];
  for (const [what, there, here] of facts) if (there !== here) refuse(declared.name, what, String(there), String(here));
  if (withoutBtf.includes(declared.type) || types === undefined) return;
  const there = pinned.btfId === 0 ? undefined : parseBtf(addon().btfBytes(pinned.btfId));
  checkLayout(declared.name, 'key', there, pinned.btfKeyType, btf, types.key);
  checkLayout(declared.name, 'value', there, pinned.btfValueType, btf, types.value);
}

function checkLayout(
  map: string,
  what: 'key' | 'value',
  pinned: Btf | undefined,
  pinnedType: number,
  declared: Btf,
  declaredType: number | undefined,
): void {
  // Declared by sizes alone: there is no layout to compare.
  if (declaredType === undefined) return;
  const there = pinned === undefined || pinnedType === 0 ? 'unknown' : layoutOf(pinned, pinnedType);
  const here = layoutOf(declared, declaredType);
  if (there !== here) refuse(map, what, there, here);
}

function refuse(map: string, what: string, there: string, here: string): never {
  throw new KernelError('EINVAL', `map ${map}`, `the pinned map has ${what} ${there}, the object ${here}`);
}
