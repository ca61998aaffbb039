// Run by changes-inside.ts, as a process of its own: takes upgrades and echoes them, answers other requests, /slow
// late. Says its port.
import net from 'node:net';
import type { AddressInfo, Socket } from 'node:net';

/** `all` is what the connection has brought so far. */
export function serve(socket: Socket, piece: Buffer, all: string): void {
  if (/upgrade: websocket/i.test(piece.toString('latin1'))) {
    socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n');
  } else if (all.includes('/ws')) socket.write(piece);
  else {
    const answer = (): void => void socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
    if (piece.includes('/slow')) setTimeout(answer, 400);
    else answer();
  }
}

if (process.argv[1] === import.meta.filename) {
  const server = net.createServer({ noDelay: true }, (socket) => {
    let all = '';
    socket
      .on('error', () => undefined)
      .on('data', (piece: Buffer) => {
        if (all.length < 1000) all += piece.toString('latin1');
        serve(socket, piece, all);
      });
  });
  server.listen(0, '127.0.0.1', () => process.stdout.write(`${(server.address() as AddressInfo).port}\n`));
}
