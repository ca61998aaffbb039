import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { fakeClock } from '../../../test/fake/clock.ts';
import { snapshot } from '../../../test/fake/l7.ts';
import { pki } from '../../../test/fake/pki.ts';
import type { Snapshot } from '../../mesh/snapshot.ts';
import { certificates, certificatesData, renderCertificates, watchCertificates } from './certificates.ts';

const ours = pki();
after(() => ours[Symbol.dispose]());
const day = 86_400_000;
const one = ours.issue('one', 'DNS:a.test', { days: 90 });
const short = ours.issue('short', 'DNS:b.test', { days: 3 });
const made = Date.now();
const base = snapshot(1, []);
const s = {
  ...base,
  secrets: [
    { name: 'default/one', chain: one.chain + one.chain, key: one.key },
    { name: 'default/short', chain: short.chain, key: short.key },
    { name: 'trust', ca: ours.ca },
  ],
};
const states = (days: number) => certificates(s, made + days * day).map((c) => c.state);

test('certificates: good, near their end by what they live, expired, too early', () => {
  assert.deepEqual(states(0.1), ['good', 'good']);
  assert.deepEqual(states(2.5), ['good', 'expires soon']);
  assert.deepEqual(states(75), ['good', 'expired']);
  assert.deepEqual(states(77), ['expires soon', 'expired']);
  assert.deepEqual(states(91), ['expired', 'expired']);
  assert.deepEqual(states(-1), ['not yet valid', 'not yet valid']);
  const data = certificates(s, made);
  assert.deepEqual(certificatesData.parse(data), data);
  assert.match(renderCertificates(data, 0), /^Secret +Names +Until +State\ndefault\/one +DNS:a\.test +\d{4}-.* good\n/);
  assert.equal(renderCertificates(certificates(undefined, 0), 0), 'no certificates\n');
});

test('the log hears of a certificate near its end when it comes, once a day, and when it has expired; not of others', () => {
  const { chain, key } = ours.issue('month', 'DNS:a.test', { days: 30 });
  const day = 86_400_000;
  const clock = fakeClock(Date.now());
  let running: Snapshot | undefined;
  const lines: string[] = [];
  const log = { warn: (_: object, text: string) => void lines.push(text) };
  using watch = watchCertificates({ running: () => running }, log, clock);
  void watch;
  const pass = (days: number): void => {
    for (let i = 0; i < days * 4; i += 1) clock.advance(day / 4);
  };
  clock.advance(0);
  running = { ...snapshot(1, []), secrets: [{ name: 'default/one', chain, key }] };
  pass(15);
  assert.deepEqual(lines, []);
  pass(10);
  assert.ok(lines.length >= 4 && lines.length <= 6, lines.join());
  assert.match(lines[0] ?? '', /^the certificate in default\/one \(CN=month\) expires 20/);
  pass(6);
  assert.match(lines.at(-1) ?? '', /expired/);
  running = { ...running, secrets: [] };
  const before = lines.length;
  pass(3);
  assert.equal(lines.length, before);
});
