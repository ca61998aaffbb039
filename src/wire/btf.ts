// BPF Type Format (linux/btf.h): the types of an object file or of a map that the kernel holds.

export interface BtfMember {
  readonly name: string;
  readonly type: number;
  /** Bits from the start of the struct. */
  readonly offset: number;
  /** Width of a bit field, 0 for ordinary members. */
  readonly bits: number;
}

export interface BtfEnumerator {
  readonly name: string;
  readonly value: bigint;
}

/** A type; others are named by their id. Sizes are bytes. */
export type BtfType =
  | { readonly kind: 'void' }
  | { readonly kind: 'int'; readonly name: string; readonly size: number; readonly signed: boolean }
  | { readonly kind: 'float'; readonly name: string; readonly size: number }
  | { readonly kind: 'pointer'; readonly type: number }
  | { readonly kind: 'array'; readonly type: number; readonly count: number }
  | {
      readonly kind: 'struct' | 'union';
      readonly name: string;
      readonly size: number;
      readonly members: readonly BtfMember[];
    }
  | { readonly kind: 'enum'; readonly name: string; readonly size: number; readonly values: readonly BtfEnumerator[] }
  /** typedef, const, volatile, restrict and tags: something with another name. */
  | { readonly kind: 'alias'; readonly name: string; readonly type: number }
  | { readonly kind: 'variable'; readonly name: string; readonly type: number }
  | { readonly kind: 'section'; readonly name: string; readonly variables: readonly number[] }
  | { readonly kind: 'other'; readonly name: string };

export interface Btf {
  /** By id; 0 is void. */
  readonly types: readonly BtfType[];
}

const kinds = {
  int: 1,
  pointer: 2,
  array: 3,
  struct: 4,
  union: 5,
  enum: 6,
  typedef: 8,
  volatile: 9,
  const: 10,
  restrict: 11,
  functionPrototype: 13,
  variable: 14,
  section: 15,
  float: 16,
  declarationTag: 17,
  typeTag: 18,
  enum64: 19,
} as const;

/** Bytes after a type's common 12: fixed, and for each of its `vlen` entries. */
const extraSizes = new Map<number, readonly [fixed: number, each: number]>([
  [kinds.int, [4, 0]],
  [kinds.array, [12, 0]],
  [kinds.struct, [0, 12]],
  [kinds.union, [0, 12]],
  [kinds.enum, [0, 8]],
  [kinds.functionPrototype, [0, 8]],
  [kinds.variable, [4, 0]],
  [kinds.section, [0, 12]],
  [kinds.declarationTag, [4, 0]],
  [kinds.enum64, [0, 12]],
]);

interface Raw {
  readonly view: DataView;
  /** Where the type's own part begins, after the common 12 bytes. */
  readonly at: number;
  readonly kind: number;
  readonly name: string;
  readonly count: number;
  readonly flag: boolean;
  /** A size or a type's id, by kind. */
  readonly size: number;
  text(offset: number): string;
}

/** Reads the .BTF section of an object, or what the kernel gives. Throws RangeError where it is none or is cut short.
 * */
export function parseBtf(bytes: Uint8Array): Btf {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < 24 || view.getUint16(0, true) !== 0xeb9f) throw new RangeError('not little-endian BTF');
  const header = view.getUint32(4, true);
  const start = header + view.getUint32(8, true);
  const end = start + view.getUint32(12, true);
  const strings = header + view.getUint32(16, true);
  const decoder = new TextDecoder();
  const text = (offset: number): string => {
    const from = strings + offset;
    return decoder.decode(bytes.subarray(from, bytes.indexOf(0, from)));
  };
  const types: BtfType[] = [{ kind: 'void' }];
  for (let at = start; at < end;) {
    const info = view.getUint32(at + 4, true);
    const kind = (info >>> 24) & 0x1f;
    const count = info & 0xffff;
    const name = text(view.getUint32(at, true));
    const size = view.getUint32(at + 8, true);
    types.push(decodeType({ view, at: at + 12, kind, name, count, flag: info >>> 31 === 1, size, text }));
    const [fixed, each] = extraSizes.get(kind) ?? [0, 0];
    at += 12 + fixed + each * count;
  }
  return { types };
}

function decodeType(raw: Raw): BtfType {
  const { view, at, kind, name, size } = raw;
  switch (kind) {
    case kinds.int:
      return { kind: 'int', name, size, signed: ((view.getUint32(at, true) >>> 24) & 1) === 1 };
    case kinds.float:
      return { kind: 'float', name, size };
    case kinds.pointer:
      return { kind: 'pointer', type: size };
    case kinds.array:
      return { kind: 'array', type: view.getUint32(at, true), count: view.getUint32(at + 8, true) };
    case kinds.struct:
    case kinds.union:
      return { kind: kind === kinds.struct ? 'struct' : 'union', name, size, members: membersOf(raw) };
    case kinds.enum:
    case kinds.enum64:
      return { kind: 'enum', name, size, values: enumeratorsOf(raw) };
    case kinds.typedef:
    case kinds.volatile:
    case kinds.const:
    case kinds.restrict:
    case kinds.typeTag:
      return { kind: 'alias', name: kind === kinds.typeTag ? '' : name, type: size };
    case kinds.variable:
      return { kind: 'variable', name, type: size };
    case kinds.section:
      return { kind: 'section', name, variables: entries(raw, 12).map((entry) => view.getUint32(entry, true)) };
    default:
      return { kind: 'other', name };
  }
}

function entries(raw: Raw, size: number): number[] {
  return Array.from({ length: raw.count }, (_, i) => raw.at + i * size);
}

function membersOf(raw: Raw): BtfMember[] {
  return entries(raw, 12).map((entry) => {
    const offset = raw.view.getUint32(entry + 8, true);
    return {
      name: raw.text(raw.view.getUint32(entry, true)),
      type: raw.view.getUint32(entry + 4, true),
      offset: raw.flag ? offset & 0xff_ffff : offset,
      bits: raw.flag ? offset >>> 24 : 0,
    };
  });
}

function enumeratorsOf(raw: Raw): BtfEnumerator[] {
  const wide = raw.kind === kinds.enum64;
  return entries(raw, wide ? 12 : 8).map((entry) => {
    const low = raw.flag && !wide ? raw.view.getInt32(entry + 4, true) : raw.view.getUint32(entry + 4, true);
    const value = wide ? (BigInt(raw.view.getUint32(entry + 8, true)) << 32n) | BigInt(low) : BigInt(low);
    return {
      name: raw.text(raw.view.getUint32(entry, true)),
      value: wide && raw.flag ? BigInt.asIntN(64, value) : value,
    };
  });
}

/** The type of an id with typedefs, const and the like taken off. Throws RangeError for an id that is none. */
export function resolveType(btf: Btf, id: number): BtfType {
  const seen = btf.types[id];
  if (seen === undefined) throw new RangeError(`no BTF type ${id}`);
  return seen.kind === 'alias' ? resolveType(btf, seen.type) : seen;
}

/** Bytes that a value of the type takes. */
export function sizeOf(btf: Btf, id: number): number {
  const type = resolveType(btf, id);
  switch (type.kind) {
    case 'int':
    case 'float':
    case 'struct':
    case 'union':
    case 'enum':
      return type.size;
    case 'pointer':
      return 8;
    case 'array':
      return type.count * sizeOf(btf, type.type);
    default:
      return 0;
  }
}

/** Text that is the same for two types exactly if they have the same struct and member names, offsets, sizes and
 * signedness. Typedef names don't count, nor what pointers point to. */
export function layoutOf(btf: Btf, id: number): string {
  const type = resolveType(btf, id);
  switch (type.kind) {
    case 'int':
      return `${type.signed ? 'i' : 'u'}${type.size * 8}`;
    case 'float':
      return `f${type.size * 8}`;
    case 'pointer':
      return 'pointer';
    case 'array':
      return `${layoutOf(btf, type.type)}[${type.count}]`;
    case 'enum':
      return `enum ${type.name} ${type.size * 8}`;
    case 'struct':
    case 'union': {
      const members = type.members.map(
        (m) => `${m.name}@${m.offset}${m.bits > 0 ? `:${m.bits}` : ''} ${layoutOf(btf, m.type)}`,
      );
      return `${type.kind} ${type.name} ${type.size} {${members.join('; ')}}`;
    }
    default:
      return type.kind;
  }
}

/** Ids of a map's key and value types. */
export interface MapTypes {
  readonly key: number | undefined;
  readonly value: number | undefined;
}

/** The maps that an object declares in .maps, by name. */
export function mapTypes(btf: Btf): Map<string, MapTypes> {
  const maps = new Map<string, MapTypes>();
  for (const section of btf.types) {
    if (section.kind !== 'section' || section.name !== '.maps') continue;
    for (const id of section.variables) {
      const variable = btf.types[id];
      const definition = variable?.kind === 'variable' ? resolveType(btf, variable.type) : undefined;
      if (variable?.kind !== 'variable' || definition?.kind !== 'struct') continue;
      const target = (name: string): number | undefined => {
        const member = definition.members.find((m) => m.name === name);
        const type = member === undefined ? undefined : resolveType(btf, member.type);
        return type?.kind === 'pointer' ? type.type : undefined;
      };
      maps.set(variable.name, { key: target('key'), value: target('value') });
    }
  }
  return maps;
}
