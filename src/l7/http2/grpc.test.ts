// gRPC from one side of the router to the other: a client and a server that nobody here wrote.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import * as grpc from '@grpc/grpc-js';
import { END_STREAM, headers, http2Client } from '../../../test/fake/http2.ts';
import type { Fields } from '../../../test/fake/http2.ts';
import { forward, host, route, sleep } from '../../../test/fake/l7.ts';
import type { RouteAction } from '../../mesh/snapshot.ts';
import { http2Rig, simpleRig } from '../../../test/fake/l7-rig.ts';

const bytes = (value: Buffer): Buffer => value;
const method = (path: string, requestStream: boolean, responseStream: boolean) => ({
  path,
  requestStream,
  responseStream,
  requestSerialize: bytes,
  requestDeserialize: bytes,
  responseSerialize: bytes,
  responseDeserialize: bytes,
});

const service = {
  unary: method('/test.Echo/Unary', false, false),
  fails: method('/test.Echo/Fails', false, false),
  never: method('/test.Echo/Never', false, false),
  counts: method('/test.Echo/Counts', false, true),
  sums: method('/test.Echo/Sums', true, false),
  chats: method('/test.Echo/Chats', true, true),
};

let cancelled = 0;

const handlers: grpc.UntypedServiceImplementation = {
  unary(call: grpc.ServerUnaryCall<Buffer, Buffer>, done: grpc.sendUnaryData<Buffer>) {
    const trailers = new grpc.Metadata();
    trailers.set('x-trailer', String(call.metadata.get('x-asked')[0]));
    const header = new grpc.Metadata();
    header.set('x-header', call.getHost());
    call.sendMetadata(header);
    done(null, call.request, trailers);
  },
  fails(_: grpc.ServerUnaryCall<Buffer, Buffer>, done: grpc.sendUnaryData<Buffer>) {
    done({ code: grpc.status.FAILED_PRECONDITION, details: 'not like this: 100 %' });
  },
  never(call: grpc.ServerUnaryCall<Buffer, Buffer>) {
    call.on('cancelled', () => (cancelled += 1));
  },
  counts(call: grpc.ServerWritableStream<Buffer, Buffer>) {
    for (let i = 0; i < 100; i += 1) call.write(Buffer.from(String(i)));
    call.end();
  },
  sums(call: grpc.ServerReadableStream<Buffer, Buffer>, done: grpc.sendUnaryData<Buffer>) {
    let size = 0;
    call.on('data', (piece: Buffer) => (size += piece.length));
    call.on('end', () => done(null, Buffer.from(String(size))));
  },
  chats(call: grpc.ServerDuplexStream<Buffer, Buffer>) {
    call.on('data', (piece: Buffer) => void call.write(Buffer.concat([Buffer.from('re: '), piece])));
    call.on('end', () => call.end());
  },
};

async function site() {
  const server = new grpc.Server();
  server.addService(service, handlers);
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
  const s = await http2Rig(port);
  const Client = grpc.makeGenericClientConstructor(service, 'test.Echo');
  const client = new Client(`127.0.0.1:${s.port}`, grpc.credentials.createInsecure());
  return {
    ...s,
    client: client as unknown as grpc.Client & Record<string, (...args: unknown[]) => unknown>,
    async [Symbol.asyncDispose]() {
      client.close();
      assert.deepEqual(s.r.faults, []);
      server.forceShutdown();
      await s[Symbol.asyncDispose]();
    },
  };
}

interface Told {
  readonly error: grpc.ServiceError | null;
  readonly answer: Buffer | undefined;
  readonly header: grpc.Metadata | undefined;
  readonly status: grpc.StatusObject | undefined;
}

type Site = Awaited<ReturnType<typeof site>>;

function ask(s: Site, name: string, request: Buffer, o: grpc.CallOptions = {}): Promise<Told> {
  const asked = new grpc.Metadata();
  asked.set('x-asked', 'this');
  return new Promise((resolve) => {
    let error: grpc.ServiceError | null = null;
    let answer: Buffer | undefined;
    let header: grpc.Metadata | undefined;
    const call = s.client[name]!(request, asked, o, (e: grpc.ServiceError | null, a?: Buffer) => {
      error = e;
      answer = a;
    }) as grpc.ClientUnaryCall;
    call.on('metadata', (m: grpc.Metadata) => (header = m));
    call.on('status', (status: grpc.StatusObject) => setImmediate(() => resolve({ error, answer, header, status })));
  });
}

test('gRPC unary: message, metadata, trailers', async () => {
  await using s = await site();
  for (const size of [0, 10, 200_000]) {
    const told = await ask(s, 'unary', Buffer.alloc(size, 'm'));
    assert.equal(told.error, null);
    assert.equal(told.answer?.length, size);
    assert.match(String(told.header?.get('x-header')[0]), /^127\.0\.0\.1/);
    assert.equal(told.status?.metadata.get('x-trailer')[0], 'this');
  }
  assert.equal(s.r.log.length, 3);
});

test('gRPC status: of a method, of one that is not there, of a router without a server', async () => {
  await using s = await site();
  const failed = await ask(s, 'fails', Buffer.alloc(0));
  assert.equal(failed.error?.code, grpc.status.FAILED_PRECONDITION);
  assert.equal(failed.error?.details, 'not like this: 100 %');
  s.r.endpoints('h2', [1]);
  const nobody = await ask(s, 'unary', Buffer.alloc(0));
  assert.equal(nobody.error?.code, grpc.status.UNAVAILABLE);
  assert.equal(nobody.error?.details, 'upstream connect error or disconnect/reset before headers');
});

test('gRPC deadline: the call ends, and its server hears of it', async () => {
  await using s = await site();
  cancelled = 0;
  const late = await ask(s, 'never', Buffer.alloc(0), { deadline: Date.now() + 1000 });
  assert.equal(late.error?.code, grpc.status.DEADLINE_EXCEEDED);
  for (let i = 0; i < 300 && cancelled === 0; i += 1) await new Promise((resolve) => setTimeout(resolve, 10));
  assert.equal(cancelled, 1);
});

const raw = (timeout: string, type = 'application/grpc'): Fields => [
  [':method', 'POST'],
  [':scheme', 'http'],
  [':path', '/test.Echo/Never'],
  [':authority', 'a'],
  ['content-type', type],
  ...(timeout === '' ? [] : [['grpc-timeout', timeout] as const]),
];

test('gRPC deadline: where the client does not keep it the router does, and says so', async () => {
  await using s = await simpleRig(() => {});
  const c = await http2Client(s.port);
  const cases: readonly (readonly [timeout: string, ms: number])[] = [
    ['80m', 80],
    ['90000u', 90],
    ['1n', 1],
    ['100000000u', Infinity],
    ['-1m', Infinity],
    ['5', Infinity],
  ];
  const begun = performance.now();
  cases.forEach(([timeout], i) => c.send(headers(2 * i + 1, raw(timeout), 0)));
  for (const [i, [timeout, ms]] of cases.entries()) {
    if (ms === Infinity) continue;
    const f = await c.until((each) => each.type === 'HEADERS' && each.id === 2 * i + 1);
    const took = performance.now() - begun;
    const fields = c.fields(f);
    assert.deepEqual(
      [fields[':status'], fields['content-type'], fields['grpc-status'], fields['grpc-message']],
      ['200', 'application/grpc', '4', 'upstream request timeout'],
    );
    assert.equal(f.flags & END_STREAM, END_STREAM);
    // Of another unit it would be a thousand times as much.
    assert.ok(took >= ms - 5 && took < ms + 5000, `${timeout} took ${took} ms`);
  }
  await sleep(150);
  assert.equal(c.frames().filter((f) => f.type === 'HEADERS').length, 3, 'what is no time is no deadline');
  assert.deepEqual(new Set(s.r.log.map((r) => `${r.status} ${r.flags}`)), new Set(['504 timeout']));
  c.destroy();
});

test('errors of the router: a call gets its code, and any other request its status', async () => {
  await using s = await site();
  const reply = (status: number) => ({
    kind: 'reply' as const,
    status,
    body: status === 403 ? 'nur für dich: 5 %' : '',
  });
  const cases: readonly (readonly [action: RouteAction | undefined, code: string, message: string])[] = [
    [undefined, '12', 'Not Found'],
    [reply(403), '7', 'nur f%C3%BCr dich: 5 %25'],
    [reply(401), '16', 'Unauthorized'],
    [reply(500), '2', 'Internal Server Error'],
    [forward('none'), '2', 'Internal Server Error'],
    [forward('empty'), '14', 'no healthy upstream'],
  ];
  for (const [action, code, message] of cases) {
    s.r.serve(action === undefined ? [] : [host(['*'], route('all', action))], [{ key: 'empty', protocol: 'HTTP/2' }]);
    const told = await ask(s, 'unary', Buffer.alloc(5));
    assert.deepEqual([String(told.error?.code), told.error?.details], [code, decodeURIComponent(message)]);
    const c = await http2Client(s.port);
    for (const [i, type] of ['application/grpc+proto', 'application/grpc-web-text', 'application/grpcx'].entries()) {
      c.send(headers(2 * i + 1, raw('', type), 0));
      const fields = c.fields(await c.until((f) => f.type === 'HEADERS' && f.id === 2 * i + 1));
      const is = i === 2 ? undefined : type.replace('+proto', '');
      assert.equal(fields['grpc-status'], is && code);
      assert.equal(fields['grpc-message'], is && message);
      if (is !== undefined) assert.equal(fields['content-type'], is);
      assert.equal(fields[':status'] === '200', is !== undefined);
    }
    c.destroy();
  }
});

test('gRPC streams: of the server, of the client, of both', async () => {
  await using s = await site();
  const counted: string[] = [];
  const counts = s.client['counts']!(Buffer.alloc(0)) as grpc.ClientReadableStream<Buffer>;
  for await (const piece of counts as AsyncIterable<Buffer>) counted.push(piece.toString());
  assert.deepEqual(
    counted,
    Array.from({ length: 100 }, (_, i) => String(i)),
  );
  const sum = await new Promise<string>((resolve, reject) => {
    const sums = s.client['sums']!((error: Error | null, answer?: Buffer) =>
      error === null ? resolve(answer!.toString()) : reject(error),
    ) as grpc.ClientWritableStream<Buffer>;
    for (let i = 0; i < 50; i += 1) sums.write(Buffer.alloc(20_000));
    sums.end();
  });
  assert.equal(sum, String(50 * 20_000));
  const chat = s.client['chats']!() as grpc.ClientDuplexStream<Buffer, Buffer>;
  for (let i = 0; i < 20; i += 1) {
    chat.write(Buffer.from(`m${i}`));
    const [piece] = (await once(chat, 'data')) as [Buffer];
    assert.equal(piece.toString(), `re: m${i}`);
  }
  chat.end();
  const [status] = (await once(chat, 'status')) as [grpc.StatusObject];
  assert.equal(status.code, grpc.status.OK);
});
