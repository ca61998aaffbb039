// What a listener says of its connections and requests, apart from where they go: as its views have it.
import { parsePrefix } from '../../lib/prefix.ts';
import { certificateDetails, defaultPaths } from '../../mesh/snapshot.ts';
import type { Listener } from '../../mesh/snapshot.ts';
import type { ListenerView } from '../head/outcome.ts';
import { headBounds } from '../http1.ts';
import type { Bounds } from '../transport.ts';

type Settings = Pick<ListenerView, 'paths' | 'proxyFrom' | 'maxTunnelMs' | 'bounds' | 'maxRequests' | 'details'>;

/** For the listener's view, and those of its hosts with TLS. */
export function settingsOf(listener: Listener): Settings {
  const { paths = defaultPaths, proxyFrom, maxTunnelMs = 0, limits = {} } = listener;
  const { forwardCertificate = certificateDetails } = listener;
  const { headBytes = headBounds.bytes, headFields = headBounds.fields, targetBytes = headBounds.target } = limits;
  return {
    paths,
    proxyFrom: proxyFrom?.flatMap((text) => parsePrefix(text) ?? []),
    maxTunnelMs,
    bounds: { bytes: headBytes, fields: headFields, target: targetBytes },
    details: forwardCertificate === 'none' ? undefined : forwardCertificate,
    maxRequests: limits.requestsPerConnection ?? 0,
  };
}

/** Of its connections; behind a proxy clients are known when that has said who they are. */
export function boundsOf({ proxyFrom, limits }: Listener): Bounds {
  const { connections: most = 0, connectionsPerClient: perClient = 0 } = limits ?? {};
  return { most, perClient, later: proxyFrom !== undefined };
}
