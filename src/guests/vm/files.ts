// What a VM keeps on disk: its overlay over an image that is never written to, its seed, what its console showed.
import { execFile } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, renameSync, rmdirSync, rmSync, statSync } from 'node:fs';
import { truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { FaultError } from '../../engine/faults.ts';
import { writeDurably } from '../../engine/revision/disk.ts';
import { hashOf } from '../../engine/kinds/mark.ts';
import type { Progress } from '../../engine/resource.ts';
import type { Folders } from '../../engine/slice.ts';
import { type VmSpec, vmRef } from './compile.ts';
import type { VmFiles } from './machine.ts';
import { seedVolume } from './seed.ts';

/** A disk that no revision uses is kept for so long, that a rollback finds it. */
const keepDiskMs = 7 * 86_400_000;
const maxLogBytes = 2 ** 20;
const tailBytes = 256 * 1024;

export interface VmPlaces extends VmFiles {
  readonly folder: string;
  readonly record: string;
  readonly qemuLog: string;
}

/** Folder of the VMs' disks and logs. */
export const vmsFolder = (folders: Folders): string => join(folders.state, 'vms');
/** Folder of the records of their processes. */
export const recordsFolder = (folders: Folders): string => join(folders.run, 'vms');

const overlayName = (image: string): string => `overlay-${hashOf(image)}.qcow2`;
const seedName = (spec: VmSpec): string => `seed-${hashOf(spec.machine.seed)}.iso`;

/** Where everything of a VM is; without a spec, what every VM has. */
export function placesOf(folders: Folders, name: string, spec?: VmSpec): VmPlaces {
  const folder = join(vmsFolder(folders), name);
  const image = spec?.machine.image;
  return {
    folder,
    record: join(recordsFolder(folders), `${name}.json`),
    qmp: join(folders.run, 'qmp', `${name}.sock`),
    console: join(folders.run, 'console', `${name}.sock`),
    consoleLog: join(folder, 'console.log'),
    qemuLog: join(folder, 'qemu.log'),
    seed: join(folder, spec === undefined ? 'seed.iso' : seedName(spec)),
    ...(image === undefined ? {} : { overlay: join(folder, overlayName(image)) }),
  };
}

/** Makes seed and overlay where they are not there. Fault 'no-image' for a file that is not there. */
export async function makeFiles(
  folders: Folders,
  spec: VmSpec,
  progress: Progress,
  signal: AbortSignal,
): Promise<void> {
  const { image } = spec.machine;
  checkFiles(spec);
  const places = placesOf(folders, spec.name, spec);
  mkdirSync(places.folder, { recursive: true, mode: 0o700 });
  for (const path of [places.qmp, places.console, places.record]) {
    mkdirSync(join(path, '..'), { recursive: true, mode: 0o700 });
  }
  if (statSync(places.seed, { throwIfNoEntry: false }) === undefined) {
    writeFileSync(`${places.seed}.new`, seedVolume(spec.machine.seed), { mode: 0o600 });
    renameSync(`${places.seed}.new`, places.seed);
  }
  if (image === undefined || places.overlay === undefined) return;
  progress(`disk over ${image}`);
  await makeOverlay(spec, image, places.overlay, signal);
}

/** Fault 'no-image' for a file that is not there. */
export function checkFiles(spec: VmSpec): void {
  const { kernel, initrd, image } = spec.machine;
  for (const file of [kernel, initrd, image]) {
    if (file === undefined || statSync(file, { throwIfNoEntry: false })?.isFile() === true) continue;
    throw new FaultError('no-image', vmRef(spec.name), `there is no file ${file}`, true);
  }
}

/** The file that a disk was made of, as it was then: over another one the disk would be nonsense. */
interface Base {
  readonly size: number;
  readonly mtimeMs: number;
}

async function makeOverlay(spec: VmSpec, image: string, overlay: string, signal: AbortSignal): Promise<void> {
  const { size, mtimeMs } = statSync(image);
  const base: Base = { size, mtimeMs };
  const made = `${overlay}.json`;
  const ref = vmRef(spec.name);
  if (statSync(overlay, { throwIfNoEntry: false }) === undefined) {
    const format = await formatOf(spec, image, signal);
    const length = spec.machine.disk === undefined ? [] : [String(spec.machine.disk)];
    rmSync(`${overlay}.new`, { force: true });
    await qemuImg(
      spec,
      ['create', '-q', '-f', 'qcow2', '-F', format, '-b', image, `${overlay}.new`, ...length],
      signal,
    );
    writeDurably(made, JSON.stringify(base));
    renameSync(`${overlay}.new`, overlay);
    return;
  }
  const was = JSON.parse(readFileSync(made, 'utf8')) as Base;
  if (was.size !== base.size || was.mtimeMs !== base.mtimeMs) {
    const why = `${image} is another file than the disk was made over: give a new image another name`;
    throw new FaultError('refused', ref, why);
  }
}

/** Raw or qcow2. An image that refers to other files of the machine is refused: who made it decides what is read. */
async function formatOf(spec: VmSpec, image: string, signal: AbortSignal): Promise<string> {
  const text = await qemuImg(spec, ['info', '--output=json', image], signal);
  const info = JSON.parse(text) as { format: string; 'backing-filename'?: string; 'format-specific'?: unknown };
  const specific = (info['format-specific'] as { data?: { 'data-file'?: string } } | undefined)?.data;
  const other = info['backing-filename'] ?? specific?.['data-file'];
  if (other !== undefined)
    throw new FaultError('refused', vmRef(spec.name), `${image} refers to another file, ${other}`);
  if (info.format === 'raw' || info.format === 'qcow2') return info.format;
  throw new FaultError('not-supported', vmRef(spec.name), `${image} is ${info.format}, not qcow2 or raw`);
}

async function qemuImg(spec: VmSpec, args: readonly string[], signal: AbortSignal): Promise<string> {
  const ref = vmRef(spec.name);
  try {
    return (await promisify(execFile)('qemu-img', args, { signal, timeout: 60_000 })).stdout;
  } catch (error) {
    const { code, name, stderr, message } = error as NodeJS.ErrnoException & { stderr?: string };
    if (name === 'AbortError') throw new FaultError('cancelled', ref, 'cancelled');
    if (code === 'ENOENT') throw new FaultError('not-supported', ref, 'qemu-img is not installed');
    throw new FaultError('refused', ref, (stderr ?? message).trim().slice(0, 300));
  }
}

/** The end of what the console showed. */
export function consoleTail(folders: Folders, name: string): string {
  const { consoleLog } = placesOf(folders, name);
  const text = [`${consoleLog}.old`, consoleLog].map((file) => readEnd(file)).join('');
  return text.slice(-tailBytes).replaceAll('\r', '');
}

/** The last line that QEMU itself wrote. */
export function lastError(places: VmPlaces): string {
  return (readEnd(places.qemuLog).trimEnd().split('\n').at(-1) ?? '').slice(0, 300);
}

function readEnd(file: string): string {
  try {
    return readFileSync(file).subarray(-tailBytes).toString('utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return '';
    throw error;
  }
}

/** QEMU appends for ever: what is long is cut to its end, in a second file. */
export function trimLog(folders: Folders, name: string): void {
  const { consoleLog } = placesOf(folders, name);
  if ((statSync(consoleLog, { throwIfNoEntry: false })?.size ?? 0) <= maxLogBytes) return;
  writeFileSync(`${consoleLog}.old`, readEnd(consoleLog), { mode: 0o600 });
  truncateSync(consoleLog);
}

/** Takes away what the VMs that are wanted do not need: seeds and logs at once, disks a week after their last use. */
export function sweep(folders: Folders, wanted: ReadonlyMap<string, VmSpec>, now: number): void {
  for (const name of list(vmsFolder(folders))) {
    const spec = wanted.get(name);
    const { folder } = placesOf(folders, name);
    if (statSync(folder, { throwIfNoEntry: false })?.isDirectory() !== true) continue;
    const image = spec?.machine.image;
    const used = spec === undefined ? [] : [seedName(spec), ...(image === undefined ? [] : [overlayName(image)])];
    for (const file of list(folder)) {
      const log = file.includes('.log');
      if (used.some((one) => file.startsWith(one)) || (log && spec !== undefined)) continue;
      const fresh = now - (statSync(join(folder, file), { throwIfNoEntry: false })?.mtimeMs ?? 0) < keepDiskMs;
      if (file.startsWith('overlay-') && fresh) continue;
      rmSync(join(folder, file), { force: true });
    }
    if (spec === undefined && list(folder).length === 0) rmdirSync(folder);
  }
}

function list(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}
