import { readFileSync, unlinkSync } from 'node:fs';
import { addon } from '../addon.ts';
import type { MapDeclaration, NamedFd, Native } from '../addon.ts';
import type { BpfLoad, BpfObject } from '../bpf.ts';
import { KernelError } from '../errno.ts';
import { mapTypes, parseBtf } from '../../wire/btf.ts';
import type { Btf } from '../../wire/btf.ts';
import { elfSection } from '../../wire/elf.ts';
import { carryRows } from './carry.ts';
import { KernelMap, makePin } from './map.ts';
import { KernelProgram } from './program.ts';
import { checkReuse } from './reuse.ts';

/** Opens, adopts pinned maps, loads, fills and pins new maps. Whatever fails, nothing of it stays. */
export function loadObject(o: BpfLoad): BpfObject {
  const object = addon().objectOpen(o.file);
  const maps: NamedFd[] = [];
  const programs: NamedFd[] = [];
  try {
    for (const [name, value] of Object.entries(o.rodata ?? {})) addon().objectConstant(object, name, value);
    const adopted = adoptPins(object, o);
    addon().objectLoad(object, maps, programs);
    const fresh = maps.filter(({ name }) => !adopted.has(name));
    carryFormer(fresh, o);
    pinNew(fresh, o.pins ?? {});
    return new LoadedObject(maps, programs);
  } catch (error) {
    for (const { fd } of [...maps, ...programs]) addon().fdClose(fd);
    throw error;
  } finally {
    addon().objectClose(object);
  }
}

/** Tells libbpf which maps exist. Gives their names. */
function adoptPins(object: Native, o: BpfLoad): Set<string> {
  const adopted = new Set<string>();
  const declared = new Map(
    addon()
      .objectMaps(object)
      .map((map) => [map.name, map]),
  );
  let btf: Btf | undefined;
  for (const [name, path] of Object.entries(o.pins ?? {})) {
    const declaration = declared.get(name);
    if (declaration === undefined) throw new KernelError('ENOENT', `map ${name}`, `${o.file} has none`);
    const fd = openPin(path, 'bpf-map');
    if (fd === undefined) continue;
    try {
      btf ??= btfOf(o.file);
      adopt(object, declaration, fd, btf);
      adopted.add(name);
    } finally {
      addon().fdClose(fd);
    }
  }
  return adopted;
}

function adopt(object: Native, declaration: MapDeclaration, fd: number, btf: Btf): void {
  checkReuse(declaration, addon().mapInfo(fd), btf, mapTypes(btf).get(declaration.name));
  addon().objectReuse(object, declaration.name, fd);
}

function btfOf(file: string): Btf {
  const section = elfSection(readFileSync(file), '.BTF');
  if (section === undefined) throw new KernelError('EINVAL', `load ${file}`, 'it has no BTF');
  return parseBtf(section);
}

/** A pin's descriptor, or undefined where there is none. */
export function openPin(path: string, kind: 'bpf-map' | 'bpf-link'): number | undefined {
  try {
    return addon().pinOpen(path, kind);
  } catch (error) {
    if (error instanceof KernelError && error.code === 'ENOENT') return undefined;
    throw error;
  }
}

/** Before they are pinned: a start that is cut short here is made again from the former ones. */
function carryFormer(maps: readonly NamedFd[], { file, former = {} }: BpfLoad): void {
  let btf: Btf | undefined;
  for (const { name, fd } of maps) {
    const path = former[name];
    const old = path === undefined ? undefined : openPin(path, 'bpf-map');
    if (old === undefined) continue;
    try {
      btf ??= btfOf(file);
      carryRows(old, fd, btf, mapTypes(btf).get(name));
    } finally {
      addon().fdClose(old);
    }
  }
}

function pinNew(maps: readonly NamedFd[], pins: Readonly<Record<string, string>>): void {
  const made: string[] = [];
  try {
    for (const { name, fd } of maps) {
      const path = pins[name];
      if (path === undefined) continue;
      makePin(fd, path);
      made.push(path);
    }
  } catch (error) {
    for (const path of made) unlinkSync(path);
    throw error;
  }
}

class LoadedObject implements BpfObject {
  readonly maps: ReadonlyMap<string, KernelMap>;
  readonly programs: ReadonlyMap<string, KernelProgram>;

  constructor(maps: readonly NamedFd[], programs: readonly NamedFd[]) {
    // All questions are asked before a descriptor has an owner: a failure leaves them to the caller.
    const mapInfos = maps.map(({ name, fd }) => ({ name, fd, info: addon().mapInfo(fd) }));
    const programInfos = programs.map(({ name, fd }) => ({ name, fd, info: addon().programInfo(fd) }));
    this.maps = new Map(mapInfos.map(({ name, fd, info }) => [name, new KernelMap(fd, info, name)]));
    this.programs = new Map(programInfos.map(({ name, fd, info }) => [name, new KernelProgram(fd, info, name)]));
  }

  close(): void {
    for (const map of this.maps.values()) map.close();
    for (const program of this.programs.values()) program.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
