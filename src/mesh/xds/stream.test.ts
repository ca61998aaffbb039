// What needs a clock of its own: a client that does not follow.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Clock } from '../../lib/clock.ts';
import { encodeEndpoints, encodeSnapshot, type ResourceSet } from './encode/resources.ts';
import { openStream } from './stream.ts';
import type { Request } from './subscription.ts';

function handClock(): Clock & { pass(): void } {
  const calls = new Set<() => void>();
  return {
    now: () => 0,
    monotonic: () => 0,
    after(_, call) {
      calls.add(call);
      return { [Symbol.dispose]: () => void calls.delete(call) };
    },
    pass() {
      for (const call of Array.from(calls)) {
        calls.delete(call);
        call();
      }
    },
  };
}

function world(cluster: string): ResourceSet {
  const clusters = [{ key: cluster, protocol: 'HTTP/1.1' as const, connectTimeoutMs: 1, policy: 'random' as const }];
  const routes = [{ name: 't', hosts: [{ name: cluster, domains: ['*'], routes: [] }] }];
  const encoded = encodeSnapshot({ scope: 'gateway', version: cluster, listeners: [], routes, clusters, secrets: [] });
  const endpoints = encodeEndpoints({ cluster, version: '1', list: [] });
  return { ...encoded, eds: new Map([[cluster, endpoints]]) };
}

const nothing = { nonce: '', error: undefined, names: [], unsubscribed: [], version: '', initial: {} };

/** A delta client that takes all clusters and one table, and never asks for endpoints. */
function deaf(clock: Clock) {
  const sent: { type: string; nonce: string; names: string[]; removed: readonly string[] }[] = [];
  const stream = openStream(
    'delta',
    world('a'),
    (type, { resources, removed }, nonce) => sent.push({ type, nonce, names: resources.map((r) => r.name), removed }),
    clock,
  );
  const ask = (request: Partial<Request> & Pick<Request, 'type'>) => stream.request({ ...nothing, ...request });
  ask({ type: 'cds' });
  ask({ type: 'cds', nonce: '1' });
  ask({ type: 'rds', names: ['t'] });
  ask({ type: 'rds', nonce: '2' });
  sent.length = 0;
  return { stream, sent, ask };
}

test('routes wait for endpoints, but not for ever', () => {
  const clock = handClock();
  const { stream, sent, ask } = deaf(clock);
  stream.update(world('b'));
  ask({ type: 'cds', nonce: sent[0]?.nonce ?? '' });
  assert.deepEqual(
    sent.map((s) => s.type),
    ['cds'],
  );
  clock.pass();
  assert.deepEqual(
    sent.map((s) => s.type),
    ['cds', 'rds'],
  );
  ask({ type: 'rds', nonce: sent[1]?.nonce ?? '' });
  assert.deepEqual(
    sent.slice(2).map((s) => [s.type, s.removed]),
    [['cds', ['a']]],
  );
  stream.close();
});

test('a client that refused the clusters keeps its routes, however long', () => {
  const clock = handClock();
  const { stream, sent, ask } = deaf(clock);
  stream.update(world('b'));
  ask({ type: 'cds', nonce: sent[0]?.nonce ?? '', error: 'no' });
  clock.pass();
  assert.deepEqual(
    sent.map((s) => s.type),
    ['cds'],
  );
  stream.close();
});

function listening(...ports: readonly number[]): ResourceSet {
  const listeners = ports.map((port) => {
    const name = `0.0.0.0:${port}`;
    return { name, address: '0.0.0.0', port, protocol: 'HTTP' as const, routes: 't' };
  });
  const encoded = encodeSnapshot({ scope: 'gateway', version: '', listeners, routes: [], clusters: [], secrets: [] });
  return { ...encoded, eds: new Map() };
}

test('a listener that was refused and is dropped again stops nothing; one that stays is tried again', () => {
  const sent: { type: string; nonce: string; names: string[]; removed: readonly string[] }[] = [];
  const stream = openStream(
    'delta',
    listening(80),
    (type, { resources, removed }, nonce) => sent.push({ type, nonce, names: resources.map((r) => r.name), removed }),
    handClock(),
  );
  const answer = (error?: string) => {
    stream.request({ ...nothing, type: 'lds', nonce: sent.at(-1)?.nonce ?? '', error });
  };
  stream.request({ ...nothing, type: 'lds' });
  answer();
  stream.update(listening(80, 81));
  answer('taken');
  assert.equal(stream.state()[0]?.nack, 'taken');
  stream.update(listening(80, 81, 82));
  assert.deepEqual(sent.at(-1)?.names, ['0.0.0.0:81', '0.0.0.0:82']);
  answer('taken');
  stream.update(listening(80, 82));
  assert.deepEqual(sent.at(-1)?.names, ['0.0.0.0:82']);
  answer();
  assert.deepEqual([sent.at(-1)?.names, sent.at(-1)?.removed], [[], ['0.0.0.0:81']]);
  answer();
  const [state] = stream.state();
  assert.deepEqual([state?.nack, state?.sent === state?.acked], [undefined, true]);
  stream.close();
});

test('a first world that is refused is not told again with the next', () => {
  const sent: { nonce: string; names: string[]; removed: readonly string[] }[] = [];
  const stream = openStream(
    'delta',
    listening(80),
    (_, { resources, removed }, nonce) => sent.push({ nonce, names: resources.map((r) => r.name), removed }),
    handClock(),
  );
  stream.request({ ...nothing, type: 'lds' });
  stream.request({ ...nothing, type: 'lds', nonce: '1', error: 'taken' });
  stream.update(listening(81));
  stream.request({ ...nothing, type: 'lds', nonce: '2' });
  assert.deepEqual(
    sent.map((s) => [s.names, s.removed]),
    [
      [['0.0.0.0:80'], []],
      [['0.0.0.0:81'], []],
      [[], ['0.0.0.0:80']],
    ],
  );
  stream.close();
});

test('the same content encodes to the same bytes', () => {
  const versions = (set: ResourceSet) =>
    [...set.cds.values(), ...set.rds.values(), ...set.eds.values()].map((r) => r.version);
  assert.deepEqual(versions(world('a')), versions(world('a')));
  assert.notDeepEqual(versions(world('a')), versions(world('b')));
});
