import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { parse } from 'yaml';
import { isoVolume } from './iso.ts';
import { networkConfig, seedVolume } from './seed.ts';

const network = networkConfig({
  mac: '02:00:00:00:00:01',
  address: ['10.0.0.5/24', 'fd00::5/64'],
  gateways: ['10.0.0.1', 'fd00::1'],
  dns: ['10.0.0.1'],
  mtu: 9000,
});

/** Reads the volume as ECMA-119 says, by the names of Rock Ridge: a reader that shares nothing with the writer. */
function readVolume(image: Buffer): Map<string, string> {
  const volume = image.subarray(16 * 2048);
  assert.equal(volume.toString('latin1', 1, 6), 'CD001');
  assert.equal(volume.readUInt32LE(80), image.length / 2048);
  assert.equal(image.toString('latin1', 17 * 2048 + 1, 17 * 2048 + 6), 'CD001');
  const files = new Map<string, string>();
  let offset = volume.readUInt32LE(156 + 2) * 2048;
  for (; image[offset] !== 0; offset += image[offset] ?? 0) {
    const record = image.subarray(offset, offset + (image[offset] ?? 0));
    assert.equal(record.readUInt32LE(2), record.readUInt32BE(6));
    const [place, size, nameLength] = [record.readUInt32LE(2), record.readUInt32LE(10), record[32] ?? 0];
    if (((record[25] ?? 0) & 2) !== 0) continue;
    let use = 33 + nameLength + (nameLength % 2 === 0 ? 1 : 0);
    for (; use + 4 <= record.length; use += record[use + 2] ?? 0) {
      if (record.toString('latin1', use, use + 2) !== 'NM') continue;
      const name = record.toString('latin1', use + 5, use + (record[use + 2] ?? 0));
      files.set(name, image.toString('utf8', place * 2048, place * 2048 + size));
    }
  }
  return files;
}

test('network-config is the version 2 that was meant', () => {
  assert.deepEqual(parse(network), {
    version: 2,
    ethernets: {
      eth0: {
        match: { macaddress: '02:00:00:00:00:01' },
        'set-name': 'eth0',
        dhcp4: false,
        dhcp6: false,
        mtu: 9000,
        addresses: ['10.0.0.5/24', 'fd00::5/64'],
        routes: [
          { to: '0.0.0.0/0', via: '10.0.0.1' },
          { to: '::/0', via: 'fd00::1' },
        ],
        nameservers: { addresses: ['10.0.0.1'] },
      },
    },
  });
  const bare = networkConfig({ mac: '02:00:00:00:00:01', address: [], gateways: [], dns: [] });
  assert.doesNotMatch(bare, /addresses|routes|nameservers|mtu/);
});

test('the seed has the three files, and says who the machine is', () => {
  const seed = { hostname: 'db1', network, userData: '#cloud-config\n# é\n' };
  const image = Buffer.from(seedVolume(seed));
  assert.equal(image.toString('latin1', 16 * 2048 + 40, 16 * 2048 + 46), 'cidata');
  const files = readVolume(image);
  assert.deepEqual([...files.keys()], ['meta-data', 'network-config', 'user-data']);
  assert.equal(files.get('network-config'), network);
  assert.equal(files.get('user-data'), '#cloud-config\n# é\n');
  const meta = parse(files.get('meta-data') ?? '') as Record<string, string>;
  assert.equal(meta['local-hostname'], 'db1');
  assert.deepEqual(image, Buffer.from(seedVolume(seed)), 'the same bytes each time');
  const other = parse(readVolume(Buffer.from(seedVolume({ ...seed, userData: 'x' }))).get('meta-data') ?? '') as Record<
    string,
    string
  >;
  assert.notEqual(other['instance-id'], meta['instance-id']);
});

test('files of all sizes keep their bytes', () => {
  const sizes = [0, 1, 2047, 2048, 2049, 70_000];
  const files = sizes.map((size, i) => ({ name: `f${i}`, content: Buffer.alloc(size, 'a') }));
  const read = readVolume(Buffer.from(isoVolume('x', files)));
  assert.deepEqual(
    [...read.values()].map((text) => text.length),
    sizes,
  );
  assert.throws(
    () =>
      isoVolume(
        'x',
        Array.from({ length: 40 }, (_, i) => ({ name: `f${i}`, content: Buffer.alloc(1) })),
      ),
    RangeError,
  );
});

const missing = ['blkid', 'isoinfo'].filter((program) => spawnSync(program, ['-V']).error !== undefined);

for (const program of ['blkid', 'isoinfo']) {
  const skip = missing.includes(program) && `${program} is not installed; the test of VMs reads it by the kernel`;
  test(`${program} knows the volume as cloud-init looks for it`, { skip }, (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'midplane-seed-'));
    t.after(() => rmSync(folder, { recursive: true }));
    const file = join(folder, 'seed.iso');
    writeFileSync(file, seedVolume({ hostname: 'db1', network, userData: 'hello' }));
    const args = program === 'blkid' ? ['-p', file] : ['-R', '-f', '-i', file];
    const { stdout, stderr } = spawnSync(program, args, { encoding: 'utf8' });
    const wanted =
      program === 'blkid' ? ['LABEL="cidata"', 'TYPE="iso9660"'] : ['/meta-data', '/network-config', '/user-data'];
    for (const text of wanted) assert.ok(stdout.includes(text), stdout + stderr);
  });
}
