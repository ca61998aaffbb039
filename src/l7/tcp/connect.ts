// CONNECT as a route lets it in: a tunnel to the route's backend, of which the client hears once it stands.
import type { Emitter } from '../head/emit.ts';
import type { Exchange } from '../head/outcome.ts';
import * as t from '../transport.ts';

/** Template of the answer. */
export const CONNECT_TEMPLATE = 2;
export const connectTemplate = Buffer.from('HTTP/1.1 200 OK\r\n\r\n');

/** Turns the row of `e`, which names an endpoint, into a tunnel; what `e` holds goes before what the client says. */
export function emitConnect(e: Emitter, base: number, x: Exchange): void {
  x.status = 200;
  x.flags = 'connected';
  e.rows[base + t.W_ACTION] = t.TUNNEL;
  e.rows[base + t.W_DEADLINE] = x.listener?.maxTunnelMs ?? 0;
  e.end(CONNECT_TEMPLATE);
}
