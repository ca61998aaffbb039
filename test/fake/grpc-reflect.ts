// A server of gRPC (grpc-js) that says by reflection (grpc.reflection.v1alpha) what it has.
import * as grpc from '@grpc/grpc-js';
import { create, toBinary } from '@bufbuild/protobuf';
import { BinaryReader, BinaryWriter } from '@bufbuild/protobuf/wire';
import {
  FieldDescriptorProto_Label as Label,
  FieldDescriptorProto_Type as Type,
  FileDescriptorProtoSchema,
} from '@bufbuild/protobuf/wkt';

interface Word {
  readonly text: string;
  readonly count: number;
}

const field = (name: string, number: number, type: Type) => ({
  name,
  number,
  type,
  label: Label.OPTIONAL,
  jsonName: name,
});
const method = (name: string, serverStreaming: boolean) => {
  return { name, inputType: '.test.Word', outputType: '.test.Word', serverStreaming };
};
/** message Word { string text = 1; uint32 count = 2; }, and a service that takes and gives it. */
const file = toBinary(
  FileDescriptorProtoSchema,
  create(FileDescriptorProtoSchema, {
    name: 'test/words.proto',
    package: 'test',
    syntax: 'proto3',
    messageType: [{ name: 'Word', field: [field('text', 1, Type.STRING), field('count', 2, Type.UINT32)] }],
    service: [{ name: 'Words', method: [method('Echo', false), method('Repeat', true), method('Fail', false)] }],
  }),
);

function writeWord({ text, count }: Word): Buffer {
  return Buffer.from(new BinaryWriter().tag(1, 2).string(text).tag(2, 0).uint32(count).finish());
}

function readWord(bytes: Buffer): Word {
  const reader = new BinaryReader(bytes);
  let [text, count] = ['', 0];
  while (reader.pos < reader.len) {
    const [no, type] = reader.tag();
    if (no === 1) text = reader.string();
    else if (no === 2) count = reader.uint32();
    else reader.skip(type);
  }
  return { text, count };
}

/** google.rpc.Status with a Word as its detail. */
function statusWith(code: number, message: string, detail: Word): Buffer {
  const any = new BinaryWriter().tag(1, 2).string('type.googleapis.com/test.Word').tag(2, 2).bytes(writeWord(detail));
  const status = new BinaryWriter().tag(1, 0).int32(code).tag(2, 2).string(message).tag(3, 2).bytes(any.finish());
  return Buffer.from(status.finish());
}

/** ServerReflectionRequest -> ServerReflectionResponse. */
function reflect(request: Buffer): Buffer {
  const reader = new BinaryReader(request);
  const answer = new BinaryWriter().tag(2, 2).bytes(request);
  while (reader.pos < reader.len) {
    const [no, type] = reader.tag();
    if (no === 7) {
      reader.skip(type);
      const service = new BinaryWriter().tag(1, 2).string('test.Words').finish();
      answer.tag(6, 2).bytes(new BinaryWriter().tag(1, 2).bytes(service).finish());
    } else if (no === 3 || no === 4) {
      const known = reader.string().startsWith('test');
      if (known) answer.tag(4, 2).bytes(new BinaryWriter().tag(1, 2).bytes(file).finish());
      else answer.tag(7, 2).bytes(new BinaryWriter().tag(1, 0).int32(grpc.status.NOT_FOUND).finish());
    } else reader.skip(type);
  }
  return Buffer.from(answer.finish());
}

const raw = (bytes: Buffer): Buffer => bytes;
const kind = <T>(
  path: string,
  streams: readonly [boolean, boolean],
  write: (t: T) => Buffer,
  read: (b: Buffer) => T,
) => {
  const [requestStream, responseStream] = streams;
  const by = { requestSerialize: write, requestDeserialize: read, responseSerialize: write, responseDeserialize: read };
  return { path, requestStream, responseStream, ...by };
};

/** Echo gives the word back, Repeat so many times, Fail ends with FAILED_PRECONDITION and the word as its detail. */
export async function reflectingServer(): Promise<{ readonly port: number } & Disposable> {
  const server = new grpc.Server();
  const words = {
    echo: kind('/test.Words/Echo', [false, false], writeWord, readWord),
    repeat: kind('/test.Words/Repeat', [false, true], writeWord, readWord),
    fail: kind('/test.Words/Fail', [false, false], writeWord, readWord),
  };
  server.addService(words, {
    echo: (call: grpc.ServerUnaryCall<Word, Word>, done: grpc.sendUnaryData<Word>) => done(null, call.request),
    repeat(call: grpc.ServerWritableStream<Word, Word>) {
      for (let i = 1; i <= call.request.count; i += 1) call.write({ text: call.request.text, count: i });
      call.end();
    },
    fail(call: grpc.ServerUnaryCall<Word, Word>, done: grpc.sendUnaryData<Word>) {
      const code = grpc.status.FAILED_PRECONDITION;
      const metadata = new grpc.Metadata();
      metadata.set('grpc-status-details-bin', statusWith(code, 'not like this', call.request));
      done({ code, details: 'not like this', metadata });
    },
  });
  const path = '/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo';
  server.addService(
    { info: kind(path, [true, true], raw, raw) },
    {
      info(call: grpc.ServerDuplexStream<Buffer, Buffer>) {
        call.on('data', (request: Buffer) => void call.write(reflect(request)));
        call.on('end', () => call.end());
      },
    },
  );
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), (error, bound) => {
      if (error === null) resolve(bound);
      else reject(error);
    });
  });
  return { port, [Symbol.dispose]: () => server.forceShutdown() };
}
