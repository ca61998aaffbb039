// Tunnels without TLS go from a daemon to its successor while that serves already: a message a tunnel, until the old
// one has no more, or ends.
import { closeSync } from 'node:fs';
import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import { z } from 'zod';
import { descriptorOf, receiveDescriptors } from '../../kernel/socket.ts';
import type { Pass, PassedTunnel } from '../../l7/move/pass.ts';
import { sendMessage } from './descriptors.ts';

const piece = z.object({ listener: z.string().max(1024) });
const sendMs = 5_000;
const lookMs = 2;
const lateLookMs = 100;

/** Sends each tunnel over the socket. What stays is told to the log. */
export function passOver(socket: Socket, log: Logger): Pass {
  let passed = 0;
  return {
    async take({ listener, memory, client, up }) {
      const until = performance.now() + sendMs;
      const why = await sendMessage(socket, JSON.stringify({ listener }), [memory, client, up], until);
      if (why === undefined) passed += 1;
      return why;
    },
    kept: (count, why) => tellKept(log, { passed, kept: count, why }),
  };
}

/** Of a successor that said it takes tunnels, and did not come for them. */
export function passToNobody(log: Logger, why: string): Pass {
  return { take: () => Promise.resolve(why), kept: (count) => tellKept(log, { passed: 0, kept: count, why }) };
}

function tellKept(log: Logger, what: { readonly passed: number; readonly kept: number; readonly why: string }): void {
  log.warn(what, 'the new daemon does not take these tunnels, nor more: they stay until they end');
}

/** Takes what passOver sends to a socket that nobody else reads, until its end. */
export async function receiveTunnels(
  socket: Socket,
  log: Logger,
  take: (tunnels: readonly PassedTunnel[]) => void,
): Promise<void> {
  let taken = 0;
  for (let look = lookMs; ; look = Math.min(look * 1.2, lateLookMs)) {
    const { tunnels, over, why } = readTunnels(socket);
    if (tunnels.length > 0) {
      take(tunnels);
      taken += tunnels.length;
      look = lookMs;
    }
    if (why !== undefined) log.warn({ taken, why }, 'the old daemon passes no more tunnels that make sense');
    if (over) return;
    await sleep(look, undefined, { ref: false });
  }
}

interface Read {
  readonly tunnels: readonly PassedTunnel[];
  readonly over: boolean;
  /** It is over, and not because there are no more. */
  readonly why?: string;
}

/** What is there now, a bounded number. */
function readTunnels(socket: Socket): Read {
  const tunnels: PassedTunnel[] = [];
  while (tunnels.length < 256) {
    const fd = descriptorOf(socket);
    const got = fd === undefined ? { text: '', fds: [] } : receiveDescriptors(fd);
    if (got === undefined) return { tunnels, over: false };
    const [memory, client, up] = got.fds;
    const said = got.fds.length === 3 ? read(got.text) : undefined;
    if (said === undefined) {
      for (const one of got.fds) closeSync(one);
      const ended = got.text === '' && got.fds.length === 0;
      return { tunnels, over: true, ...(!ended && { why: `${got.fds.length} descriptors, ${got.text.length} bytes` }) };
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
