// What the engine is told of TLS, and what it tells of it.
import { hash } from 'node:crypto';

/** Of a client's certificate, which was verified. */
export interface PeerCertificate {
  /** SHA-256, in hexadecimal digits. */
  readonly hash: string;
  /** RFC 2253. */
  readonly subject: string;
  /** Names of its subjectAltName. */
  readonly uri: readonly string[];
  readonly dns: readonly string[];
  /** URIs of the certificate that we showed. */
  readonly by: readonly string[];
}

export interface PeerTls {
  /** "TLSv1.3" */
  readonly protocol: string;
  /** What was chosen; "" where none was. */
  readonly alpn: string;
  readonly serverName: string;
  /** The only URI of the client's certificate, which was verified: its SPIFFE ID. "" where it has none, or several. */
  readonly uri: string;
  readonly resumed: boolean;
  /** policyName() of the context it was made with. */
  readonly policy: string;
  readonly certificate?: PeerCertificate;
}

/** Certificates and rules of TLS, for connections of clients or to upstreams. All files are PEM. */
export interface TlsSpec {
  readonly side: 'server' | 'client';
  /** One a kind of key (ECDSA, RSA). */
  readonly certificates: readonly { readonly chain: string; readonly key: string }[];
  /** Who is trusted. */
  readonly ca?: string;
  /** Revoked certificates; then each issuer of a chain must have its list here. */
  readonly crl?: string;
  /** Whether the other side is verified: never, if it gives a certificate, or always. */
  readonly verify: 'never' | 'given' | 'always';
  readonly minimum: 'TLSv1.2' | 'TLSv1.3';
  /** In the order of preference; none: not negotiated. */
  readonly alpn: readonly string[];
  /** Sessions are resumed, and connections go on in another engine, only within one policy. */
  readonly policy?: string;
}

/** A policy as the engine knows it. */
export function policyName(policy = ''): string {
  return hash('sha256', policy, 'hex');
}

/** How connections to an endpoint are secured. */
export interface EndpointTls {
  readonly context: number;
  /** SNI; absent: none. */
  readonly serverName?: string;
  /** Hosts, addresses or URIs, one of which the certificate must have; none: any that the context trusts. */
  readonly names: readonly string[];
}

/** Handshakes of clients: done, and of these resumed; and those that failed, by reason. */
export interface TlsCounts {
  readonly tlsHandshakes: number;
  readonly tlsResumed: number;
  /** No version, cipher, group or protocol in common. */
  readonly tlsUnshared: number;
  /** The client's certificate: none, or not to be trusted. */
  readonly tlsCertificate: number;
  /** The client gave up: it does not trust ours, for instance. */
  readonly tlsAlert: number;
  /** It went away, or was too slow. */
  readonly tlsCut: number;
  readonly tlsOther: number;
}

export const noTlsCounts: TlsCounts = {
  tlsHandshakes: 0,
  tlsResumed: 0,
  tlsUnshared: 0,
  tlsCertificate: 0,
  tlsAlert: 0,
  tlsCut: 0,
  tlsOther: 0,
};
