import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { stringify } from 'yaml';
import { mergeValues } from './diff.ts';
import { deleteIn, merge, rewrite, setIn } from './edit.ts';
import { parseDocument } from './yaml.ts';

const text = `# The leaf of rack 4.
system: { hostname: leaf1 }   # see the label

ports:
  # uplink
  swp1: { device: eth1, mtu: 9000, vlan: { access: web } }
  swp2:
    vlan: { trunk: [web, 20], native: 1 } # to the hypervisor
  swp3: {}

vlans:
  web: { id: 10 }
  20:
    address: [10.0.0.1/24]
`;

function valueOf(yaml: string): unknown {
  const { value, problems } = parseDocument(yaml, 'f');
  assert.deepEqual(problems, [], yaml);
  return value ?? {};
}

/** The lines of `after` that `before` does not have, and the other way round. */
function changed(before: string, after: string): string[] {
  const [a, b] = [before.split('\n'), after.split('\n')];
  return [
    ...a.filter((line) => !b.includes(line)).map((l) => `-${l}`),
    ...b.filter((line) => !a.includes(line)).map((l) => `+${l}`),
  ];
}

test('a scalar in the place of a scalar changes those characters alone', () => {
  assert.equal(setIn(text, ['ports', 'swp1', 'mtu'], 1500), text.replace('9000', '1500'));
  assert.equal(setIn(text, ['system', 'hostname'], 'leaf-2'), text.replace('leaf1', 'leaf-2'));
  assert.equal(setIn(text, ['vlans', '20', 'address', 0], '10.0.0.2/24'), text.replace('10.0.0.1/24', '10.0.0.2/24'));
  assert.equal(
    setIn(text, ['ports', 'swp1', 'vlan', 'access'], 'a, b]'),
    text.replace('access: web', 'access: "a, b]"'),
  );
});

test('new keys, appended entries and whole maps leave every other line and comment', () => {
  const rows = [
    [['ports', 'swp3', 'mtu'], 9000, ['-  swp3: {}', '+  swp3: { mtu: 9000 }']],
    [
      ['ports', 'swp2', 'vlan', 'trunk', 2],
      30,
      [/^-.*trunk: \[web, 20\]/, /^\+.*trunk: \[web, 20, 30\].*# to the hypervisor/],
    ],
    [['ports', 'swp9', 'vlan'], { trunk: [1, 'a'] }, ['+  swp9:', /trunk: \[1, a\]/]],
    [['routes', '0.0.0.0/0', 'via'], ['10.0.0.1'], ['+routes:', '+  0.0.0.0/0:', /via: \[10.0.0.1\]/]],
    [['vlans', '20', 'id'], 20, ['+    id: 20']],
  ] as const;
  for (const [path, value, lines] of rows) {
    const after = setIn(text, path, value);
    const difference = changed(text, after).filter((line) => !/see the label/.test(line));
    for (const line of lines) {
      const found = difference.some((each) => (typeof line === 'string' ? each === line : line.test(each)));
      assert.ok(found, `${path.join('.')}: ${String(line)} in\n${difference.join('\n')}`);
    }
    for (const comment of text.match(/#.*/g) ?? []) assert.ok(after.includes(comment), `${comment} in\n${after}`);
  }
});

test('deleting', () => {
  const after = deleteIn(text, ['ports', 'swp2']);
  assert.ok(!after.includes('swp2') && after.includes('# uplink') && after.includes('# The leaf'));
  assert.equal(deleteIn(text, ['ports', 'swp8', 'mtu']), text);
  assert.deepEqual(valueOf(deleteIn('a: { b: 1 }\n', ['a', 'b'])), { a: {} });
  assert.deepEqual(valueOf(deleteIn('a: [1, 2, 3]\n', ['a', 1])), { a: [1, 3] });
  assert.deepEqual(valueOf(deleteIn(text, [])), {});
});

test('odd texts: empty, comments only, aliases, null sections', () => {
  assert.deepEqual(valueOf(setIn('', ['a', 'b'], 1)), { a: { b: 1 } });
  const commented = setIn('# only this\n', ['a'], 1);
  assert.ok(commented.includes('# only this'));
  assert.deepEqual(valueOf(commented), { a: 1 });
  assert.deepEqual(valueOf(setIn('a: &x { b: 1 }\nc: *x\n', ['c', 'b'], 2)), { a: { b: 1 }, c: { b: 2 } });
  assert.deepEqual(valueOf(setIn('ports:\n', ['ports', 'swp1'], {})), { ports: { swp1: {} } });
  assert.throws(() => setIn('a: 1\n', ['a', 'b'], 1), RangeError);
  assert.throws(() => setIn('a: [1]\n', ['a', 5], 1), RangeError);
  assert.throws(() => setIn('a: [\n', ['a'], 1), RangeError);
});

const key = fc.constantFrom('a', 'b', 'c', '10', '0.0.0.0/0', 'on', '1.10', 'x y', '');
const scalar = fc.oneof(
  fc.integer({ min: -9, max: 99999 }),
  fc.boolean(),
  fc.constant(null),
  fc.constantFrom(
    'web',
    '10',
    'true',
    '',
    'a: b',
    '# no',
    '- x',
    '"q"',
    'é',
    '1e3',
    '0x10',
    'null',
    'x, y',
    '~',
    '10.0.0.1/24',
    'a\nb',
  ),
);
const { value: anyValue } = fc.letrec<{ value: unknown; map: Record<string, unknown> }>((tie) => ({
  value: fc.oneof({ maxDepth: 3 }, scalar, fc.array(scalar, { maxLength: 3 }), tie('map')),
  map: fc.dictionary(key, tie('value'), { maxKeys: 4, noNullPrototype: true }),
}));
const map = fc.dictionary(key, anyValue, { maxKeys: 4, noNullPrototype: true });
const yaml = fc
  .tuple(map, fc.boolean())
  .map(([value, flow]) => stringify(value, flow ? { collectionStyle: 'flow' } : {}));

test('what was set is there, and all else is as it was', () => {
  fc.assert(
    fc.property(yaml, fc.array(key, { minLength: 1, maxLength: 3 }), anyValue, (before, path, value) => {
      const expected = structuredClone(valueOf(before)) as Record<string, unknown>;
      let at = expected;
      for (const step of path.slice(0, -1)) {
        const inner = Object.hasOwn(at, step) ? at[step] : undefined;
        if (inner !== undefined && inner !== null && (typeof inner !== 'object' || Array.isArray(inner))) return;
        at = (at[step] = inner ?? {}) as Record<string, unknown>;
      }
      at[path.at(-1) ?? ''] = value;
      assert.deepEqual(valueOf(setIn(before, path, value)), expected);
    }),
    { numRuns: 300 },
  );
});

test('a rewritten text says the value, and says it without a change when it did already', () => {
  fc.assert(
    fc.property(yaml, map, (before, value) => {
      assert.deepEqual(valueOf(rewrite(before, value)), value);
      assert.equal(rewrite(before, structuredClone(valueOf(before))), before);
    }),
    { numRuns: 300 },
  );
});

test('a merge with an unchanged side is the other side, and both orders agree', () => {
  fc.assert(
    fc.property(yaml, yaml, yaml, (base, ours, theirs) => {
      const result = (b: string, o: string, t: string): unknown => {
        const merged = merge(b, o, t);
        return 'text' in merged ? valueOf(merged.text) : merged.conflicts.map((path) => path.join('\0')).toSorted();
      };
      assert.deepEqual(result(base, ours, base), valueOf(ours));
      assert.deepEqual(result(base, base, theirs), valueOf(theirs));
      assert.deepEqual(result(base, ours, ours), valueOf(ours));
      assert.deepEqual(result(base, ours, theirs), result(base, theirs, ours));
    }),
    { numRuns: 200 },
  );
});

test('merges of changes that meet, and of changes that do not', () => {
  const base = { swp1: { mtu: 1500, vlan: 1 }, swp2: { trunk: [1] } };
  const m = (ours: unknown, theirs: unknown): unknown => mergeValues(base, ours, theirs);
  const more = { ...base, swp3: {} };
  assert.deepEqual(m({ ...base, swp1: { mtu: 9000, vlan: 1 } }, more), {
    value: { ...more, swp1: { mtu: 9000, vlan: 1 } },
  });
  assert.deepEqual(m({ swp1: { vlan: 1 }, swp2: { trunk: [1] } }, { swp1: { mtu: 1500 }, swp2: { trunk: [1] } }), {
    value: { swp1: {}, swp2: { trunk: [1] } },
  });
  assert.deepEqual(m({ ...base, swp2: { trunk: [1, 2] } }, { ...base, swp2: { trunk: [1, 3] } }), {
    conflicts: [['swp2', 'trunk']],
  });
  assert.deepEqual(m({ swp2: base.swp2 }, { ...base, swp1: { mtu: 9000, vlan: 1 } }), { conflicts: [['swp1']] });
  assert.deepEqual(mergeValues(undefined, { a: 1 }, { b: 2 }), { value: { b: 2, a: 1 } });
});
