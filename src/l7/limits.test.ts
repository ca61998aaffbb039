import assert from 'node:assert/strict';
import { connect, once, sleep } from '../../test/fake/l7.ts';
import { test } from '../../test/fake/l7-engines.ts';
import { simpleRig } from '../../test/fake/l7-rig.ts';

const fill = (size: number): string => 'x'.repeat(size);
const request = (target: string, ...lines: readonly string[]): string =>
  `GET ${target} HTTP/1.1\r\n${['Host: a', 'Connection: close', ...lines].join('\r\n')}\r\n\r\n`;
/** A head of exactly so many bytes. */
function sized(bytes: number): string {
  const rest = request('/', 'X: ').length;
  return request('/', `X: ${fill(bytes - rest)}`);
}
const counted = (fields: number): string => request('/', ...Array.from({ length: fields - 2 }, (_, i) => `x${i}: y`));

test('a target, a head, a number of fields: each has its bound, its status, and a body that names the bound', async () => {
  await using s = await simpleRig();
  const bounds: readonly (readonly [within: string, beyond: string, status: number, body: string])[] = [
    [request(`/${fill(8191)}`), request(`/${fill(8192)}`), 414, 'target longer than 8192 bytes'],
    [request(`/?${fill(8190)}`), request(`/?${fill(8191)}`), 414, 'target longer than 8192 bytes'],
    [sized(32 * 1024), sized(32 * 1024 + 1), 431, 'head larger than 32768 bytes'],
    [counted(100), counted(101), 431, 'more than 100 fields'],
  ];
  for (const [within, beyond, status, body] of bounds) {
    assert.match(await once(s.port, within), /^HTTP\/1\.1 200 /, body);
    const before = s.r.log.length;
    const got = await once(s.port, beyond);
    assert.ok(got.startsWith(`HTTP/1.1 ${status} `), got.slice(0, 80));
    assert.ok(got.endsWith(`\r\nconnection: close\r\n\r\n${body}`), got);
    assert.deepEqual(
      s.r.log.slice(before).map((line) => [line.status, line.flags, line.upstream]),
      [[status, 'bad-request', '']],
    );
  }
  assert.equal(s.up.seen.join('').split('GET ').length - 1, bounds.length, 'nothing of them went on');
});

test('a target or a head without end is refused before it ends', async () => {
  await using s = await simpleRig();
  assert.match(await once(s.port, `GET /${fill(9000)}`), /^HTTP\/1\.1 414 /);
  assert.match(await once(s.port, `GET / HTTP/1.1\r\nHost: a\r\nX: ${fill(33_000)}`), /^HTTP\/1\.1 431 /);
});

test('after so many requests a connection ends: the last answer says so, and no further request is taken', async () => {
  await using s = await simpleRig(undefined, { maxRequestsPerConnection: 3 });
  const plain = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n';
  for (let round = 0; round < 2; round += 1) {
    const c = await connect(s.port);
    c.send(plain);
    assert.doesNotMatch(await c.until(/ok$/), /connection:/);
    c.send(plain.repeat(4));
    const answers = (await c.closed()).split('HTTP/1.1 200 OK').slice(1);
    assert.equal(answers.length, 3);
    assert.deepEqual(
      answers.map((text) => text.includes('\r\nconnection: close\r\n')),
      [false, false, true],
    );
    c.socket.destroy();
  }
  await sleep(20);
  assert.equal(s.up.seen.join('').split('GET ').length - 1, 6);
});
