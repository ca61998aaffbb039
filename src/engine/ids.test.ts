import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { FaultError } from './faults.ts';
import { openBaseMac, openIds } from './ids.ts';

test('a file that does not hold what was written to it is a fault, and is left as it is', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'mpt-ids-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const isTold = (error: unknown): boolean => error instanceof FaultError && error.fault.code === 'unreadable';
  for (const text of ['', '{"port":{"a":1', 'null', '[]', '{"port":{"a":"1"}}', '\0\0\0']) {
    const file = join(folder, 'file');
    writeFileSync(file, text);
    assert.throws(() => openIds(file), isTold, text);
    assert.throws(() => openBaseMac(file, () => assert.fail('it is not made anew')), isTold, text);
    assert.equal(readFileSync(file, 'utf8'), text);
  }
  assert.throws(() => openIds(folder), isTold);
});

test('a name that Object has too is a name like others', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'mpt-ids-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const ids = openIds(join(folder, 'ids.json'));
  assert.equal(ids.id('port', 'a', 4), 1);
  assert.deepEqual([ids.find('port', 'constructor'), ids.id('port', 'constructor', 4)], [undefined, 2]);
  assert.equal(openIds(join(folder, 'ids.json')).find('port', 'constructor'), 2);
});

test('an id is on disk before it is used, stays, and is freed an hour after its last use', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'mpt-ids-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'ids.json');
  const ids = openIds(file);
  assert.deepEqual([ids.id('port', 'a', 4), ids.id('port', 'b', 4), ids.id('service', 'a', 4)], [1, 2, 1]);
  assert.match(readFileSync(file, 'utf8'), /"b":2/);
  const many = ids.together(() => {
    const made = ids.id('port', 'c', 4);
    assert.doesNotMatch(readFileSync(file, 'utf8'), /"c"/);
    return made;
  });
  assert.equal(many, 3);
  assert.match(readFileSync(file, 'utf8'), /"c":3/);
  assert.throws(
    () => ids.id('port', 'd', 4),
    (error) => error instanceof FaultError && error.fault.code === 'table-full',
  );
  const again = openIds(file);
  assert.deepEqual([again.find('port', 'b'), again.name('port', 3), again.find('port', 'd')], [2, 'c', undefined]);
  const inUse = new Set(['a', 'c']);
  again.retain('port', inUse, 0);
  again.retain('port', inUse, 3_599_999);
  assert.equal(again.find('port', 'b'), 2);
  again.retain('port', new Set(['a', 'b']), 3_600_000);
  assert.deepEqual([again.find('port', 'b'), again.find('port', 'c')], [2, 3]);
  again.retain('port', inUse, 3_600_001);
  again.retain('port', inUse, 7_200_002);
  assert.equal(again.find('port', 'b'), undefined);
  assert.equal(again.id('port', 'd', 4), 2);
  assert.equal(openIds(file).name('port', 2), 'd');
});

test('the base MAC address is made once, unicast and locally administered', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'mpt-ids-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const make = (): string => openBaseMac(join(folder, 'mac'), (n) => new Uint8Array(n).fill(0xff));
  assert.equal(make(), '02:ff:ff:ff:ff:ff');
  assert.equal(
    openBaseMac(join(folder, 'mac'), () => assert.fail('made twice')),
    '02:ff:ff:ff:ff:ff',
  );
});
