// Connections that are there and say nothing: node test/bench/l7/holder.ts PORT COUNT plain|websocket|tls [brief]
// Prints a line when all are open (each has had one answer), and ends when its standard input does, or when one of them
// does. Brief ones end with their answer.
import { connect } from 'node:net';
import tls from 'node:tls';
import { hostName, prefix } from './work.ts';

const [port = '', count = '', kind = '', brief = ''] = process.argv.slice(2);
const upgrade = kind === 'websocket' ? 'Connection: Upgrade\r\nUpgrade: websocket\r\n' : '';
const request = `GET ${prefix(0)}/items/0/tiny HTTP/1.1\r\nHost: ${hostName(0)}\r\n${upgrade}\r\n`;
// All have one context, and believe anyone.
const secureContext = tls.createSecureContext({ minVersion: 'TLSv1.3' });
const to = { port: Number(port), host: '127.0.0.1' };
const secured = { ...to, servername: hostName(0), secureContext, rejectUnauthorized: false };

function hold(): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = kind === 'tls' ? tls.connect(secured) : connect(to);
    socket.once('error', reject);
    socket.once('data', (piece: Buffer) => {
      const status = piece.toString('latin1', 9, 12);
      if (status !== (upgrade === '' ? '200' : '101')) return reject(new Error(`answered ${status}`));
      if (brief === '') socket.once('close', () => process.exit(1));
      else socket.destroy();
      resolve();
    });
    socket.write(request);
  });
}

for (let open = 0; open < Number(count); open += 100) await Promise.all(Array.from({ length: 100 }, hold));
process.stdout.write('open\n');
process.stdin.resume();
process.stdin.once('end', () => process.exit(0));
