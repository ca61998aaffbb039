// How many connections a listener of the node:net engine has, of all and of one client.
import { parseIp } from '../../lib/ip.ts';
import type { Conn, Crowd } from './conn.ts';

/** Nobody, within no bounds. */
export function newCrowd(): Crowd {
  return { bounds: { most: 0, perClient: 0, later: false }, count: 0, clients: new Map() };
}

/** An address; of IPv6 its network of 64 bits. */
function clientOf(address: string): string {
  const bytes = parseIp(address)?.bytes ?? new Uint8Array();
  return Buffer.from(bytes.length === 16 ? bytes.subarray(0, 8) : bytes).toString('hex');
}

/** Whether one more may come. */
export function hasRoom({ bounds, count, clients }: Crowd, address: string): boolean {
  const { most, perClient, later } = bounds;
  if (most > 0 && count >= most) return false;
  return later || perClient === 0 || (clients.get(clientOf(address)) ?? 0) < perClient;
}

/** Counts one as that client's. */
export function enter(c: Conn, address: string): void {
  const { clients } = c.listener.crowd;
  c.client = clientOf(address);
  clients.set(c.client, (clients.get(c.client) ?? 0) + 1);
}

/** It is over. */
export function leave(c: Conn): void {
  const { crowd } = c.listener;
  crowd.count -= 1;
  if (c.client === undefined) return;
  const left = (crowd.clients.get(c.client) ?? 1) - 1;
  if (left === 0) crowd.clients.delete(c.client);
  else crowd.clients.set(c.client, left);
}
