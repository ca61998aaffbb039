// Connections that are there and say nothing: node test/bench/l7/holder.ts PORT COUNT plain|websocket
// Prints a line when all are open (each has had one answer), and ends when its standard input does.
import { connect } from 'node:net';
import { hostName, prefix } from './work.ts';

const [port = '', count = '', kind = ''] = process.argv.slice(2);
const upgrade = kind === 'websocket' ? 'Connection: Upgrade\r\nUpgrade: websocket\r\n' : '';
const request = `GET ${prefix(0)}/items/0/tiny HTTP/1.1\r\nHost: ${hostName(0)}\r\n${upgrade}\r\n`;

function hold(): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port: Number(port), host: '127.0.0.1' });
    socket.once('error', reject);
    socket.once('data', (piece: Buffer) => {
      const status = piece.toString('latin1', 9, 12);
      if (status === (upgrade === '' ? '200' : '101')) resolve();
      else reject(new Error(`answered ${status}`));
    });
    socket.write(request);
  });
}

for (let open = 0; open < Number(count); open += 100) await Promise.all(Array.from({ length: 100 }, hold));
process.stdout.write('open\n');
process.stdin.resume();
process.stdin.once('end', () => process.exit(0));
