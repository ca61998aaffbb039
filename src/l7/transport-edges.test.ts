// What the engine in C owes to whoever fills its rows when things happen at the same time.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { connOf, engineWith, say } from '../../test/fake/l7-rows.ts';
import { serverSpec } from '../../test/fake/l7-tls.ts';
import { connect, sleep, upstream } from '../../test/fake/l7.ts';
import * as t from './transport.ts';

test('a deadline that passes while a failure is decided on holds for the second try', async () => {
  await using up = await upstream(() => {});
  let never = 0;
  let silent = 0;
  using s = await engineWith((engine, base, row) => {
    const request = { [t.W_HEAD]: 1, [t.W_ACTION]: t.FORWARD, [t.W_ENDPOINT]: never, [t.W_DEADLINE]: 100 };
    if (row.kind === t.REQUEST) say(engine, base, request, 'x');
    else if (row.kind === t.FAILED) say(engine, base, { [t.W_ACTION]: t.RETRY, [t.W_ENDPOINT]: silent });
    else if (row.kind === t.TIMEOUT) say(engine, base, { [t.W_ACTION]: t.REPLY }, 'late');
  });
  // A handshake that never ends: connecting takes as long as the request may.
  const context = s.engine.tlsContext({ ...serverSpec, certificates: [], side: 'client' });
  never = s.engine.endpoint('127.0.0.1', up.port, 100, { context, names: [] });
  silent = s.engine.endpoint('127.0.0.1', up.port, 1000);
  const c = await connect(s.port);
  c.send('x');
  assert.equal(await c.closed(), 'late');
});
