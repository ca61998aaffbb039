// x-forwarded-client-cert, as Envoy writes it: who the client is by the certificate that was verified, for backends
// that believe this router. What a client itself says there never goes on.
import type { CertificateDetail } from '../../mesh/snapshot.ts';
import type { PeerCertificate } from './spec.ts';

/** More than that nobody is told: a certificate may have any number of names. */
const MOST = 4096;

const lines = new WeakMap<PeerCertificate, { readonly details: readonly CertificateDetail[]; readonly line: Buffer }>();

/** The field as a line. What is too long, or can't stand in a field, leaves the hash alone. */
export function certificateLine(c: PeerCertificate, details: readonly CertificateDetail[]): Buffer {
  const known = lines.get(c);
  if (known?.details === details) return known.line;
  const line = lineOf(c, details);
  lines.set(c, { details, line });
  return line;
}

function lineOf({ by, hash, subject, uri, dns }: PeerCertificate, details: readonly CertificateDetail[]): Buffer {
  const pairs = (key: string, values: readonly string[]) => values.map((value) => `${key}=${quoted(value)}`);
  const all = [...pairs('By', by), `Hash=${hash}`];
  for (const detail of details) {
    if (detail === 'Subject') all.push(`Subject="${subject}"`);
    // Both keys stand also where there is none.
    else if (detail === 'URI') all.push(...(uri.length > 0 ? pairs('URI', uri) : ['URI=']));
    else all.push(...pairs('DNS', dns));
  }
  const text = all.join(';');
  const sound = text.length <= MOST && /^[\x20-\x7e]*$/.test(text);
  return Buffer.from(`x-forwarded-client-cert: ${sound ? text : `Hash=${hash}`}\r\n`, 'latin1');
}

/** What would end the value, or the element, is said in quotes. */
function quoted(value: string): string {
  return /[,;="\s]/.test(value) ? `"${value.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"` : value;
}
