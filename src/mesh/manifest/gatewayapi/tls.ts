// TLS of a Gateway's listener: the certificates it refers to, and whom clients must be.
import type { Secret, TlsHost } from '../../snapshot.ts';
import type { Secrets } from '../../secret/secrets.ts';
import type { Typed } from '../read.ts';
import { bad, type Condition } from '../status.ts';
import type { Grants } from './grant.ts';
import type { CertificateRef, FrontendValidation, GatewayListener, GatewaySpec } from './schema.ts';

export type BoundTls = Omit<TlsHost, 'host' | 'routes'>;

export interface ListenerTls {
  /** Absent: the listener can't be served. */
  readonly tls?: BoundTls;
  readonly troubles: readonly Condition[];
}

/** Looks up what a listener refers to whose TLS ends here. With one certificate that is there it serves; of the
 * authorities for clients none may be missing. */
export function listenerTls(
  gateway: Typed<GatewaySpec>,
  listener: GatewayListener,
  secrets: Secrets,
  grants: Grants,
): ListenerTls {
  const troubles: Condition[] = [];
  const look = (ref: CertificateRef, kinds: readonly string[], what: keyof Secret): Secret | undefined => {
    const namespace = ref.namespace ?? gateway.namespace;
    const refuse = (reason: string, message: string): undefined =>
      void troubles.push(bad('ResolvedRefs', reason, message));
    const invalid = what === 'ca' ? 'InvalidCACertificateRef' : 'InvalidCertificateRef';
    if (ref.group !== '' || !kinds.includes(ref.kind)) {
      return refuse(invalid, `${kinds.join(' or ')} is expected, not ${ref.kind} ${ref.name}`);
    }
    if (!grants('Gateway', gateway.namespace, namespace, ref.name, ref.kind)) {
      const message = `no ReferenceGrant in ${namespace} lets Gateways of ${gateway.namespace} use ${ref.name}`;
      return refuse('RefNotPermitted', message);
    }
    const found = secrets.find(ref.kind === 'ConfigMap' ? 'ConfigMap' : 'Secret', namespace, ref.name);
    if (found?.[what] !== undefined) return found;
    const lack = found === undefined ? 'there is no' : `no ${what === 'ca' ? 'ca.crt' : 'tls.crt and tls.key'} in`;
    return refuse(invalid, `${lack} ${ref.kind} ${namespace}/${ref.name}`);
  };
  const certificates = (listener.tls?.certificateRefs ?? []).flatMap((ref) => {
    const found = look(ref, ['Secret'], 'chain');
    return found?.key === undefined ? [] : [found.name];
  });
  const before = troubles.length;
  const validation = validationOf(gateway.spec, listener);
  const authorities = (validation?.caCertificateRefs ?? []).flatMap(
    (ref) => look(ref, ['ConfigMap', 'Secret'], 'ca') ?? [],
  );
  if ((listener.tls?.certificateRefs ?? []).length === 0) {
    troubles.push(bad('ResolvedRefs', 'InvalidCertificateRef', 'tls.certificateRefs is missing: TLS ends here'));
  }
  if (certificates.length === 0 || troubles.length > before) return { troubles };
  const client = validation && { client: { required: true, trust: secrets.together(authorities).name } };
  return { tls: { certificates, minimum: 'TLSv1.2', ...client }, troubles };
}

/** The listener's own, else that of its port, else the Gateway's default. */
function validationOf(spec: GatewaySpec, { port, tls }: GatewayListener): FrontendValidation | undefined {
  const { frontend } = spec.tls ?? {};
  const own = frontend?.perPort.find((each) => each.port === port);
  return tls?.frontendValidation ?? (own === undefined ? frontend?.default?.validation : own.tls.validation);
}
