// Requests of HTTP/2 that are reset because they are malformed: none is begun, so no row tells that one is done, but
// log and counters do.
import { Exchange, recordOf } from '../head/outcome.ts';
import type { ListenerView } from '../head/outcome.ts';
import type { RequestHead } from '../http2/request.ts';
import type { Engine } from '../transport.ts';
import { WHY_NONE } from '../transport.ts';
import type { Clock } from '../../lib/clock.ts';
import type { CounterWriter } from './counters.ts';
import { NO_ROUTE } from './counters.ts';
import type { AccessLog } from './log.ts';

export interface MalformedOptions {
  readonly clock: Clock;
  readonly counters: CounterWriter;
  readonly log: AccessLog | undefined;
  readonly listener: (id: number) => ListenerView | undefined;
  readonly host: (policy: string) => ListenerView | undefined;
}

/** Tells of a request that `conn` brought to the listener, with the status that it would have got over HTTP/1.1. */
export type Malformed = (conn: number, listener: number, status: number, request: RequestHead) => void;

export function tellMalformed(engine: Engine, o: MalformedOptions): Malformed {
  const x = new Exchange();
  return (conn, listener, status, request) => {
    const peer = engine.peer(conn);
    x.begin(conn);
    x.listener = peer.tls === undefined ? o.listener(listener) : o.host(peer.tls.policy);
    x.status = status;
    x.flags = 'bad-request';
    request.subject(x.subject);
    o.counters.done(NO_ROUTE, status, 0, 0, 0, false);
    o.log?.write(recordOf(x, peer, { now: o.clock.now(), us: 0, bytesIn: 0, bytesOut: 0, why: WHY_NONE }));
  };
}
