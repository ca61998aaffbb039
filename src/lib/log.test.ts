import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createLog, type LogLevel, named } from './log.ts';

function lines(level: LogLevel, use: (log: ReturnType<typeof createLog>) => void): Record<string, unknown>[] {
  const written: string[] = [];
  use(createLog('midplane', level, { write: (line) => void written.push(line) }));
  return written.map((line) => JSON.parse(line) as Record<string, unknown>);
}

test('one JSON object a line, with level, time, part and message', () => {
  const [line, ...rest] = lines('info', (log) => {
    log.debug('not this');
    named(log, 'ports').warn({ port: 'swp1' }, 'link down');
  });
  assert.deepEqual(rest, []);
  assert.ok(line);
  assert.match(String(line['time']), /^\d{4}-\d\d-\d\dT/);
  const { level, part, port, msg, name, pid } = line;
  assert.deepEqual(
    [level, part, port, msg, name, pid],
    ['warn', 'ports', 'swp1', 'link down', 'midplane', process.pid],
  );
});

test('secrets are hidden', () => {
  const [line] = lines('info', (log) => log.info({ user: { name: 'a', password: 'p' }, token: 't' }, 'login'));
  assert.deepEqual([line?.['user'], line?.['token']], [{ name: 'a', password: '(hidden)' }, '(hidden)']);
});

test('silent is silent', () => {
  assert.deepEqual(
    lines('silent', (log) => log.fatal('x')),
    [],
  );
});
