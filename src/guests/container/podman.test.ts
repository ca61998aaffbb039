import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type RequestListener } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { demultiplex, openPodman, type Podman } from './podman.ts';

function frame(stream: number, text: string): Buffer {
  const head = Buffer.alloc(8);
  head[0] = stream;
  head.writeUInt32BE(Buffer.byteLength(text), 4);
  return Buffer.concat([head, Buffer.from(text)]);
}

test('two streams in one; what is cut off is kept as far as it goes', () => {
  const bytes = Buffer.concat([frame(1, 'out\n'), frame(2, 'err\n')]);
  assert.equal(demultiplex(bytes), 'out\nerr\n');
  assert.equal(demultiplex(bytes.subarray(0, bytes.length - 2)), 'out\ner');
  assert.equal(demultiplex(Buffer.from([1, 0])), '');
});

/** A client of a service that answers as `listener` does. */
async function withService(listener: RequestListener, use: (podman: Podman) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'mpt-podman-'));
  const server = createServer(listener);
  const socket = join(folder, 's');
  await new Promise<void>((done) => server.listen(socket, done));
  try {
    await use(openPodman(socket, () => Promise.resolve()));
  } finally {
    server.closeAllConnections();
    await new Promise((done) => server.close(done));
    rmSync(folder, { recursive: true });
  }
}

test('a pull tells how far it is, and fails by what the stream says', async () => {
  const lines: string[] = [];
  await withService(
    (request, response) => {
      const bad = request.url?.includes('bad') === true;
      response.writeHead(200, { 'content-type': 'application/json' });
      response.write('{"stream":"Trying to pull"}\n{"stream":"Copy');
      response.end(`ing"}\n${bad ? '{"error":"no such host"}\n' : '{"images":["x"],"id":"x"}\n'}`);
    },
    async (podman) => {
      const signal = AbortSignal.timeout(5000);
      await podman.pull('good:1', (line) => lines.push(line), signal);
      assert.deepEqual(lines, ['Trying to pull', 'Copying']);
      await assert.rejects(
        podman.pull('bad:1', () => undefined, signal),
        { message: 'bad:1: no such host (no-image)' },
      );
    },
  );
});

test("podman's own words are the reason", async () => {
  await withService(
    (_request, response) => response.writeHead(500).end('{"message":"no space left","response":500}'),
    async (podman) => {
      await assert.rejects(podman.create({}), /no space left/);
      await assert.rejects(podman.imageExists('x'), /no space left/);
    },
  );
  const gone = openPodman('/nonexistent/socket', () => Promise.resolve());
  await assert.rejects(gone.list('a=b'), { name: 'FaultError', message: /unreachable/ });
});
