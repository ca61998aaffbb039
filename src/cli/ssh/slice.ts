import { listenerResource } from '../../engine/kinds/listener.ts';
import type { Slice } from '../../engine/slice.ts';
import { parseEndpoint } from '../../lib/endpoint.ts';
import { sshSchema } from './schema.ts';

/** `ssh`: its sockets are resources, the server behind them is opened by main. */
export const ssh: Slice<typeof sshSchema> = {
  name: 'ssh',
  schema: sshSchema,
  compile: ({ listen }) => listen.flatMap((text) => parseEndpoint(text) ?? []).map((at) => listenerResource('ssh', at)),
};
