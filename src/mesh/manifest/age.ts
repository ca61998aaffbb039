import type { Manifest } from '../../config/manifest.ts';

/** When a manifest was first seen, milliseconds since 1970 or a revision's number; undefined where nobody knows. */
export type FirstSeen = (manifest: Manifest) => number | undefined;

/** The order of manifests that nothing else decides between: by creationTimestamp (those with one first), else by the
 * time they were first seen, else by namespace and name. Less than 0: `a` goes first. */
export function compareAge(a: Manifest, b: Manifest, firstSeen: FirstSeen = () => undefined): number {
  if (a === b) return 0;
  return (
    compareKnown(created(a), created(b)) || compareKnown(firstSeen(a), firstSeen(b)) || compareText(keyOf(a), keyOf(b))
  );
}

/** Code unit order, the same on every machine. */
export function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function keyOf(manifest: Manifest): string {
  return `${manifest.metadata.namespace}/${manifest.metadata.name}`;
}

function created({ metadata }: Manifest): number | undefined {
  if (metadata.creationTimestamp === undefined) return undefined;
  const when = Date.parse(metadata.creationTimestamp);
  return Number.isNaN(when) ? undefined : when;
}

function compareKnown(a: number | undefined, b: number | undefined): number {
  if (a === b) return 0;
  if (a === undefined) return 1;
  return b === undefined ? -1 : a - b;
}
