// How many connections a filter chain of an Envoy has at once.
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { anyPack } from '@bufbuild/protobuf/wkt';
import type { Listener } from '../../snapshot.ts';
import type { FilterSchema } from '../gen/envoy/config/listener/v3/listener_components_pb.ts';
import {
  type ConnectionLimit,
  ConnectionLimitSchema,
} from '../gen/envoy/extensions/filters/network/connection_limit/v3/connection_limit_pb.ts';

/** What stands first in each chain of a listener with a limit: it closes what comes beyond. Each chain counts its own,
 * and counts anew where the listener has changed. */
export function connectionLimit({ name, limits }: Listener): MessageInitShape<typeof FilterSchema>[] {
  if (limits?.connections === undefined) return [];
  const maxConnections = BigInt(limits.connections);
  const limit: ConnectionLimit = create(ConnectionLimitSchema, { statPrefix: name, maxConnections });
  const value = anyPack(ConnectionLimitSchema, limit);
  return [{ name: 'envoy.filters.network.connection_limit', configType: { case: 'typedConfig', value } }];
}
