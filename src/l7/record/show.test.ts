import assert from 'node:assert/strict';
import { test } from 'node:test';
import { forward, host, route, snapshot } from '../../../test/fake/l7.ts';
import type { RouteRow } from './stats.ts';
import {
  httpListeners,
  httpListenersData,
  httpRoutes,
  httpRoutesData,
  httpWorkersData,
  httpWorkers,
  renderHttpListeners,
  renderHttpRoutes,
  renderHttpWorkers,
} from './show.ts';

function row(table: string, name: string, requests: number): RouteRow {
  const classes = [0, requests - 2, 0, 1, 1] as const;
  return {
    table,
    route: name,
    requests,
    classes,
    aborted: 0,
    bytesIn: 1,
    bytesOut: 1,
    meanMs: 1,
    p50Ms: 0.512,
    p99Ms: 20,
  };
}

const s = snapshot(80, [
  host(
    ['a.test', '*.a.test'],
    route('api', forward('default/web/80/v1 80', 'default/web/80/v2 20'), {
      path: { kind: 'prefix', value: '/api' },
      method: 'GET',
      headers: [{ name: 'x-user', match: { kind: 'exact', value: 'jason' }, invert: true }],
      query: [{ name: 'q', match: { kind: 'present', value: '' } }],
    }),
    route('rest', { kind: 'redirect', status: 302 }),
  ),
  host(['b.test'], route('rest', { kind: 'redirect', status: 302 })),
]);

test('routes with what was counted', () => {
  const data = httpRoutes(s, [row('main', 'api', 12), row('', '', 3)]);
  assert.deepEqual(httpRoutesData.parse(data), data);
  assert.deepEqual(
    data.map((r) => [r.route, r.hosts.join(','), r.match, r.action, r.requests]),
    [
      [
        'api',
        'a.test,*.a.test',
        'GET prefix /api, not x-user = jason, ?q present',
        'default/web/80/v1 80, default/web/80/v2 20',
        12,
      ],
      ['rest', 'a.test,*.a.test,b.test', 'any', 'redirect 302', 0],
      ['-', '', '', '404', 3],
    ],
  );
  const text = renderHttpRoutes(data, 200);
  assert.match(text, /^Route +Match +To +Requests +2xx +4xx +5xx +p99 ms/);
  assert.match(text, /\napi .* 12 +10 +1 +1 +20\n/);
  assert.ok(
    renderHttpRoutes(data, 80)
      .split('\n')
      .every((l) => l.length <= 80),
  );
  assert.equal(renderHttpRoutes(httpRoutes(undefined, []), 80), 'no routes\n');
});

test('workers', () => {
  const counts = { accepted: 5, refused: 0, connections: 2, upstreams: 1, upstreamsIdle: 1, upstreamConnects: 3 };
  const engine = {
    ...counts,
    batches: 1,
    rows: 1,
    refusedRows: 1,
    heldBytes: 700,
    streams: 0,
    starved: 6,
    upstreamsResumed: 2,
  };
  const failed = { tlsUnshared: 1, tlsCertificate: 2, tlsAlert: 3, tlsCut: 4, tlsOther: 5 };
  const tls = { tlsHandshakes: 9, tlsResumed: 4, ...failed };
  const data = httpWorkers([{ worker: 0, ...engine, ...tls, logDropped: 0, faults: 0, changeMs: 0 }]);
  assert.deepEqual(httpWorkersData.parse(data), data);
  assert.match(
    renderHttpWorkers(data),
    /^Worker +Clients[^\n]*\n +0 +2 +5 +0 +1 +1 +3 +700 +9 +1 +2 +3 +4 +5 +6 +0 +1\n$/,
  );
});

test('listeners with their bounds, and what was turned away', () => {
  const [listener] = s.listeners;
  const { name } = listener!;
  const bound = { ...s, listeners: [{ ...listener!, limits: { connections: 10 } }] };
  const data = httpListeners(bound, [{ listener: name, connections: 7, over: 3, overClient: 1 }]);
  assert.deepEqual(httpListenersData.parse(data), data);
  assert.match(renderHttpListeners(data), /^Listener +Protocol +Clients[^\n]*\n[^ ]+ +HTTP +7 +10 +3 +- +1\n$/);
  assert.equal(renderHttpListeners([]), 'no listeners\n');
});
