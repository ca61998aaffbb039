// A connection of HTTP/2 that has no stream, as plain data: what another worker needs to go on with it.
import type { FrameWriter } from '../http2/frames.ts';
import { Session } from '../http2/session.ts';
import type { Role } from '../http2/session.ts';
import type { TableState } from '../http2/hpack/table.ts';

export interface SessionState {
  readonly last: number;
  readonly sendWindow: number;
  readonly receiveWindow: number;
  readonly window: number;
  readonly maxFrame: number;
  readonly maxStreams: number;
  readonly connectProtocol: boolean;
  /** Null: any number. */
  readonly requestsLeft: number | null;
  readonly forgiven: readonly number[];
  readonly table: TableState;
}

/** Undefined: something is under way on it, or it is about to end. */
export function saveSession(s: Session): SessionState | undefined {
  const busy = s.streams.count > 0 || s.open !== 0 || s.queued > 0;
  if (busy || s.draining || s.failed || !s.greeted || !s.settled) return undefined;
  const { last, sendWindow, receiveWindow, window, maxFrame, maxStreams, connectProtocol } = s;
  const plain = { last, sendWindow, receiveWindow, window, maxFrame, maxStreams, connectProtocol };
  const requestsLeft = Number.isFinite(s.requestsLeft) ? s.requestsLeft : null;
  return { ...plain, requestsLeft, forgiven: s.forgiven.all(), table: s.decoder.table.save() };
}

export function restoreSession(state: SessionState, conn: number, role: Role, out: FrameWriter): Session {
  const { requestsLeft, forgiven, table, ...plain } = state;
  const s = Object.assign(new Session(conn, role, out), plain);
  s.requestsLeft = requestsLeft ?? Infinity;
  s.greeted = s.settled = true;
  for (const id of forgiven) s.forgiven.add(id);
  s.decoder.table.restore(table);
  return s;
}
