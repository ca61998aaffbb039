import { listenerResource } from '../engine/kinds/listener.ts';
import type { Slice } from '../engine/slice.ts';
import { parseEndpoint } from '../lib/endpoint.ts';
import { apiSchema } from './schema.ts';

/** `api`: its sockets are resources, the server behind them is opened by main. */
export const api: Slice<typeof apiSchema> = {
  name: 'api',
  schema: apiSchema,
  compile: ({ listen }) => listen.flatMap((text) => parseEndpoint(text) ?? []).map((at) => listenerResource('api', at)),
};
