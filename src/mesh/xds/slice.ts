import { listenerResource } from '../../engine/kinds/listener.ts';
import { parseEndpoint } from '../../lib/endpoint.ts';
import type { Problem } from '../../config/problem.ts';
import type { Look, Slice } from '../../engine/slice.ts';
import { type XdsSection, xdsSchema } from './schema.ts';
import { showProxies } from './show.ts';

/** A TCP port without encryption is opened only where the writer says that it is one. */
export function checkXds(section: XdsSection, look: Look): readonly Problem[] {
  if (section.listen.length === 0 || section.plaintext) return [];
  const hint = 'xds.plaintext: true says that this is meant; proxies on this machine need no port';
  return [look.problem(['xds', 'listen'], 'the port would not be encrypted', hint)];
}

/** `xds`: the manager that programs Envoy proxies. */
export const xdsSlice: Slice<typeof xdsSchema> = {
  name: 'xds',
  schema: xdsSchema,
  check: checkXds,
  compile: ({ listen }) => listen.flatMap((text) => parseEndpoint(text) ?? []).map((at) => listenerResource('xds', at)),
  commands: [showProxies],
};
