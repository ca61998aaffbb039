import assert from 'node:assert/strict';
import { test } from 'node:test';
import { connect, host, route } from '../../../test/fake/l7.ts';
import { rig } from '../../../test/fake/l7-rig.ts';
import { type HeaderEdits, noEdits } from '../../mesh/snapshot.ts';

/** The head of a fixed reply with these edits. */
async function replied(response: Partial<HeaderEdits>): Promise<string> {
  using r = await rig();
  const reply = { kind: 'reply', status: 200, body: '{}' } as const;
  r.serve([host(['*'], route('r', reply, {}, { response: { ...noEdits, ...response } }))]);
  const c = await connect(r.port);
  c.send('GET / HTTP/1.1\r\nHost: a.test\r\n\r\n');
  const got = await c.until(/\r\n\r\n/);
  c.socket.destroy();
  return got;
}

test('a fixed reply is text unless its route says what it is', async () => {
  const typesIn = (text: string) => [...text.matchAll(/content-type: (.*)\r/g)].map(([, type]) => type);
  assert.deepEqual(typesIn(await replied({})), ['text/plain']);
  assert.deepEqual(typesIn(await replied({ set: [['content-type', 'application/json']] })), ['application/json']);
  assert.deepEqual(typesIn(await replied({ remove: ['content-type'] })), []);
});
