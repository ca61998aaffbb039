// What lies in a Secret or ConfigMap: PEM under the names that Kubernetes and Istio give it.
import type { Path } from '../../config/path.ts';
import type { ConfigMapObject, SecretObject } from './schema.ts';

export type Part = 'chain' | 'key' | 'ca' | 'crl';

export interface Piece {
  readonly text: string;
  /** Where it stands in the object. */
  readonly path: Path;
}

/** kubernetes.io/tls, then Istio's generic names. */
const names: Readonly<Record<Part, readonly string[]>> = {
  chain: ['tls.crt', 'cert'],
  key: ['tls.key', 'key'],
  ca: ['ca.crt', 'cacert'],
  crl: ['ca.crl', 'crl'],
};

/** One part of a Secret; stringData goes before data, as in Kubernetes. */
export function pieceOf(secret: SecretObject, part: Part): Piece | undefined {
  for (const name of names[part]) {
    const plain = secret.stringData[name];
    if (plain !== undefined) return { text: plain, path: ['stringData', name] };
    const coded = secret.data[name];
    if (coded !== undefined) return { text: Buffer.from(coded, 'base64').toString('latin1'), path: ['data', name] };
  }
  return undefined;
}

/** An authority of a ConfigMap, or its revocation list. */
export function pieceOfMap(map: ConfigMapObject, part: 'ca' | 'crl'): Piece | undefined {
  for (const name of names[part]) {
    const text = map.data[name];
    if (text !== undefined) return { text, path: ['data', name] };
  }
  return undefined;
}
