// The rules of the xDS transport protocol, through the front door: a gRPC client on the unix socket.
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, beforeEach, afterEach, describe, test } from 'node:test';
import { status } from '@grpc/grpc-js';
import { pino } from 'pino';
import { systemClock } from '../../lib/clock.ts';
import type { Cluster, Endpoints, Snapshot } from '../snapshot.ts';
import { noEdits } from '../snapshot.ts';
import { versionOf } from '../version.ts';
import { eventually } from '../../../test/fake/eventually.ts';
import { deltaClient, nodeOf, sotwClient } from '../../../test/fake/xds-client.ts';
import { openXds, type Xds } from './server.ts';

let folder = '';
let path = '';
let xds: Xds;

before(() => (folder = mkdtempSync(join(tmpdir(), 'midplane-xds-'))));
after(() => rmSync(folder, { recursive: true, force: true }));
beforeEach(async () => {
  path = join(folder, 'xds.sock');
  xds = await openXds({ socketPath: path, log: pino({ level: 'silent' }), clock: systemClock });
});
afterEach(() => xds[Symbol.asyncDispose]());

/** A snapshot with one listener whose routes forward to the clusters. */
function snapshot(clusters: readonly string[], policy: Cluster['policy'] = 'round-robin', port = 80): Snapshot {
  const name = `0.0.0.0:${port}`;
  const forward = clusters.map((cluster) => ({ cluster, weight: 1, request: noEdits, response: noEdits }));
  const route = {
    name: 'r',
    match: { headers: [], query: [] },
    request: noEdits,
    response: noEdits,
    action: { kind: 'forward' as const, clusters: forward, timeoutMs: 0 },
  };
  const content = {
    listeners: [{ name, address: '0.0.0.0', port, protocol: 'HTTP' as const, routes: name }],
    routes: [{ name, hosts: [{ name: '*', domains: ['*'], routes: [route] }] }],
    clusters: clusters.map((key) => ({ key, protocol: 'HTTP/1.1' as const, connectTimeoutMs: 1000, policy })),
    secrets: [],
  };
  return { scope: 'gateway', version: versionOf(content), ...content };
}

function endpoints(cluster: string, port = 1): Endpoints {
  const list = [{ address: '127.0.0.1', port, weight: 1, healthy: true, name: 'a' }];
  return { cluster, version: versionOf(list), list };
}

async function offer(clusters: readonly string[], policy?: Cluster['policy'], port?: number): Promise<void> {
  for (const cluster of clusters) xds.consumer('gateway').endpoints(endpoints(cluster));
  await xds.consumer('gateway').offer(snapshot(clusters, policy, port));
}

async function offerNothing(): Promise<void> {
  const content = { listeners: [], routes: [], clusters: [], secrets: [] };
  await xds.consumer('gateway').offer({ scope: 'gateway', version: versionOf(content), ...content });
}

describe('state of the world', () => {
  /** A client that has taken everything of cluster "a". */
  async function settled() {
    await offer(['a']);
    const client = sotwClient(path);
    client.send('cds', { node: nodeOf('gateway') });
    client.ack(await client.next());
    client.send('eds', { resourceNames: ['a'] });
    client.ack(await client.next(), ['a']);
    client.send('lds', {});
    client.ack(await client.next());
    client.send('rds', { resourceNames: ['0.0.0.0:80'] });
    client.ack(await client.next(), ['0.0.0.0:80']);
    await client.quiet();
    return client;
  }

  test('an acknowledgement, and the same offer again, are not answered', async () => {
    using client = await settled();
    await offer(['a']);
    await client.quiet();
    await eventually(() =>
      assert.deepEqual(
        xds.proxies().map((p) => [p.id, p.role, p.variant, p.types.every((t) => t.sent === t.acked)]),
        [['p1', 'gateway', 'sotw', true]],
      ),
    );
  });

  test('a change travels clusters, endpoints, then routes; what is out of use goes last', async () => {
    using client = await settled();
    await offer(['b']);
    const added = await client.next();
    assert.deepEqual([added.type, added.names], ['cds', ['a', 'b']]);
    client.ack(added);
    await client.quiet();
    client.send('eds', { resourceNames: ['a', 'b'], responseNonce: '2' });
    const known = await client.next();
    assert.deepEqual([known.type, known.names], ['eds', ['b']]);
    await client.quiet();
    client.ack(known, ['a', 'b']);
    const routes = await client.next();
    assert.equal(routes.type, 'rds');
    await client.quiet();
    client.ack(routes, ['0.0.0.0:80']);
    const removed = await client.next();
    assert.deepEqual([removed.type, removed.names], ['cds', ['b']]);
  });

  test('a refusal is kept and shown, nothing more travels, and only another offer is sent', async () => {
    using client = await settled();
    await offer(['b']);
    client.nack(await client.next(), 'no such thing');
    await client.quiet();
    await eventually(() => {
      const cds = xds.proxies()[0]?.types.find((t) => t.type === 'cds');
      assert.equal(cds?.nack, 'no such thing');
      assert.notEqual(cds?.sent, cds?.acked);
    });
    await offer(['b']);
    await client.quiet();
    await offer(['c']);
    const next = await client.next();
    assert.deepEqual([next.type, next.names], ['cds', ['a', 'c']]);
    client.ack(next);
    await client.quiet();
    const nack = (): unknown => xds.proxies()[0]?.types.find((t) => t.type === 'cds')?.nack;
    await eventually(() => assert.equal(nack(), undefined));
  });

  test('a stale nonce is not answered, and its names do not count', async () => {
    using client = await settled();
    client.send('eds', { resourceNames: ['a', 'zz'], responseNonce: 'old' });
    await client.quiet();
  });

  test('a changed cluster brings its endpoints again, though they are the same', async () => {
    using client = await settled();
    await offer(['a'], 'random');
    const cluster = await client.next();
    assert.deepEqual([cluster.type, cluster.names], ['cds', ['a']]);
    const again = await client.next();
    assert.deepEqual([again.type, again.names], ['eds', ['a']]);
  });

  test('names that are not there are remembered; only added names are answered', async () => {
    using client = await settled();
    client.send('eds', { resourceNames: ['a', 'later'], responseNonce: '2' });
    await client.quiet();
    await offer(['a', 'later']);
    client.ack(await client.next());
    const now = await client.next();
    assert.deepEqual([now.type, now.names], ['eds', ['later']]);
  });

  test('after names an empty list wants nothing; without names it wants all', async () => {
    await offer(['a', 'b']);
    using client = sotwClient(path);
    client.send('cds', { node: nodeOf('gateway'), resourceNames: ['b'] });
    const named = await client.next();
    assert.deepEqual(named.names, ['b']);
    client.ack(named, []);
    await client.quiet();
    await offer(['a', 'b'], 'random');
    await client.quiet();
    client.send('cds', { resourceNames: ['*'], responseNonce: named.nonce });
    assert.deepEqual((await client.next()).names, ['a', 'b']);
  });

  test('a client that comes back with what there is gets nothing', async () => {
    await offer(['a']);
    using first = sotwClient(path);
    first.send('cds', { node: nodeOf('gateway') });
    const { version, nonce } = await first.next();
    using second = sotwClient(path);
    second.send('cds', { node: nodeOf('gateway'), versionInfo: version, responseNonce: nonce });
    await second.quiet();
    await offer(['a', 'b']);
    assert.deepEqual((await second.next()).names, ['a', 'b']);
  });

  test('one response a type is outstanding; changes meanwhile come as one', async () => {
    using client = await settled();
    for (const port of [2, 3, 4]) {
      xds.consumer('gateway').endpoints(endpoints('a', port));
      await client.quiet().catch(() => undefined);
    }
    const first = await client.next();
    await client.quiet();
    client.ack(first, ['a']);
    const second = await client.next();
    client.ack(second, ['a']);
    await client.quiet();
  });

  test('before the first offer nothing is answered: a proxy keeps what it has', async () => {
    using client = sotwClient(path);
    client.send('cds', { node: nodeOf('gateway'), versionInfo: 'earlier' });
    client.send('eds', { resourceNames: ['a'] });
    await client.quiet();
    await offer(['a']);
    const got = [await client.next(), await client.next()];
    assert.deepEqual(
      got.map((g) => [g.type, g.names]),
      [
        ['cds', ['a']],
        ['eds', ['a']],
      ],
    );
  });

  test('an empty world is said at once for what can be had whole', async () => {
    await offerNothing();
    using client = sotwClient(path);
    client.send('lds', { node: nodeOf('gateway') });
    const empty = await client.next();
    assert.deepEqual([empty.type, empty.names], ['lds', []]);
  });

  test('a node without a role is refused, and why', async () => {
    using client = sotwClient(path);
    client.send('cds', { node: { id: 'x' } });
    const failure = await client.failure();
    assert.equal(failure.code, status.INVALID_ARGUMENT);
    assert.match(failure.details, /MIDPLANE_ROLE/);
    await eventually(() => assert.deepEqual(xds.proxies(), []));
  });

  test("the socket is for its owner alone, and one daemon does not take the next one's away", async () => {
    assert.equal(statSync(path).mode & 0o777, 0o600);
    const log = pino({ level: 'silent' });
    const other = await openXds({ socketPath: path, log, clock: systemClock });
    await xds[Symbol.asyncDispose]();
    assert.ok(existsSync(path));
    await other[Symbol.asyncDispose]();
    assert.deepEqual(readdirSync(folder), []);
  });
});

describe('delta', () => {
  async function settled() {
    await offer(['a']);
    const client = deltaClient(path);
    client.send('cds', { node: nodeOf('gateway') });
    client.ack(await client.next());
    client.send('eds', { resourceNamesSubscribe: ['a'] });
    client.ack(await client.next());
    client.send('lds', {});
    client.ack(await client.next());
    client.send('rds', { resourceNamesSubscribe: ['0.0.0.0:80'] });
    client.ack(await client.next());
    await client.quiet();
    return client;
  }

  test('only differences travel, additions first, removals last', async () => {
    using client = await settled();
    await offer(['b']);
    const added = await client.next();
    assert.deepEqual([added.type, added.names, added.removed], ['cds', ['b'], []]);
    client.ack(added);
    client.send('eds', { resourceNamesSubscribe: ['b'] });
    const known = await client.next();
    assert.deepEqual([known.type, known.names, known.removed], ['eds', ['b'], []]);
    await client.quiet();
    client.ack(known);
    const routes = await client.next();
    assert.deepEqual([routes.type, routes.names], ['rds', ['0.0.0.0:80']]);
    await client.quiet();
    client.ack(routes);
    const removed = [await client.next(), await client.next()];
    assert.deepEqual(
      removed.map((r) => [r.type, r.names, r.removed]),
      [
        ['cds', [], ['a']],
        ['eds', [], ['a']],
      ],
    );
  });

  test('with the versions of an earlier stream only what differs comes, and what is gone', async () => {
    await offer(['a', 'b']);
    using first = deltaClient(path);
    first.send('cds', { node: nodeOf('gateway') });
    const { versions } = await first.next();
    using second = deltaClient(path);
    const initialResourceVersions = { a: versions['a'] ?? '', b: 'other', gone: '1' };
    second.send('cds', { node: nodeOf('gateway'), initialResourceVersions });
    const difference = await second.next();
    assert.deepEqual([difference.names, difference.removed], [['b'], ['gone']]);
    using third = deltaClient(path);
    third.send('eds', {
      node: nodeOf('gateway'),
      resourceNamesSubscribe: ['a'],
      initialResourceVersions: { stranger: '1' },
    });
    assert.deepEqual((await third.next()).names, ['a']);
  });

  test('a name that is not there is said to be gone, and sent when it comes', async () => {
    using client = await settled();
    client.send('eds', { resourceNamesSubscribe: ['later'] });
    const absent = await client.next();
    assert.deepEqual([absent.names, absent.removed], [[], ['later']]);
    client.ack(absent);
    await offer(['a', 'later']);
    client.ack(await client.next());
    assert.deepEqual((await client.next()).names, ['later']);
  });

  test('asking again gets it again; an unsubscribed name gets nothing', async () => {
    using client = await settled();
    client.send('eds', { resourceNamesSubscribe: ['a'] });
    const again = await client.next();
    assert.deepEqual(again.names, ['a']);
    client.ack(again);
    client.send('eds', { resourceNamesUnsubscribe: ['a'] });
    await client.quiet();
    xds.consumer('gateway').endpoints(endpoints('a', 9));
    await client.quiet();
  });

  test('a wildcard can be taken back, and names kept', async () => {
    await offer(['a', 'b']);
    using client = deltaClient(path);
    client.send('cds', { node: nodeOf('gateway'), resourceNamesSubscribe: ['*', 'a'] });
    const all = await client.next();
    assert.deepEqual(all.names.toSorted(), ['a', 'b']);
    client.ack(all);
    client.send('cds', { resourceNamesUnsubscribe: ['*'] });
    await client.quiet();
    await offer(['a', 'b'], 'random');
    assert.deepEqual((await client.next()).names, ['a']);
  });

  test('a changed cluster brings its endpoints again, and a refusal stops the travel', async () => {
    using client = await settled();
    await offer(['a'], 'random', 81);
    const cluster = await client.next();
    const again = await client.next();
    assert.deepEqual([cluster.type, again.type, again.names], ['cds', 'eds', ['a']]);
    client.nack(cluster, 'bad');
    client.ack(again);
    await client.quiet();
    const nack = (): unknown => xds.proxies()[0]?.types.find((t) => t.type === 'cds')?.nack;
    await eventually(() => assert.equal(nack(), 'bad'));
    await offer(['a'], 'least-request', 81);
    client.ack(await client.next());
    client.ack(await client.next());
    const listeners = await client.next();
    assert.deepEqual([listeners.type, listeners.names, listeners.removed], ['lds', ['0.0.0.0:81'], []]);
  });

  test('an empty world is said at once', async () => {
    await offerNothing();
    using client = deltaClient(path);
    client.send('cds', { node: nodeOf('gateway') });
    const empty = await client.next();
    assert.deepEqual([empty.names, empty.removed], [[], []]);
  });
});
