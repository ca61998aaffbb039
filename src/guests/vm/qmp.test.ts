import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { openQmp } from './qmp.ts';

interface Asked {
  readonly execute: string;
  readonly id: number;
  readonly arguments?: unknown;
}

const greeting = '{"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}}, "capabilities": ["oob"]}}\r\n';

/** A server that speaks as QEMU does; `answer` gets each command after the negotiation. */
async function fake(answer: (asked: Asked, socket: Socket) => void, hello = greeting) {
  const folder = mkdtempSync(join(tmpdir(), 'midplane-qmp-'));
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.write(hello);
    let rest = '';
    socket.on('data', (data) => {
      const lines = (rest + data.toString()).split('\n');
      rest = lines.pop() ?? '';
      for (const asked of lines.map((line) => JSON.parse(line) as Asked)) {
        if (asked.execute === 'qmp_capabilities') socket.write(`{"return": {}, "id": ${asked.id}}\r\n`);
        else answer(asked, socket);
      }
    });
  });
  const path = join(folder, 'qmp.sock');
  await new Promise<void>((done) => server.listen(path, done));
  return {
    path,
    [Symbol.dispose]() {
      for (const socket of sockets) socket.destroy();
      server.close();
      rmSync(folder, { recursive: true });
    },
  };
}

const fault = (code: string, why: RegExp) => (error: unknown) => {
  assert.ok(error instanceof Error && 'fault' in error);
  const got = error.fault as { code: string; why: string };
  assert.equal(got.code, code);
  assert.match(got.why, why);
  return true;
};

test('answers find their commands in any order, in pieces, with events between', async () => {
  const held: Asked[] = [];
  using server = await fake((asked, socket) => {
    held.push(asked);
    if (held.length < 2) return;
    const [first, second] = held;
    const text = [
      `{"return": {"name": "b"}, "id": ${second?.id}}`,
      '{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "RESET", "data": {"guest": true}}',
      `{"return": {"status": "running", "running": true}, "id": ${first?.id}}`,
      '',
    ].join('\r\n');
    socket.write(text.slice(0, 20));
    setTimeout(() => socket.write(text.slice(20)), 20);
  });
  using qmp = await openQmp(server.path);
  assert.equal(qmp.version, '7.2.22');
  const events: unknown[] = [];
  const listening = qmp.onEvent((event) => events.push(event));
  const [status, name] = await Promise.all([qmp.execute('query-status'), qmp.execute('query-name')]);
  assert.deepEqual([status.status, name.name], ['running', 'b']);
  listening[Symbol.dispose]();
  assert.deepEqual(events, [{ event: 'RESET', data: { guest: true } }]);
});

test('arguments go out, a refusal comes back in its own words', async () => {
  using server = await fake((asked, socket) => {
    assert.deepEqual(asked.arguments, { name: 'net0', up: false });
    socket.write(`{"error": {"class": "DeviceNotFound", "desc": "Device 'net0' not found"}, "id": ${asked.id}}\n`);
  });
  using qmp = await openQmp(server.path);
  await assert.rejects(qmp.execute('set_link', { name: 'net0', up: false }), fault('refused', /net0' not found/));
});

test('what does not answer, ends, or talks nonsense is a fault', async () => {
  using silent = await fake(() => undefined);
  using qmp = await openQmp(silent.path, 1000);
  await assert.rejects(qmp.execute('query-status'), fault('timeout', /query-status in 1000 ms/));

  using ending = await fake((_asked, socket) => socket.destroy());
  using other = await openQmp(ending.path);
  await assert.rejects(other.execute('quit'), fault('unreachable', /ended/));
  await other.closed;
  await assert.rejects(other.execute('quit'), fault('unreachable', /ended/));

  using mute = await fake(() => undefined, '');
  await assert.rejects(openQmp(mute.path, 100), fault('timeout', /no greeting/));
  using nonsense = await fake(() => undefined, 'SSH-2.0-x\r\n');
  await assert.rejects(openQmp(nonsense.path), fault('unreachable', /ended/));
  await assert.rejects(openQmp(join(tmpdir(), 'midplane-none.sock')), fault('unreachable', /ENOENT/));
});
