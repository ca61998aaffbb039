// Certificates for tests, made by OpenSSL's own command in a folder that goes with the test.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface Issued {
  /** PEM: the certificate, then its key. */
  readonly chain: string;
  readonly key: string;
  readonly chainFile: string;
  readonly keyFile: string;
}

export interface Pki extends Disposable {
  readonly folder: string;
  /** PEM of the authority. */
  readonly ca: string;
  readonly caFile: string;
  /** A certificate with these names: "DNS:a.test,URI:spiffe://td/ns/a/sa/b". */
  issue(name: string, names: string, more?: { readonly rsa?: boolean; readonly days?: number }): Issued;
  /** The revocation list, with these in it. */
  revoke(...list: readonly Issued[]): string;
  /** The revocation list, of a time that is over. */
  stale(): string;
}

/** An authority of its own, with ECDSA keys where nothing else is asked for. */
export function pki(cn = 'Test CA'): Pki {
  const folder = mkdtempSync(join(tmpdir(), 'midplane-pki-'));
  const at = (name: string) => join(folder, name);
  const openssl = (...args: readonly string[]) =>
    execFileSync('/usr/bin/openssl', args, { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] });
  const read = (name: string) => readFileSync(at(name), 'utf8');
  const ec = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  openssl('req', '-x509', ...ec, '-keyout', 'ca.key', '-out', 'ca.crt', '-days', '30', '-subj', `/CN=${cn}`);
  writeFileSync(at('index.txt'), '');
  writeFileSync(at('crlnumber'), '01\n');
  writeFileSync(
    at('ca.cnf'),
    '[ca]\ndefault_ca=d\n[d]\ndatabase=index.txt\ncrlnumber=crlnumber\ndefault_md=sha256\ndefault_crl_days=30\n' +
      'certificate=ca.crt\nprivate_key=ca.key\n',
  );
  return {
    folder,
    ca: read('ca.crt'),
    caFile: at('ca.crt'),
    issue(name, names, { rsa = false, days = 10 } = {}) {
      const kind = rsa ? ['-newkey', 'rsa:2048', '-nodes'] : ec;
      openssl('req', ...kind, '-keyout', `${name}.key`, '-out', `${name}.csr`, '-subj', `/CN=${name}`);
      writeFileSync(at(`${name}.ext`), names === '' ? 'basicConstraints=CA:FALSE\n' : `subjectAltName=${names}\n`);
      const signed = ['-CA', 'ca.crt', '-CAkey', 'ca.key', '-CAcreateserial', '-extfile', `${name}.ext`];
      openssl('x509', '-req', '-in', `${name}.csr`, ...signed, '-days', String(days), '-out', `${name}.crt`);
      const [chainFile, keyFile] = [at(`${name}.crt`), at(`${name}.key`)];
      return { chain: read(`${name}.crt`), key: read(`${name}.key`), chainFile, keyFile };
    },
    revoke(...list) {
      for (const { chainFile } of list) openssl('ca', '-config', 'ca.cnf', '-revoke', chainFile);
      openssl('ca', '-config', 'ca.cnf', '-gencrl', '-out', 'ca.crl');
      return read('ca.crl');
    },
    stale() {
      const times = ['-crl_lastupdate', '20200101000000Z', '-crl_nextupdate', '20200102000000Z'];
      openssl('ca', '-config', 'ca.cnf', '-gencrl', ...times, '-out', 'stale.crl');
      return read('stale.crl');
    },
    [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true }),
  };
}
