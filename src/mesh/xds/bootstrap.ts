// The file that an unmodified Envoy starts with, to be programmed by this switch.
import { stringify } from 'yaml';
import type { ProxyScope } from './scopes.ts';
import type { Variant } from './subscription.ts';

export interface BootstrapOptions {
  readonly role: ProxyScope;
  /** Name of the proxy: node.id. */
  readonly id: string;
  /** Where the manager is. */
  readonly xds: { readonly path: string } | { readonly address: string; readonly port: number };
  /** Default: delta, which sends differences only. */
  readonly variant?: Variant;
  /** Port of Envoy's admin interface, on loopback, or a unix socket for it. Default: none is opened. */
  readonly admin?: { readonly port: number } | { readonly path: string };
}

/** The bootstrap as YAML. Listeners and clusters come over one stream; nothing but an admin interface that is asked for
 * is opened by the file itself. */
export function bootstrap(options: BootstrapOptions): string {
  const { role, id, xds, variant = 'delta', admin } = options;
  const source = { resource_api_version: 'V3', ads: {} };
  return stringify({
    node: { id, cluster: role, metadata: { MIDPLANE_ROLE: role } },
    ...(admin && { admin: { address: 'port' in admin ? socket('127.0.0.1', admin.port) : pipe(admin.path) } }),
    dynamic_resources: {
      ads_config: {
        api_type: variant === 'delta' ? 'DELTA_GRPC' : 'GRPC',
        transport_api_version: 'V3',
        set_node_on_first_message_only: true,
        grpc_services: [{ envoy_grpc: { cluster_name: 'midplane-xds' } }],
      },
      cds_config: source,
      lds_config: source,
    },
    static_resources: { clusters: [managerCluster('path' in xds ? pipe(xds.path) : socket(xds.address, xds.port))] },
  });
}

function managerCluster(address: unknown) {
  return {
    name: 'midplane-xds',
    type: 'STATIC',
    connect_timeout: '1s',
    load_assignment: {
      cluster_name: 'midplane-xds',
      endpoints: [{ lb_endpoints: [{ endpoint: { address } }] }],
    },
    typed_extension_protocol_options: {
      'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
        '@type': 'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
        explicit_http_config: {
          // A manager that is gone without a word is noticed.
          http2_protocol_options: { connection_keepalive: { interval: '30s', timeout: '10s' } },
        },
      },
    },
  };
}

function socket(address: string, port: number) {
  return { socket_address: { address, port_value: port } };
}

function pipe(path: string) {
  return { pipe: { path } };
}
