// Asks an HTTP server for / without a pause until it answers 200, and prints when that was: nanoseconds of the
// monotonic clock, which all processes share.
//
//   node test/bench/answer.ts ADDRESS PORT
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

const [, , host = '', port = ''] = process.argv;
const connectMs = 20;
const pauseMs = 2;

function ask(): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port: Number(port) });
    const done = (answered: boolean): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve(answered);
    };
    // A SYN that was lost would be sent again a second later.
    const timer = setTimeout(() => done(false), connectMs);
    socket.once('error', () => done(false));
    socket.once('connect', () => {
      clearTimeout(timer);
      socket.write(`GET / HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`);
    });
    socket.once('data', (data: Buffer) => done(/^HTTP\/1\.\d 200 /.test(data.toString('latin1'))));
    socket.once('end', () => done(false));
  });
}

process.stdout.write('ready\n');
while (!(await ask())) await sleep(pauseMs);
process.stdout.write(`${process.hrtime.bigint()}\n`);
