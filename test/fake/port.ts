// A port for a test to listen on.
import { randomInt } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer } from 'node:net';

let held = 0;

/** Ports that this thread was given: each costs a descriptor. */
export const portsHeld = (): number => held;

/**
 * A TCP port of loopback that nobody has at the time of asking, and that no other test is given as long as this process
 * lives: it holds the UDP port of the same number. It is below those that Linux gives to connections by itself
 * (ip_local_port_range): a connection of another test is not on it by the time it is used.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(10_000, 32_768);
    const holder = createSocket('udp4').unref();
    const listening = once(holder, 'listening');
    holder.bind({ port, address: '127.0.0.1', exclusive: true });
    const server = createServer();
    const free = await listening
      .then(() => once(server.listen(port, '127.0.0.1'), 'listening'))
      .then(
        () => true,
        () => false,
      );
    if (!free) {
      holder.close();
      continue;
    }
    server.close();
    await once(server, 'close');
    held += 1;
    return port;
  }
}
