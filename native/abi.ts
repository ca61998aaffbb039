// node native/abi.ts native/build/switch.bpf.o > src/kernel/abi.ts
// Writes TypeScript codecs for the structs that the fast path and the daemon share, from the BTF of the compiled
// object, so that offsets come from the compiler. Taken are the structs reachable from the keys and values of maps,
// those named abi_* or *_args, and all enums that the BTF knows. An enum that no struct or function mentions is not in
// the BTF: list it in `struct abi_enums` (enum x x; ...) and keep one in .rodata: `const volatile struct abi_enums
// abi_enums;`.
import { readFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { mapTypes, parseBtf, resolveType, sizeOf } from '../src/wire/btf.ts';
import type { Btf, BtfMember, BtfType } from '../src/wire/btf.ts';
import { elfSection } from '../src/wire/elf.ts';

type Struct = Extract<BtfType, { kind: 'struct' }>;
type Enum = Extract<BtfType, { kind: 'enum' }>;

/** Of src/lib/bytes.ts. */
const helpers = ['list', 'sized', 'viewAt', 'whole', 'wide'];

/** The codecs as the text of a module, the same text for the same types. Throws RangeError for a type that has no
 * codec: bit fields, pointers, floats, structs without a name. */
export function generateAbi(btf: Btf): string {
  const structs = sharedStructs(btf);
  const enums = new Map(
    btf.types
      .filter((type): type is Enum => type.kind === 'enum' && /^(?!(bpf|xdp|sk|tcx|nf|btf)_)./.test(type.name))
      .map((type) => [type.name, type]),
  );
  const codecs = sorted(structs).map((struct) => structText(btf, struct));
  const used = helpers.filter((name) => codecs.some((text) => text.includes(`${name}(`)));
  return [
    '// Made by native/abi.ts from the BTF of the forwarding core: run it again instead of editing.',
    `import { ${used.join(', ')} } from '../lib/bytes.ts';\n`,
    ...sorted(enums).map(enumText),
    ...codecs,
  ].join('\n');
}

function sorted<T>(byName: ReadonlyMap<string, T>): T[] {
  return [...byName].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([, value]) => value);
}

function sharedStructs(btf: Btf): Map<string, Struct> {
  const found = new Map<string, Struct>();
  const visit = (id: number): void => {
    const type = resolveType(btf, id);
    if (type.kind === 'array') visit(type.type);
    if (type.kind !== 'struct' || found.has(type.name)) return;
    if (type.name === '') throw new RangeError('a shared struct has no name');
    found.set(type.name, type);
    for (const member of type.members) visit(member.type);
  };
  for (const { key, value } of mapTypes(btf).values()) for (const id of [key, value]) if (id !== undefined) visit(id);
  for (const [id, type] of btf.types.entries()) {
    if (type.kind === 'struct' && /^abi_|_args$/.test(type.name) && type.name !== 'abi_enums') visit(id);
  }
  return found;
}

function camel(name: string): string {
  return name.toLowerCase().replaceAll(/_+([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
}

function pascal(name: string): string {
  const text = camel(name);
  return text.charAt(0).toUpperCase() + text.slice(1);
}

function enumText(type: Enum): string {
  const prefix = /^[^_]*_/.exec(type.values[0]?.name ?? '')?.[0] ?? '';
  const common = type.values.every((value) => value.name.startsWith(prefix)) ? prefix.length : 0;
  const constant = camel(type.name).replace(/s?$/, 's');
  const rows = type.values.map(({ name, value }) => {
    const word = name.slice(common).toLowerCase().replaceAll('_', '-');
    return `  ${/^[a-z][a-z0-9]*$/.test(word) ? word : `'${word}'`}: ${value},`;
  });
  return [
    `/** enum ${type.name}. */`,
    `export const ${constant} = {`,
    ...rows,
    '} as const;',
    '',
    `export type ${pascal(type.name).replace(/s$/, '')} = keyof typeof ${constant};`,
    '',
  ].join('\n');
}

interface Field {
  readonly member: BtfMember;
  /** "fdb_key.port_be", for errors. */
  readonly path: string;
  readonly name: string;
  readonly at: number;
  readonly bigEndian: boolean;
}

function fieldsOf(struct: Struct): Field[] {
  const fields = struct.members
    .filter((member) => !/^_*pad\d*$/.test(member.name))
    .map((member): Field => {
      const path = `${struct.name}.${member.name}`;
      if (member.bits > 0 || member.offset % 8 !== 0) throw new RangeError(`${path} is a bit field`);
      const bigEndian = member.name.endsWith('_be');
      return { member, path, name: camel(member.name.replace(/_be$/, '')), at: member.offset / 8, bigEndian };
    });
  const names = new Set(fields.map((field) => field.name));
  if (names.size !== fields.length) throw new RangeError(`struct ${struct.name} has two fields of one name`);
  return fields;
}

function structText(btf: Btf, struct: Struct): string {
  const type = pascal(struct.name);
  const size = `${camel(struct.name)}Size`;
  const fields = fieldsOf(struct);
  const usesView = fields.some((field) => needsView(btf, field.member.type));
  const members = fields.map((field) => {
    const { text, doc } = typeText(btf, field.member.type, field.path);
    return `${doc === '' ? '' : `  /** ${doc} */\n`}  readonly ${field.name}: ${text};`;
  });
  const puts = fields.map((f) =>
    putText(btf, f.member.type, { at: `${f.at}`, value: `value.${f.name}`, field: f, depth: 0 }),
  );
  const gets = fields.map(
    (f) => `    ${f.name}: ${getText(btf, f.member.type, { at: `${f.at}`, field: f, depth: 0 })},`,
  );
  return [
    `export interface ${type} {`,
    ...members,
    '}',
    '',
    `export const ${size} = ${struct.size};`,
    '',
    `export function encode${type}(value: ${type}): Uint8Array {`,
    `  const bytes = new Uint8Array(${size});`,
    ...(usesView ? ['  const view = new DataView(bytes.buffer);'] : []),
    ...puts.flat().map((line) => `  ${line}`),
    '  return bytes;',
    '}',
    '',
    `export function decode${type}(bytes: Uint8Array, offset = 0): ${type} {`,
    `  ${usesView ? 'const view = ' : ''}viewAt(bytes, offset, ${size});`,
    '  return {',
    ...gets,
    '  };',
    '}',
    '',
  ].join('\n');
}

function isBytes(btf: Btf, type: BtfType): type is Extract<BtfType, { kind: 'array' }> {
  if (type.kind !== 'array') return false;
  const item = resolveType(btf, type.type);
  return item.kind === 'int' && item.size === 1 && !item.signed;
}

function needsView(btf: Btf, id: number): boolean {
  const type = resolveType(btf, id);
  if (type.kind === 'array') return !isBytes(btf, type) && needsView(btf, type.type);
  return type.kind === 'int' || type.kind === 'enum';
}

/** Scalars by their accessors of DataView. */
function scalarOf(type: BtfType, field: string): { accessor: string; size: number; signed: boolean } {
  if (type.kind !== 'int' && type.kind !== 'enum') throw new RangeError(`${field}: a ${type.kind} has no codec`);
  const signed = type.kind === 'int' && type.signed;
  if (![1, 2, 4, 8].includes(type.size))
    throw new RangeError(`${field}: an integer of ${type.size} bytes has no codec`);
  return {
    accessor: `${type.size === 8 ? 'Big' : ''}${signed ? 'Int' : 'Uint'}${type.size * 8}`,
    size: type.size,
    signed,
  };
}

function typeText(btf: Btf, id: number, field: string): { text: string; doc: string } {
  const type = resolveType(btf, id);
  if (type.kind === 'struct') return { text: pascal(type.name), doc: '' };
  if (type.kind === 'union') return { text: 'Uint8Array', doc: `A union, ${type.size} bytes.` };
  if (isBytes(btf, type)) return { text: 'Uint8Array', doc: `${type.count} bytes.` };
  if (type.kind === 'array') {
    const item = typeText(btf, type.type, field);
    const text = item.text.startsWith('readonly') ? `(${item.text})` : item.text;
    return { text: `readonly ${text}[]`, doc: `${type.count} entries.` };
  }
  return { text: scalarOf(type, field).size === 8 ? 'bigint' : 'number', doc: '' };
}

interface Place {
  readonly at: string;
  readonly field: Field;
  readonly depth: number;
}

function plus(at: string, more: string): string {
  return at === '0' ? more : `${at} + ${more}`;
}

function putText(btf: Btf, id: number, place: Place & { readonly value: string }): string[] {
  const { at, value, field, depth } = place;
  const type = resolveType(btf, id);
  if (type.kind === 'struct') return [`bytes.set(encode${pascal(type.name)}(${value}), ${at});`];
  const raw = type.kind === 'union' ? type.size : isBytes(btf, type) ? type.count : undefined;
  if (raw !== undefined) return [`bytes.set(sized(${value}, ${raw}, '${field.path}'), ${at});`];
  if (type.kind === 'array') {
    const i = 'ijk'.charAt(depth);
    const inner = { at: plus(at, `${i} * ${sizeOf(btf, type.type)}`), value: 'item', field, depth: depth + 1 };
    return [
      `for (const [${i}, item] of sized(${value}, ${type.count}, '${field.path}').entries()) {`,
      ...putText(btf, type.type, inner).map((line) => `  ${line}`),
      '}',
    ];
  }
  const { accessor, size, signed } = scalarOf(type, field.path);
  const bits = BigInt(size * 8);
  const [min, max] = signed ? [-(1n << (bits - 1n)), (1n << (bits - 1n)) - 1n] : [0n, (1n << bits) - 1n];
  const [check, suffix] = size === 8 ? ['wide', 'n'] : ['whole', ''];
  const most = `${signed ? max : `0x${max.toString(16)}`}${suffix}`;
  const checked = `${check}(${value}, ${min}${suffix}, ${most}, '${field.path}')`;
  return [`view.set${accessor}(${at}, ${checked}${size === 1 ? '' : `, ${!field.bigEndian}`});`];
}

function getText(btf: Btf, id: number, place: Place): string {
  const { at, field, depth } = place;
  const type = resolveType(btf, id);
  const absolute = at === '0' ? 'offset' : `offset + ${at}`;
  if (type.kind === 'struct') return `decode${pascal(type.name)}(bytes, ${absolute})`;
  const raw = type.kind === 'union' ? type.size : isBytes(btf, type) ? type.count : undefined;
  if (raw !== undefined) {
    const end = /^\d+$/.test(at) ? String(Number(at) + raw) : `${at} + ${raw}`;
    return `bytes.slice(${absolute}, offset + ${end})`;
  }
  if (type.kind === 'array') {
    const i = 'ijk'.charAt(depth);
    const inner = { at: plus(at, `${i} * ${sizeOf(btf, type.type)}`), field, depth: depth + 1 };
    return `list(${type.count}, (${i}) => ${getText(btf, type.type, inner)})`;
  }
  const { accessor, size } = scalarOf(type, field.path);
  return `view.get${accessor}(${at}${size === 1 ? '' : `, ${!field.bigEndian}`})`;
}

function main(file: string | undefined): void {
  if (file === undefined) throw new Error('which object? node native/abi.ts FILE.bpf.o');
  const section = elfSection(readFileSync(file), '.BTF');
  if (section === undefined) throw new Error(`${file} has no BTF: compile it with -g`);
  process.stdout.write(generateAbi(parseBtf(section)));
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) main(process.argv[2]);
