// An upstream that keeps every byte that it gets and answers each whole request that it finds in them.
import { once } from 'node:events';
import { createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { read } from './reader.ts';

export interface Recorder extends AsyncDisposable {
  readonly port: number;
  /** What came since the last call, a text a connection; ends those connections, so that nothing of it comes later. */
  take(): Promise<readonly string[]>;
}

interface Line {
  readonly socket: Socket;
  text: string;
  answered: number;
}

const drainMs = 2000;

export async function startRecorder(): Promise<Recorder> {
  const open = new Set<Line>();
  let lines: Line[] = [];
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    const line: Line = { socket, text: '', answered: 0 };
    open.add(line);
    lines.push(line);
    socket.on('error', () => undefined);
    socket.on('end', () => socket.end());
    socket.on('close', () => open.delete(line));
    socket.on('data', (piece: Buffer) => {
      line.text += piece.toString('latin1');
      const whole = read(line.text).filter((seen) => seen.whole).length;
      socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'.repeat(whole - line.answered));
      line.answered = whole;
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const finish = async (line: Line): Promise<void> => {
    if (!open.has(line)) return;
    const timer = setTimeout(() => line.socket.destroy(), drainMs);
    const closed = new Promise((resolve) => line.socket.on('close', resolve));
    line.socket.end();
    await closed;
    clearTimeout(timer);
  };
  return {
    port: (server.address() as AddressInfo).port,
    async take() {
      await Promise.all([...open].map(finish));
      const taken = lines.filter((line) => line.text !== '').map((line) => line.text);
      lines = [];
      return taken;
    },
    async [Symbol.asyncDispose]() {
      for (const { socket } of open) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}
