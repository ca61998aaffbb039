// A slice of toys: its section says which there are, and which are slow, take long to start, or name a file.
import { z } from 'zod';
import { FaultError } from '../../src/engine/faults.ts';
import type { AnyDriver, Ref } from '../../src/engine/resource.ts';
import type { AnySlice, Slice } from '../../src/engine/slice.ts';
import { toy, type ToySpec, type ToyWorld } from './toys.ts';

const section = z
  .record(
    z.string(),
    z.strictObject({
      value: z.int().default(0),
      claims: z.array(z.string()).default([]),
      on: z.string().optional(),
      file: z.string().optional(),
    }),
  )
  .default({});

export interface ToyBox {
  readonly slice: AnySlice;
  /** Told of each preparation; what it throws or waits for is the preparation. */
  prepare: (ref: Ref, signal: AbortSignal) => Promise<void> | void;
  settle: (ref: Ref, signal: AbortSignal) => Promise<void> | void;
  /** Files as the toys have them. */
  readonly files: Map<string, string>;
}

/** `toys: { a: { value: 1, claims: [p], on: b } }`; toys named g… are guests: prepared and settled. */
export function toyBox(world: ToyWorld): ToyBox {
  const box: ToyBox = {
    slice: undefined as never,
    prepare: () => undefined,
    settle: () => undefined,
    files: new Map(),
  };
  const guests: AnyDriver = {
    ...world.drivers.get('y')!,
    prepare: async (spec: ToySpec, progress, signal) => {
      progress('getting ready', 0.5);
      await box.prepare(`y/${spec.claims[0] ?? ''}`, signal);
    },
    settle: async (_spec, ref, signal) => box.settle(ref, signal),
  };
  const slice: Slice<typeof section> = {
    name: 'toys',
    schema: section,
    manifests: ['example.dev/Toy'],
    check: (toys, look) =>
      Object.entries(toys).flatMap(([name, { file }]) =>
        file !== undefined && look.file(file) === undefined
          ? [look.problem(['toys', name, 'file'], 'no such file')]
          : [],
      ),
    compile: (toys, look) => {
      const refOf = (name: string): Ref => `${name.startsWith('g') ? 'y' : name.startsWith('r') ? 'z' : 'x'}/${name}`;
      const named = look.manifests('example.dev/Toy').map(({ metadata }) => toy(`x/${metadata.name}`));
      const own = Object.entries(toys).map(([name, { value, claims, on, file }]) => {
        const content = file === undefined ? undefined : Buffer.from(look.file(file) ?? []).toString();
        if (content !== undefined) box.files.set(name, content);
        return toy(refOf(name), {
          value,
          claims: name.startsWith('g') ? [name, ...claims] : claims,
          body: content?.length ?? 0,
          stands: on === undefined ? [] : [refOf(on)],
        });
      });
      return [...named, ...own];
    },
    drivers: () => [world.drivers.get('x')!, guests, world.drivers.get('z')!],
  };
  return Object.assign(box, { slice });
}

export const noImage = (ref: Ref): FaultError => new FaultError('no-image', ref, 'the image is not there', true);
