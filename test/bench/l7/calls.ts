// The server of the gRPC benchmarks, by node:http2: one message of five bytes back, or for /.../stream a hundred of
// 1 KB.
//   node test/bench/l7/calls.ts PORT
import http2 from 'node:http2';
import type { ServerHttp2Stream } from 'node:http2';

function messages(count: number, size: number): Buffer {
  const one = Buffer.alloc(5 + size, 'x');
  one[0] = 0;
  one.writeUInt32BE(size, 1);
  return Buffer.concat(Array.from({ length: count }, () => one));
}

const unary = messages(1, 5);
const many = messages(100, 1024);
// Node's own bounds are for strangers.
const bounds = { maxSessionMemory: 1000, streamResetBurst: 1e6, streamResetRate: 1e6 };
const server = http2.createServer({ ...bounds, settings: { maxConcurrentStreams: 1000 } });
server.on('stream', (stream, fields) => {
  const call = stream as ServerHttp2Stream;
  call.on('error', () => {});
  call.on('end', () => {
    call.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
    call.on('wantTrailers', () => call.sendTrailers({ 'grpc-status': '0' }));
    call.end(fields[':path']!.endsWith('/stream') ? many : unary);
  });
  call.resume();
});
server.listen(Number(process.argv[2]), '127.0.0.1');
