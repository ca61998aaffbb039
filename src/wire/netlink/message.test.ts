import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { parsePrefix } from '../../lib/prefix.ts';
import { addressAddRequest, decodeAddress } from './address.ts';
import { decodeLink, linkChangeRequest, vethRequest } from './link.ts';
import {
  decodeAttributes,
  decodeMessages,
  encodeAttributes,
  encodeMessage,
  type Message,
  readText,
  readU32,
  type Request,
} from './message.ts';
import { decodeNeighbor, neighborPutRequest } from './neighbor.ts';
import { decodeRoute, type Route, routePutRequest } from './route.ts';
import { decodeRule, type Rule, ruleAddRequest } from './rule.ts';

/** What the kernel would read, and send to its listeners in the same form. */
function echo(request: Request): Message {
  const [message] = [...decodeMessages(encodeMessage(request, 1))];
  assert.ok(message);
  return message;
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

test('an address request is the bytes that ip(8) sends', () => {
  const prefix = parsePrefix('10.0.0.1/24');
  assert.ok(prefix);
  const bytes = encodeMessage(addressAddRequest({ index: 2, prefix, protocol: 213, noDad: true }), 7);
  assert.equal(
    hex(bytes),
    // nlmsghdr, ifaddrmsg, IFA_LOCAL, IFA_ADDRESS, IFA_FLAGS, IFA_PROTO
    '38000000140001060700000000000000' +
      '0218000002000000' +
      '080002000a000001' +
      '080001000a000001' +
      '0800080002000000' +
      '05000b00d5000000',
  );
});

test('a veth request nests the peer, header and all', () => {
  const body = echo(vethRequest({ name: 'a' }, { name: 'b', netnsFd: 9 })).body;
  const info = decodeAttributes(decodeAttributes(body, 16).get(18) ?? new Uint8Array(0));
  assert.equal(readText(info.get(1)), 'veth');
  const peer = decodeAttributes(info.get(2) ?? new Uint8Array(0)).get(1);
  assert.ok(peer);
  const attributes = decodeAttributes(peer, 16);
  assert.equal(readText(attributes.get(3)), 'b');
  assert.equal(readU32(attributes.get(28)), 9);
});

test('links, addresses, neighbors and rules come out as they went in', () => {
  const link = decodeLink(echo(linkChangeRequest({ index: 5, rename: 'c', mtu: 1400, up: true, alias: 'ü' })));
  assert.deepEqual([link?.index, link?.name, link?.mtu, link?.up, link?.alias], [5, 'c', 1400, true, 'ü']);
  const mac = Uint8Array.of(2, 0, 0, 0, 0, 1);
  const neighbor = decodeNeighbor(echo(neighborPutRequest(3, new Uint8Array(16).fill(1), mac)));
  assert.deepEqual(neighbor, {
    index: 3,
    address: '101:101:101:101:101:101:101:101',
    mac: '02:00:00:00:00:01',
    state: 'permanent',
  });
  const rule: Rule = { family: 6, priority: 9, table: 1000, protocol: 213, fwmark: 0xffff_ffff, fwmask: 1, iif: 'lo' };
  assert.deepEqual(decodeRule(echo(ruleAddRequest(rule))), rule);
});

const octet = fc.integer({ min: 0, max: 255 });
const address = fc.tuple(octet, octet, octet, octet).map((bytes) => bytes.join('.'));
const plain = { noNullPrototype: true };
const hop = fc.record({ via: address, dev: fc.integer({ min: 1, max: 0x7fff_ffff }) }, plain);
const route: fc.Arbitrary<Route> = fc.record(
  {
    prefix: fc.tuple(address, fc.integer({ min: 0, max: 32 })).map(([text, length]) => {
      const prefix = parsePrefix(`${text}/${length}`);
      const bits = (prefix?.ip.bytes ?? []) as Uint8Array;
      const word =
        ((((bits[0] ?? 0) << 24) | ((bits[1] ?? 0) << 16) | ((bits[2] ?? 0) << 8) | (bits[3] ?? 0)) >>> 0) &
        (length === 0 ? 0 : (-1 << (32 - length)) >>> 0);
      return `${(word >>> 24) & 255}.${(word >>> 16) & 255}.${(word >>> 8) & 255}.${word & 255}/${length}`;
    }),
    table: fc.integer({ min: 1, max: 0xffff_ffff }),
    protocol: octet,
    metric: fc.integer({ min: 0, max: 0xffff_ffff }),
    type: fc.constant('unicast' as const),
    nextHops: fc.oneof(
      hop.map((one) => [one]),
      fc
        .array(fc.tuple(hop, fc.integer({ min: 1, max: 256 })), { minLength: 2, maxLength: 8 })
        .map((hops) => hops.map(([one, weight]) => ({ ...one, weight }))),
    ),
  },
  plain,
);

test('any route comes out as it went in', () => {
  fc.assert(fc.property(route, (value) => assert.deepEqual(decodeRoute(echo(routePutRequest(value))), value)));
});

test('a route that is none is refused before it is sent', () => {
  const base: Route = { prefix: '10.0.0.0/8', table: 254, protocol: 4, metric: 0, type: 'unicast', nextHops: [] };
  assert.throws(() => routePutRequest({ ...base, prefix: '10.0.0.0/33' }), RangeError);
  assert.throws(() => routePutRequest({ ...base, type: 'other' }), RangeError);
  assert.throws(() => routePutRequest({ ...base, nextHops: [{ via: 'x' }] }), RangeError);
  const hops = [{ via: '10.0.0.1', weight: 257 }, { via: '10.0.0.2' }];
  assert.throws(() => routePutRequest({ ...base, nextHops: hops }), RangeError);
});

test('no bytes make a decoder throw or run on', () => {
  const decoders = [decodeLink, decodeAddress, decodeRoute, decodeRule, decodeNeighbor];
  const types = [16, 17, 20, 21, 24, 25, 28, 29, 32, 33];
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 96 }),
      fc.constantFrom(...types),
      fc.constantFrom(0, 2, 10),
      (body, type, family) => {
        if (body.length > 0) body[0] = family;
        for (const decode of decoders) {
          try {
            decode({ type, flags: 0, seq: 0, body });
          } catch (error) {
            // An address attribute of a length that no address has: the kernel sends none.
            assert.ok(error instanceof RangeError);
          }
        }
        assert.ok([...decodeMessages(body)].length <= body.length / 16);
        assert.ok(decodeAttributes(body).size <= body.length / 4);
      },
    ),
  );
});

test('attributes are padded, and one that is too long is refused', () => {
  assert.equal(
    hex(
      encodeAttributes([
        [3, 'lo'],
        [4, 7],
      ]),
    ),
    '070003006c6f00000800040007000000',
  );
  assert.throws(() => encodeAttributes([[1, new Uint8Array(0xffff)]]), RangeError);
});
