// Certificates and keys are looked at when a document is checked, not when the first client comes. Nothing of a key
// goes into a message.
import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { createSecureContext } from 'node:tls';
import type { Path } from '../../config/path.ts';
import type { Rules } from '../manifest/read.ts';
import { type Piece, pieceOf, pieceOfMap } from './content.ts';
import type { ConfigMapObject, SecretObject } from './schema.ts';

type Complain = (path: Path, message: string, hint?: string) => void;

/** Of a chain and a key; authorities may be many. */
const MOST = 64 * 1024;
const MOST_AUTHORITIES = 1 << 20;
const MOST_CHAIN = 10;
const block = /-----BEGIN ([A-Z0-9 ]+)-----[^-]*-----END \1-----/g;

/** Rules of a Secret: what it holds of TLS is in order, and fits together. */
export const secretRules: Rules<SecretObject> = (secret, complain) => {
  const chain = pieceOf(secret, 'chain');
  const key = pieceOf(secret, 'key');
  if (secret.type === 'kubernetes.io/tls' && (chain === undefined || key === undefined)) {
    complain(
      ['type'],
      `kubernetes.io/tls has tls.crt and tls.key: ${chain === undefined ? 'tls.crt' : 'tls.key'} is missing`,
    );
  }
  const leaf = chain === undefined ? undefined : certificates(chain, MOST, complain)?.[0];
  const secretKey = key === undefined ? undefined : privateKey(key, complain);
  authorities(pieceOf(secret, 'ca'), pieceOf(secret, 'crl'), complain);
  if (leaf === undefined || secretKey === undefined || chain === undefined || key === undefined) return;
  if (!leaf.checkPrivateKey(secretKey)) return complain(key.path, 'the key is not that of the certificate');
  usable(chain, key, complain);
};

/** Rules of a ConfigMap. */
export const configMapRules: Rules<ConfigMapObject> = (map, complain) =>
  authorities(pieceOfMap(map, 'ca'), pieceOfMap(map, 'crl'), complain);

function certificates({ text, path }: Piece, most: number, complain: Complain): X509Certificate[] | undefined {
  const wrong = (message: string): undefined => {
    complain(path, message);
    return undefined;
  };
  if (text.length > most) return wrong(`is larger than ${most} bytes`);
  const blocks = [...text.matchAll(block)];
  if (blocks.length === 0) return wrong('holds no certificate as PEM');
  if (most === MOST && blocks.length > MOST_CHAIN)
    return wrong(`has more than ${MOST_CHAIN} certificates in its chain`);
  const list: X509Certificate[] = [];
  for (const [i, [pem, label = '']] of blocks.entries()) {
    if (label !== 'CERTIFICATE') return wrong(`has a block ${label}: certificates are expected`);
    try {
      list.push(new X509Certificate(pem));
    } catch {
      return wrong(`certificate ${i + 1} can't be read`);
    }
  }
  return list;
}

function privateKey({ text, path }: Piece, complain: Complain): KeyObject | undefined {
  if (text.length > MOST) {
    complain(path, `is larger than ${MOST} bytes`);
    return undefined;
  }
  if (/ENCRYPTED/.test(text)) {
    complain(path, 'the key is encrypted: there is nobody to ask for its pass phrase');
    return undefined;
  }
  try {
    return createPrivateKey(text);
  } catch {
    complain(path, 'holds no private key as PEM that can be read');
    return undefined;
  }
}

function authorities(ca: Piece | undefined, crl: Piece | undefined, complain: Complain): void {
  if (ca !== undefined) certificates(ca, MOST_AUTHORITIES, complain);
  if (crl === undefined) return;
  if (crl.text.length > MOST_AUTHORITIES) return complain(crl.path, `is larger than ${MOST_AUTHORITIES} bytes`);
  try {
    createSecureContext({ crl: crl.text });
  } catch {
    complain(crl.path, 'holds no revocation list as PEM that can be read');
  }
}

/** OpenSSL takes them: keys that are too short, for instance, it does not. */
function usable(chain: Piece, key: Piece, complain: Complain): void {
  try {
    createSecureContext({ cert: chain.text, key: key.text, ciphers: 'DEFAULT@SECLEVEL=2' });
  } catch (error) {
    const reason = /:([a-z ]+)$/.exec((error as Error).message)?.[1] ?? 'not usable';
    complain(chain.path, `OpenSSL refuses it: ${reason}`);
  }
}
