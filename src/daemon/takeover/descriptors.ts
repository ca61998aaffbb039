// Listening sockets go from a daemon to its successor as descriptors, so that what waits in their queues waits on. A
// message a piece: where the socket stands, and how many pieces follow.
import { closeSync } from 'node:fs';
import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { KernelError } from '../../kernel/errno.ts';
import { descriptorOf, receiveDescriptors, sendDescriptors } from '../../kernel/socket.ts';

const piece = z.object({ place: z.string().max(1024), left: z.int().min(0) });
const mostAtOnce = 64;
const lookMs = 5;

/** Descriptors by the place that they listen at. */
export type ListeningSockets = ReadonlyMap<string, readonly number[]>;

/** Sends them all. Gives why the other side does not have them; undefined: it has. */
export async function sendSockets(socket: Socket, sockets: ListeningSockets, ms: number): Promise<string | undefined> {
  const pieces = [...sockets].flatMap(([place, fds]) =>
    Array.from({ length: Math.ceil(fds.length / mostAtOnce) }, (_, i) => {
      return { place, fds: fds.slice(i * mostAtOnce, (i + 1) * mostAtOnce) };
    }),
  );
  if (pieces.length === 0) pieces.push({ place: '', fds: [] });
  const until = performance.now() + ms;
  for (const [i, { place, fds }] of pieces.entries()) {
    const text = JSON.stringify({ place, left: pieces.length - 1 - i });
    const why = await sendMessage(socket, text, fds, until);
    if (why !== undefined) return why;
  }
  return undefined;
}

/** Sends descriptors with a text, by that time. Gives why the other side does not take them; undefined: it did. */
export async function sendMessage(
  socket: Socket,
  text: string,
  fds: readonly number[],
  until: number,
): Promise<string | undefined> {
  for (;;) {
    const fd = descriptorOf(socket);
    if (fd === undefined) return 'it has hung up';
    if (performance.now() > until) return 'it does not read in time';
    try {
      if (sendDescriptors(fd, text, fds)) return undefined;
    } catch (error) {
      // EPIPE: it is gone.
      if (error instanceof KernelError) return error.message;
      throw error;
    }
    await sleep(lookMs);
  }
}

/** What sendSockets sends to a socket that nobody else reads; undefined where that ends early, or makes no sense. */
export async function receiveSockets(socket: Socket, ms: number): Promise<ListeningSockets | undefined> {
  const sockets = new Map<string, number[]>();
  const until = performance.now() + ms;
  while (performance.now() < until) {
    const fd = descriptorOf(socket);
    const got = fd === undefined ? { text: '', fds: [] } : receiveDescriptors(fd);
    if (got === undefined) {
      await sleep(lookMs);
      continue;
    }
    const read = readPiece(got.text);
    if (got.fds.length > 0) sockets.set(read?.place ?? '', [...(sockets.get(read?.place ?? '') ?? []), ...got.fds]);
    if (read === undefined) break;
    if (read.left === 0) return sockets;
  }
  for (const fd of [...sockets.values()].flat()) closeSync(fd);
  return undefined;
}

function readPiece(text: string): z.infer<typeof piece> | undefined {
  try {
    return piece.parse(JSON.parse(text));
  } catch {
    return undefined;
  }
}
