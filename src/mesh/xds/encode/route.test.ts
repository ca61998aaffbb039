import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fromBinary, toBinary } from '@bufbuild/protobuf';
import { forward, host, route } from '../../../../test/fake/l7.ts';
import { atOnce } from '../../../lib/work/turns.ts';
import { RouteConfigurationSchema } from '../gen/envoy/config/route/v3/route_pb.ts';
import { encodeTable, routeConfiguration } from './route.ts';

const one = host(['a.test', '*.a.test'], route('httproute/default/a/0/0', forward('default/web/80')));
const other = host(['b.test'], route('x', forward('default/web/80')), route('y', forward('default/api/80')));

test('a table host by host is the bytes of all of it, with hosts that were there before too', () => {
  for (const hosts of [[], [one], [other, one], [one, host(['b.test'])], [other, one]]) {
    const table = { name: '10.0.0.1:80', hosts };
    const bytes = atOnce(encodeTable(table));
    assert.deepEqual(bytes, Buffer.from(toBinary(RouteConfigurationSchema, routeConfiguration(table))));
    const read = fromBinary(RouteConfigurationSchema, bytes);
    assert.deepEqual(
      read.virtualHosts.map(({ domains }) => domains),
      hosts.map(({ domains }) => domains),
    );
  }
});
