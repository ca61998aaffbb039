// Connections that go from one engine to another by their numbers.
import assert from 'node:assert/strict';
import { closeSync } from 'node:fs';
import { test } from 'node:test';
import { eventually } from '../../../test/fake/eventually.ts';
import { connect } from '../../../test/fake/l7.ts';
import { discardParked, parkedConnections } from '../../kernel/l7.ts';
import { tcpBind } from '../../kernel/socket.ts';
import { openEngine } from '../transport-native.ts';
import * as t from '../transport.ts';
import { freePort } from '../../../test/fake/port.ts';

const home = 4711;

/** An engine that answers "NAME TEXT" to whatever comes by its listener, and keeps the connection. */
function open(name: string, tag: number): { engine: t.Engine; listener: number; conns: number[] } {
  const conns: number[] = [];
  const engine: t.Engine = openEngine({
    home,
    onBatch(n) {
      for (let i = 0; i < n; i += 1) {
        const base = i * t.ROW_WORDS;
        const word = (w: number): number => engine.rows[base + w]!;
        if (word(t.W_KIND) !== t.REQUEST) continue;
        conns.push(word(t.W_CONN));
        const off = word(t.W_OFF);
        const text = engine.arena.toString('latin1', off, off + word(t.W_LEN));
        if (!text.endsWith('.')) continue;
        const answer = Buffer.from(`${name} ${text}`);
        engine.arena.set(answer, t.READ_BYTES);
        engine.rows.set([t.OUT_KEEP, text.length, t.REPLY], base + t.W_OUT);
        engine.rows.set([1, t.READ_BYTES, answer.length], base + t.W_TAIL);
      }
    },
  });
  return { engine, listener: engine.listener('never', tag), conns };
}

test('what is parked is taken once, with its bytes and its label, by who has its listener', async () => {
  const [a, b, stranger] = [open('a', 1), open('b', 1), open('c', 2)];
  const port = await freePort();
  const fd = tcpBind({ address: '127.0.0.1', port, reusePort: true, nonBlocking: true });
  a.engine.accept(a.listener, fd);
  const [whole, half, lost] = [await connect(port), await connect(port), await connect(port)];
  whole.send('one.');
  await whole.until(/^a one\.$/);
  a.engine.label(a.conns[0]!, Buffer.from('label'));
  half.send('ha');
  await eventually(() => assert.deepEqual([a.engine.stats().connections, a.conns.length], [3, 2]));
  assert.equal(a.engine.park('tunnels'), 0);
  assert.equal(a.engine.park('all'), 3);
  assert.equal(a.engine.stats().connections, 0);
  const parcels = parkedConnections(home);
  assert.equal(parcels.length, 3);
  assert.deepEqual(parkedConnections(home + 1), []);
  for (const wrong of [0, 1, 2 ** 53 - 1, parcels[0]! + 1]) assert.equal(b.engine.take(wrong), undefined);
  for (const wrong of [-1, NaN, 2 ** 60]) assert.throws(() => b.engine.take(wrong), TypeError);
  // The last that was parked comes first: nobody has its listener.
  assert.equal(stranger.engine.take(parcels[0]!), undefined);
  assert.equal(await lost.closed(), '');
  const labels = parcels.slice(1).map((parcel) => Buffer.from(b.engine.take(parcel)!.label).toString());
  assert.deepEqual(labels, ['', 'label']);
  for (const parcel of parcels) assert.equal(b.engine.take(parcel), undefined, 'twice');
  whole.send('two.');
  await whole.until(/b two\.$/);
  half.send('lf.');
  await half.until(/^b half\.$/);
  assert.equal(b.engine.park('all'), 2);
  discardParked(home);
  await Promise.all([whole.closed(), half.closed()]);
  assert.deepEqual(parkedConnections(home), []);
  for (const one of [a, b, stranger]) one.engine.shut();
  closeSync(fd);
});
