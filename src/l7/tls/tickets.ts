// Keys of session tickets: the same in all workers, made anew every few hours, so that a key that is stolen opens
// little. Never on disk: after a restart clients make whole handshakes.
import { randomBytes } from 'node:crypto';
import { TICKET_KEY } from '../transport.ts';

/** Longer than a ticket lasts, so that the key before opens all that are valid. */
export const TICKET_KEY_MS = 4 * 3600 * 1000;

export interface TicketKeys {
  readonly current: Uint8Array;
  readonly previous: Uint8Array;
}

/** Two keys that nobody knows yet. */
export function newTicketKeys(): TicketKeys {
  return { current: randomBytes(TICKET_KEY), previous: randomBytes(TICKET_KEY) };
}

/** A new key, and the last one behind it. */
export function nextTicketKeys({ current }: TicketKeys): TicketKeys {
  return { current: randomBytes(TICKET_KEY), previous: current };
}
