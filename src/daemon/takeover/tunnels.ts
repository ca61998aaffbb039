// Tunnels without TLS go from a daemon to its successor while that serves already: a message a tunnel, until the old
// one has no more, or ends.
import { closeSync } from 'node:fs';
import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { descriptorOf, receiveDescriptors } from '../../kernel/socket.ts';
import type { Pass, PassedTunnel } from '../../l7/move/pass.ts';
import { sendMessage } from './descriptors.ts';

const piece = z.object({ listener: z.string().max(1024) });
const sendMs = 5_000;
const lookMs = 2;
const lateLookMs = 100;

/** Sends each tunnel over the socket. */
export function passOver(socket: Socket): Pass {
  return ({ listener, memory, client, up }) =>
    sendMessage(socket, JSON.stringify({ listener }), [memory, client, up], performance.now() + sendMs);
}

/** Takes what passOver sends to a socket that nobody else reads, until its end. */
export async function receiveTunnels(socket: Socket, take: (tunnels: readonly PassedTunnel[]) => void): Promise<void> {
  for (let look = lookMs; ; look = Math.min(look * 1.2, lateLookMs)) {
    const { tunnels, over } = readTunnels(socket);
    if (tunnels.length > 0) {
      take(tunnels);
      look = lookMs;
    }
    if (over) return;
    await sleep(look, undefined, { ref: false });
  }
}

/** What is there now, a bounded number. */
function readTunnels(socket: Socket): { readonly tunnels: readonly PassedTunnel[]; readonly over: boolean } {
  const tunnels: PassedTunnel[] = [];
  while (tunnels.length < 256) {
    const fd = descriptorOf(socket);
    const got = fd === undefined ? { text: '', fds: [] } : receiveDescriptors(fd);
    if (got === undefined) return { tunnels, over: false };
    const [memory, client, up] = got.fds;
    const said = got.fds.length === 3 ? read(got.text) : undefined;
    if (said === undefined) {
      for (const one of got.fds) closeSync(one);
      return { tunnels, over: true };
    }
    tunnels.push({ ...said, memory: memory!, client: client!, up: up! });
  }
  return { tunnels, over: false };
}

function read(text: string): z.infer<typeof piece> | undefined {
  try {
    return piece.parse(JSON.parse(text));
  } catch {
    return undefined;
  }
}
