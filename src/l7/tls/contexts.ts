// Contexts of a worker: what listeners and clusters say of TLS, with the secrets that they name, as the engine takes
// it. One is made when something of it changes; connections that stand keep theirs, and nothing is connected anew.
import { hash } from 'node:crypto';
import { getCACertificates } from 'node:tls';
import type { ClusterKey, ClusterTls, Listener, Secret, Snapshot, TlsHost } from '../../mesh/snapshot.ts';
import type { Engine } from '../transport.ts';
import type { TlsSpec } from './spec.ts';

type Secrets = ReadonlyMap<string, Secret>;

/** A context of the engine. */
export interface Context {
  /** The same content has the same key. */
  readonly key: string;
  /** What decides whom a client must be: sessions and connections of another policy are not taken on. */
  readonly policy: string;
  readonly id: number;
}

const certificatesOf = (names: readonly string[], secrets: Secrets): TlsSpec['certificates'] =>
  names.map((name) => {
    const { chain, key } = secrets.get(name) ?? {};
    if (chain === undefined || key === undefined) throw new Error(`secret ${name} has no certificate and key`);
    return { chain, key };
  });

function trustOf(name: string, secrets: Secrets): Pick<TlsSpec, 'ca' | 'crl'> {
  const { ca, crl } = secrets.get(name) ?? {};
  if (ca === undefined) throw new Error(`secret ${name} has no authority`);
  return { ca, ...(crl !== undefined && { crl }) };
}

/** Of a listener's host. Throws where a secret lacks what it is named for. */
function serverSpec(listener: string, host: TlsHost, secrets: Secrets): TlsSpec & { readonly policy: string } {
  const { client, minimum } = host;
  const rules = {
    verify: client === undefined ? ('never' as const) : client.required ? ('always' as const) : ('given' as const),
    ...(client !== undefined && trustOf(client.trust, secrets)),
    minimum,
  };
  return {
    side: 'server',
    certificates: certificatesOf(host.certificates, secrets),
    ...rules,
    alpn: ['h2', 'http/1.1'],
    policy: hash('sha256', JSON.stringify([listener, host.host, rules]), 'hex'),
  };
}

/** Of a cluster. */
function clientSpec(tls: ClusterTls, http2: boolean, secrets: Secrets): TlsSpec {
  const trust = tls.trust === undefined ? { ca: getCACertificates('system').join('\n') } : trustOf(tls.trust, secrets);
  return {
    side: 'client',
    certificates: certificatesOf(tls.certificate === undefined ? [] : [tls.certificate], secrets),
    ...trust,
    verify: 'always',
    minimum: 'TLSv1.2',
    alpn: [http2 ? 'h2' : 'http/1.1'],
  };
}

/** The contexts of a worker by who uses them: hostUser() of a listener's host, clusterUser() of a cluster. */
export class Contexts {
  private readonly engine: Engine;
  private inForce: ReadonlyMap<string, Context> = new Map();

  constructor(engine: Engine) {
    this.engine = engine;
  }

  /** Makes what is new. Throws an Error that says whose TLS can't be had, having undone what it made. */
  prepare(snapshot: Snapshot): ReadonlyMap<string, Context> {
    const secrets: Secrets = new Map(snapshot.secrets.map((secret) => [secret.name, secret]));
    const next = new Map<string, Context>();
    const add = (user: string, spec: () => TlsSpec): void => {
      try {
        next.set(user, this.contextOf(user, spec()));
      } catch (error) {
        this.abort(next);
        throw new Error(`TLS of ${user}: ${(error as Error).message}`, { cause: error });
      }
    };
    for (const listener of snapshot.listeners)
      for (const host of listener.tls ?? [])
        add(hostUser(listener, host), () => serverSpec(listener.name, host, secrets));
    for (const { key, tls, protocol } of snapshot.clusters)
      if (tls !== undefined) add(clusterUser(key), () => clientSpec(tls, protocol === 'HTTP/2', secrets));
    return next;
  }

  private contextOf(user: string, spec: TlsSpec): Context {
    const key = hash('sha256', JSON.stringify(spec), 'hex');
    const old = this.inForce.get(user);
    if (old?.key === key) return old;
    return { key, policy: spec.policy ?? '', id: this.engine.tlsContext(spec) };
  }

  /** Puts them in force. */
  commit(next: ReadonlyMap<string, Context>): void {
    for (const [user, { id }] of this.inForce) if (next.get(user)?.id !== id) this.engine.dropTlsContext(id);
    this.inForce = next;
  }

  abort(next: ReadonlyMap<string, Context>): void {
    for (const [user, { id }] of next) if (this.inForce.get(user)?.id !== id) this.engine.dropTlsContext(id);
  }
}

/** A host of a listener as a user of a context. */
export function hostUser(listener: Listener, host: TlsHost): string {
  return `listener ${listener.name} host ${host.host}`;
}

/** A cluster as a user of a context. */
export function clusterUser(key: ClusterKey): string {
  return `cluster ${key}`;
}
