import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { eventually } from '../../../test/fake/eventually.ts';
import { openAccessLog } from './log.ts';
import { RoutePiece, Subject, UpstreamPiece, lineBytes, writeLine } from './line.ts';
import type { AccessRecord, PortNames } from './line.ts';

function subject(method: string, host: string, path: string): Subject {
  const made = new Subject();
  const bytes = Buffer.from(method + host + path, 'latin1');
  made.set(bytes, 0, method.length, method.length, host.length, method.length + host.length, path.length);
  return made;
}

const noNames: PortNames = new Map();

function accessLine(r: AccessRecord): string {
  const bytes = Buffer.alloc(lineBytes(r, noNames));
  return bytes.toString('utf8', 0, writeLine(bytes, 0, r, noNames));
}

const record: AccessRecord = {
  timeMs: 0,
  listener: 'l',
  route: new RoutePiece('r'),
  subject: subject('GET', 'h', '/'),
  status: 200,
  bytesIn: 1,
  bytesOut: 2,
  durationMs: 1.23456,
  upstream: new UpstreamPiece('u'),
  client: 'c',
  port: 3,
  flags: '',
};

test('a line is one JSON object, whatever a client wrote', () => {
  const line = accessLine({ ...record, subject: subject('GET', 'h', '/"\\\u0080\n{"status":200}') });
  assert.equal(line.indexOf('\n'), line.length - 1);
  assert.equal((JSON.parse(line) as { path: string }).path, '/"\\\u0080\n{"status":200}');
  assert.equal((JSON.parse(line) as { time: string }).time, '1970-01-01T00:00:00.000Z');
});

test('a line names the ingress port where it is known', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'mpt-l7-'));
  try {
    const log = openAccessLog(join(folder, 'access.log'));
    log.ports(new Map([[3, 'swp3']]));
    log.write(record);
    log.write({ ...record, port: 4 });
    await log.close();
    const lines = readFileSync(join(folder, 'access.log'), 'utf8').trim().split('\n');
    const ports = lines.map((line) => JSON.parse(line) as { port: number; port_name: string });
    assert.deepEqual(
      ports.map(({ port, port_name: name }) => [port, name]),
      [
        [3, 'swp3'],
        [4, ''],
      ],
    );
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('batches are appended, a moved file is left, what does not fit is counted', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'mpt-l7-'));
  try {
    const file = join(folder, 'access.log');
    const log = openAccessLog(file);
    log.write(record);
    const { length } = accessLine(record);
    await eventually(() => assert.equal(readFileSync(file, 'utf8').length, length));
    renameSync(file, `${file}.1`);
    log.reopen();
    for (let i = 0; i < 40_000; i += 1) log.write(record);
    assert.ok(log.dropped() > 0);
    await log.close();
    assert.equal(readFileSync(`${file}.1`, 'utf8').length, length);
    const text = readFileSync(file, 'utf8');
    assert.equal(text.length / length, 40_000 - log.dropped());
  } finally {
    rmSync(folder, { recursive: true });
  }
});
