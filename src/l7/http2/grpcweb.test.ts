// gRPC-web to servers of gRPC: Connect's client, and calls by hand for what it lacks (base64), before grpc-js's server.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create, createFileRegistry } from '@bufbuild/protobuf';
import type { DescMethodStreaming, DescMethodUnary, DescService } from '@bufbuild/protobuf';
import { FileDescriptorProtoSchema, file_google_protobuf_wrappers } from '@bufbuild/protobuf/wkt';
import type { StringValueSchema } from '@bufbuild/protobuf/wkt';
import { Code } from '@connectrpc/connect';
import type { ConnectError } from '@connectrpc/connect';
import { createGrpcWebTransport } from '@connectrpc/connect-node';
import * as grpc from '@grpc/grpc-js';
import fc from 'fast-check';
import { connect, forward, host, route, sleep } from '../../../test/fake/l7.ts';
import { simpleRig } from '../../../test/fake/l7-rig.ts';
import * as t from '../transport.ts';
import { takeText, taken } from './grpcweb.ts';
import { StreamTable } from './streams.ts';

const text = '.google.protobuf.StringValue';
const file = create(FileDescriptorProtoSchema, {
  name: 'echo.proto',
  package: 'test',
  syntax: 'proto3',
  dependency: ['google/protobuf/wrappers.proto'],
  service: [
    {
      name: 'Echo',
      method: [
        { name: 'Unary', inputType: text, outputType: text },
        { name: 'Counts', inputType: text, outputType: text, serverStreaming: true },
        { name: 'Fails', inputType: text, outputType: text },
      ],
    },
  ],
});
const echo = createFileRegistry(file, () => file_google_protobuf_wrappers.proto).getService('test.Echo') as DescService;
type Text = typeof StringValueSchema;
const unary = (name: string) => echo.methods.find((m) => m.name === name) as DescMethodUnary<Text, Text>;

const bytes = (value: Buffer): Buffer => value;
const method = (name: string, responseStream: boolean) => ({
  path: `/test.Echo/${name}`,
  requestStream: false,
  responseStream,
  requestSerialize: bytes,
  requestDeserialize: bytes,
  responseSerialize: bytes,
  responseDeserialize: bytes,
});
const service = { unary: method('Unary', false), counts: method('Counts', true), fails: method('Fails', false) };

async function site(grpcWeb = true) {
  const types: string[] = [];
  const server = new grpc.Server();
  server.addService(service, {
    unary(call: grpc.ServerUnaryCall<Buffer, Buffer>, done: grpc.sendUnaryData<Buffer>) {
      types.push(String(call.metadata.get('content-type')[0] ?? 'grpc'));
      const trailers = new grpc.Metadata();
      trailers.set('x-trailer', 'behind');
      const header = new grpc.Metadata();
      header.set('x-header', String(call.metadata.get('x-asked')[0]));
      call.sendMetadata(header);
      done(null, call.request, trailers);
    },
    counts(call: grpc.ServerWritableStream<Buffer, Buffer>) {
      for (let i = 0; i < 200; i += 1) call.write(call.request);
      call.end();
    },
    fails(_: grpc.ServerUnaryCall<Buffer, Buffer>, done: grpc.sendUnaryData<Buffer>) {
      done({ code: grpc.status.FAILED_PRECONDITION, details: 'so nicht: ü 100 %' });
    },
  });
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
  const s = await simpleRig();
  const cluster = { key: 'up', protocol: 'HTTP/2', ...(grpcWeb && { grpcWeb }) } as const;
  s.r.serve([host(['*'], route('all', forward('up')))], [cluster]);
  s.r.endpoints('up', [port]);
  return {
    ...s,
    types,
    /** A call by hand: the base64 that goes in, and what comes out. */
    async asText(name: string, body: string, type = 'application/grpc-web-text') {
      const headers = { 'content-type': type, 'x-grpc-web': '1', 'x-asked': 'text' };
      const answer = await fetch(`http://127.0.0.1:${s.port}/test.Echo/${name}`, { method: 'POST', headers, body });
      return { status: answer.status, headers: answer.headers, body: await answer.text() };
    },
    async [Symbol.asyncDispose]() {
      assert.deepEqual(s.r.faults, []);
      server.forceShutdown();
      await s[Symbol.asyncDispose]();
    },
  };
}

/** A message with its prefix. */
function framed(value: string): Buffer {
  const inner = Buffer.from(value);
  const size: number[] = [];
  for (let n = inner.length; n > 0 || size.length === 0; n >>>= 7) size.push((n & 127) | (n > 127 ? 128 : 0));
  const message = inner.length === 0 ? inner : Buffer.concat([Buffer.from([10, ...size]), inner]);
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(message.length, 1);
  return Buffer.concat([prefix, message]);
}

/** Base64 of pieces that each end with their own padding. */
function decoded(body: string): Buffer {
  return Buffer.concat((body.match(/[A-Za-z0-9+/]+={0,2}/g) ?? []).map((piece) => Buffer.from(piece, 'base64')));
}

for (const httpVersion of ['1.1', '2'] as const) {
  test(`gRPC-web over HTTP/${httpVersion}: unary, a stream of the server, errors`, async () => {
    await using s = await site();
    const transport = createGrpcWebTransport({ baseUrl: `http://127.0.0.1:${s.port}`, httpVersion });
    for (const value of ['', 'hello', 'x'.repeat(200_000)]) {
      const got = await transport.unary(unary('Unary'), undefined, undefined, { 'x-asked': 'this' }, { value });
      assert.equal(got.message.value, value);
      assert.equal(got.header.get('x-header'), 'this');
      assert.match(got.header.get('content-type') ?? '', /^application\/grpc-web\+proto$/);
      assert.equal(got.trailer.get('x-trailer'), 'behind');
    }
    const counts = unary('Counts') as unknown as DescMethodStreaming<Text, Text>;
    const value = 'y'.repeat(5000);
    async function* once() {
      yield { value };
    }
    const stream = await transport.stream(counts, undefined, undefined, {}, once());
    let count = 0;
    for await (const message of stream.message) {
      assert.equal(message.value, value);
      count += 1;
    }
    assert.equal(count, 200);
    const failed = transport.unary(unary('Fails'), undefined, undefined, {}, {});
    await assert.rejects(failed, (error: ConnectError) => {
      assert.deepEqual([error.code, error.rawMessage], [Code.FailedPrecondition, 'so nicht: ü 100 %']);
      return true;
    });
    s.r.endpoints('up', []);
    await assert.rejects(transport.unary(unary('Unary'), undefined, undefined, {}, {}), (error: ConnectError) => {
      assert.deepEqual([error.code, error.rawMessage], [Code.Unavailable, 'no healthy upstream']);
      return true;
    });
  });
}

test('gRPC-web in base64: whole, in pieces with padding, large; the trailers behind', async () => {
  await using s = await site();
  const large = 'z'.repeat(300_000);
  const bodies: readonly (readonly [value: string, body: string])[] = [
    ['abc', framed('abc').toString('base64')],
    ['', framed('').toString('base64')],
    ['abcd', framed('abcd').subarray(0, 5).toString('base64') + framed('abcd').subarray(5).toString('base64')],
    [large, framed(large).toString('base64')],
  ];
  for (const [value, body] of bodies) {
    const got = await s.asText('Unary', body);
    assert.equal(got.status, 200);
    assert.equal(got.headers.get('content-type'), 'application/grpc-web-text+proto');
    assert.equal(got.headers.get('x-header'), 'text');
    const out = decoded(got.body);
    const message = framed(value);
    assert.ok(out.subarray(0, message.length).equals(message));
    const rest = out.subarray(message.length);
    assert.equal(rest[0], 0x80);
    assert.equal(rest.readUInt32BE(1), rest.length - 5);
    const lines = rest.subarray(5).toString();
    assert.match(lines, /^grpc-status: 0\r\n/m);
    assert.match(lines, /^x-trailer: behind\r\n/m);
  }
});

test('gRPC-web in base64 that is none reaches no method', async () => {
  await using s = await site();
  for (const body of ['????', 'AAAA=AAA', 'AAAAAA', 'A', 'AA=A', '====']) {
    const got = await s.asText('Unary', body);
    assert.notEqual(got.headers.get('grpc-status') ?? '', '0', body);
  }
  assert.deepEqual(s.types, []);
});

test('gRPC-web in base64 that ends within a group is a call that fails, whenever its end comes', async () => {
  await using s = await site();
  const body = `${framed('abc').toString('base64')}AA`;
  const lines = [
    'POST /test.Echo/Unary HTTP/1.1',
    'Host: a',
    'Content-Type: application/grpc-web-text',
    'TE: trailers',
  ];
  for (const late of [false, true]) {
    const c = await connect(s.port);
    c.send(`${lines.join('\r\n')}\r\nTransfer-Encoding: chunked\r\n\r\n${body.length.toString(16)}\r\n${body}\r\n`);
    if (late) await sleep(100);
    c.send('0\r\n\r\n');
    assert.match(await c.until(/\r\n\r\n/), /\r\ngrpc-status: [1-9]/, `late: ${late}`);
    c.socket.destroy();
  }
});

test('a server that is not said to want it gets gRPC-web as it comes', async () => {
  await using s = await site(false);
  const got = await s.asText('Unary', framed('abc').toString('base64'), 'application/grpc-web');
  assert.notEqual(got.headers.get('content-type'), 'application/grpc-web+proto');
  assert.deepEqual(s.types, []);
});

test('base64 in any pieces, into any windows, is what it was', () => {
  const a = Buffer.alloc(t.ARENA_BYTES);
  const parts = fc.array(fc.uint8Array({ minLength: 1, maxLength: 40 }), { maxLength: 6 });
  const steps = fc.array(fc.tuple(fc.integer({ min: 1, max: 30 }), fc.integer({ min: 0, max: 25 })), { minLength: 1 });
  const property = fc.property(parts, steps, (list, [...plan]) => {
    const streams = new StreamTable();
    const at = streams.open(1, 0, 0);
    const body = Buffer.from(list.map((part) => Buffer.from(part).toString('base64')).join(''));
    const out: Buffer[] = [];
    let [came, gone] = [0, 0];
    for (let i = 0; gone < body.length; i += 1) {
      const [more, room] = plan[i % plan.length]!;
      // The windows open in the end.
      const wide = room + Math.floor(i / plan.length);
      came = Math.min(body.length, came + more);
      body.copy(a, 0, gone, came);
      assert.ok(takeText(a, streams, at, 0, came - gone, { room: wide, last: came === body.length }));
      assert.ok(taken.to - taken.from <= wide);
      out.push(Buffer.from(a.subarray(taken.from, taken.to)));
      gone += taken.used;
    }
    assert.deepEqual(Buffer.concat(out), Buffer.concat(list));
  });
  fc.assert(property, { numRuns: 300 });
});
