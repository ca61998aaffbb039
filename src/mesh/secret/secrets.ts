// The secrets that listeners and clusters may name.
import type { Typed } from '../manifest/read.ts';
import type { Secret } from '../snapshot.ts';
import { pieceOf, pieceOfMap } from './content.ts';
import type { ConfigMapObject, SecretObject } from './schema.ts';

export interface Secrets {
  /** A Secret, or what of TLS lies in a ConfigMap. */
  find(kind: 'Secret' | 'ConfigMap', namespace: string, name: string): Secret | undefined;
  /** One with the authorities and lists of all these. */
  together(list: readonly Secret[]): Secret;
  /** Those of the names that were found or put together. */
  named(names: ReadonlySet<string>): readonly Secret[];
}

/** Secrets of the manifests that are in order. */
export function secretsOf(secrets: readonly Typed<SecretObject>[], maps: readonly Typed<ConfigMapObject>[]): Secrets {
  const all = new Map<string, Secret>();
  for (const { key, spec } of secrets) {
    const parts = (['chain', 'key', 'ca', 'crl'] as const).flatMap((part) => {
      const piece = pieceOf(spec, part);
      return piece === undefined ? [] : [[part, piece.text] as const];
    });
    all.set(key, { name: key, ...Object.fromEntries(parts) });
  }
  for (const { key, spec } of maps) {
    const ca = pieceOfMap(spec, 'ca')?.text;
    const crl = pieceOfMap(spec, 'crl')?.text;
    const name = `configmap/${key}`;
    all.set(name, { name, ...(ca !== undefined && { ca }), ...(crl !== undefined && { crl }) });
  }
  return {
    find: (kind, namespace, name) => all.get(`${kind === 'ConfigMap' ? 'configmap/' : ''}${namespace}/${name}`),
    together(list) {
      const [first] = list;
      if (list.length === 1 && first !== undefined) return first;
      const join = (part: 'ca' | 'crl') => list.flatMap((secret) => secret[part] ?? []).join('\n');
      const name = list.map((secret) => secret.name).join('+');
      const secret = { name, ca: join('ca'), ...(list.some((s) => s.crl !== undefined) && { crl: join('crl') }) };
      all.set(name, secret);
      return secret;
    },
    named: (names) => [...names].toSorted().flatMap((name) => all.get(name) ?? []),
  };
}
