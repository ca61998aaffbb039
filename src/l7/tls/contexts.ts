// Contexts of a worker: what listeners and clusters say of TLS, with the secrets that they name, as the engine takes
// it. One is made when something of it changes; connections that stand keep theirs, and nothing is connected anew.
import { hash } from 'node:crypto';
import { getCACertificates } from 'node:tls';
import { Overlay } from '../worker/overlay.ts';
import type { Cluster, ClusterKey, ClusterTls, Listener, Secret, TlsHost } from '../../mesh/snapshot.ts';
import type { Engine } from '../transport.ts';
import { policyName } from './spec.ts';
import type { TlsSpec } from './spec.ts';

type Secrets = Pick<Overlay<Secret>, 'get'>;

/** A context of the engine. */
export interface Context {
  /** The same content has the same key. */
  readonly key: string;
  /** policyName(): what decides whom a client must be. Sessions and connections of another are not taken on. */
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
function serverSpec(
  { name, protocol }: Listener,
  host: TlsHost,
  secrets: Secrets,
): TlsSpec & { readonly policy: string } {
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
    alpn: protocol === 'HTTPS' ? ['h2', 'http/1.1'] : [],
    // What is in a connection is of the policy too: one of HTTP is none of those that go on as they come.
    policy: hash('sha256', JSON.stringify([name, protocol, host.host, rules]), 'hex'),
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
  private readonly inForce = new Map<string, Context>();

  constructor(engine: Engine) {
    this.engine = engine;
  }

  begin(): Overlay<Context> {
    return new Overlay(this.inForce, false);
  }

  /** Makes what is new of listeners and clusters that change. Throws an Error that says whose TLS can't be had. */
  *prepare(
    next: Overlay<Context>,
    listeners: Overlay<Listener>,
    clusters: Overlay<Cluster>,
    secrets: Overlay<Secret>,
  ): Generator<undefined, void, undefined> {
    for (const name of [...listeners.gone, ...listeners.put.keys()]) {
      const old = listeners.base.get(name);
      for (const host of old?.tls ?? []) next.drop(hostUser(old!, host));
    }
    for (const key of [...clusters.gone, ...clusters.put.keys()]) next.drop(clusterUser(key));
    for (const listener of listeners.put.values()) {
      for (const host of listener.tls ?? []) {
        this.add(next, hostUser(listener, host), () => serverSpec(listener, host, secrets));
        yield;
      }
    }
    for (const { key, tls, protocol } of clusters.put.values()) {
      if (tls !== undefined) this.add(next, clusterUser(key), () => clientSpec(tls, protocol === 'HTTP/2', secrets));
      yield;
    }
  }

  private add(next: Overlay<Context>, user: string, specOf: () => TlsSpec): void {
    try {
      const spec = specOf();
      const key = hash('sha256', JSON.stringify(spec), 'hex');
      const old = this.inForce.get(user);
      next.set(
        user,
        old?.key === key ? old : { key, policy: policyName(spec.policy), id: this.engine.tlsContext(spec) },
      );
    } catch (error) {
      throw new Error(`TLS of ${user}: ${(error as Error).message}`, { cause: error });
    }
  }

  /** Puts them in force. */
  commit(next: Overlay<Context>): void {
    for (const user of [...next.gone, ...next.put.keys()]) {
      const old = this.inForce.get(user);
      if (old !== undefined && next.get(user)?.id !== old.id) this.engine.dropTlsContext(old.id);
    }
    next.merge();
  }

  /** Undoes what was made. */
  abort(next: Overlay<Context>): void {
    for (const [user, { id }] of next.put) if (this.inForce.get(user)?.id !== id) this.engine.dropTlsContext(id);
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
