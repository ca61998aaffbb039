// TLS of the engine in C: OpenSSL's own client, curl and node:tls on the other side.
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { connect as dial } from 'node:net';
import { join } from 'node:path';
import { after, test } from 'node:test';
import tls from 'node:tls';
import { sleep } from '../../../test/fake/l7.ts';
import { serverSpec, tlsFront } from '../../../test/fake/l7-tls.ts';
import type { TlsFront } from '../../../test/fake/l7-tls.ts';
import { pki } from '../../../test/fake/pki.ts';
import type { Issued } from '../../../test/fake/pki.ts';
import { TICKET_KEY } from '../transport.ts';
import type { PeerTls, TlsSpec } from './spec.ts';

const ours = pki();
after(() => ours[Symbol.dispose]());
const a = ours.issue('a', 'DNS:a.test,IP:127.0.0.1');
const b = ours.issue('b', 'DNS:b.test');
const spiffe = ours.issue('spiffe', 'URI:spiffe://cluster.local/ns/default/sa/web');
const rsa = ours.issue('rsa', 'DNS:a.test', { rsa: true });

async function serve(more: Partial<TlsSpec> = {}, certificate: Issued = a): Promise<TlsFront> {
  const front = await tlsFront();
  front.contexts.set('', front.engine.tlsContext({ ...serverSpec, certificates: [certificate], ...more }));
  return front;
}

/** What OpenSSL's client says. `says`: what it is given to send. */
function openssl(port: number, args: string, says = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n'): Promise<string> {
  return new Promise((resolve) => {
    const all = ['s_client', '-connect', `127.0.0.1:${port}`, '-CAfile', ours.caFile, ...args.split(' ')];
    const child = spawn(
      '/usr/bin/openssl',
      all.filter((arg) => arg !== ''),
    );
    let out = '';
    const timer = setTimeout(() => child.kill(), 15_000);
    const take = (piece: Buffer) => {
      out += piece.toString();
      if (/HTTP\/1.1 \d+[^]*}$/.test(out)) child.stdin.end('Q\n');
    };
    child.stdout.on('data', take);
    child.stderr.on('data', take);
    child.stdin.on('error', () => {});
    child.stdin.write(says);
    child.on('close', () => {
      clearTimeout(timer);
      resolve(out);
    });
  });
}

function curl(port: number, ...args: readonly string[]): Promise<string> {
  const fixed = ['-s', '--max-time', '10', '--cacert', ours.caFile, '--resolve', `a.test:${port}:127.0.0.1`];
  return new Promise((resolve) => {
    execFile('/usr/bin/curl', [...fixed, ...args], { maxBuffer: 1e8 }, (error, out) =>
      resolve(error === null ? out : `curl ${error.code}`),
    );
  });
}

interface Answer {
  readonly tls: PeerTls;
  readonly session: Buffer | undefined;
  readonly socket: tls.TLSSocket;
}

/** One request by node:tls. Rejects where there is no answer. */
async function ask(port: number, o: tls.ConnectionOptions = {}, path = '/'): Promise<Answer & { text: string }> {
  const socket = tls.connect({ port, host: '127.0.0.1', ca: ours.ca, servername: 'a.test', ...o });
  let session: Buffer | undefined;
  let text = '';
  socket.on('session', (s: Buffer) => (session = s));
  await new Promise<void>((resolve, reject) => {
    socket.on('error', reject);
    socket.on('close', () => reject(new Error('closed')));
    socket.on('data', (piece: Buffer) => {
      text += piece.toString('latin1');
      const [, length = '', body = ''] = /content-length: (\d+)[^]*?\r\n\r\n([^]*)/i.exec(text) ?? [];
      if (length !== '' && body.length >= Number(length)) resolve();
    });
    socket.write(`GET ${path} HTTP/1.1\r\nHost: a.test\r\n\r\n`);
  });
  socket.removeAllListeners('close');
  const body = text.slice(text.indexOf('\r\n\r\n') + 4);
  return { tls: body.startsWith('{') ? (JSON.parse(body) as PeerTls) : ({} as PeerTls), session, socket, text };
}

async function closed(socket: tls.TLSSocket): Promise<void> {
  socket.destroy();
  await sleep(1);
}

test('TLS 1.2 and 1.3, server name and ALPN: openssl s_client', async () => {
  using front = await serve();
  const v13 = await openssl(front.port, '-tls1_3 -servername a.test -alpn h2,http/1.1 -verify_return_error -brief');
  assert.match(v13, /Protocol version: TLSv1.3/);
  assert.match(v13, /"protocol":"TLSv1.3","alpn":"http\/1.1","serverName":"a.test","uri":"","resumed":false/);
  const v12 = await openssl(front.port, '-tls1_2 -noservername -verify_return_error -brief');
  assert.match(v12, /"protocol":"TLSv1.2","alpn":"","serverName":"","uri":""/);
});

test('older versions, old ciphers and protocols that nobody has are refused with an alert, and counted', async () => {
  using front = await serve();
  assert.match(await openssl(front.port, '-tls1_1 -cipher DEFAULT@SECLEVEL=0'), /alert protocol version/);
  assert.match(await openssl(front.port, '-tls1_2 -cipher AES128-SHA'), /alert handshake failure/);
  assert.match(await openssl(front.port, '-alpn h3'), /alert no application protocol/);
  const only13 = await serve({ minimum: 'TLSv1.3' });
  assert.match(await openssl(only13.port, '-tls1_2'), /alert protocol version/);
  only13[Symbol.dispose]();
  const { tlsUnshared, tlsHandshakes } = front.engine.stats();
  assert.deepEqual([tlsUnshared, tlsHandshakes], [3, 0]);
});

test('curl: a request, a large answer, a large body', async () => {
  using front = await serve();
  assert.match(await curl(front.port, `https://a.test:${front.port}/`), /"protocol":"TLSv1.3"/);
  assert.equal((await curl(front.port, `https://a.test:${front.port}/big`)).length, 60_000);
  assert.match(await curl(front.port, '--tls-max', '1.2', `https://a.test:${front.port}/`), /"protocol":"TLSv1.2"/);
  assert.equal(await curl(front.port, `https://127.0.0.1:${front.port}/`, '-o', '/dev/null'), '');
});

test('several certificates: by server name, and by kind of key', async () => {
  using front = await serve({ certificates: [a, rsa] });
  front.contexts.set('b.test', front.engine.tlsContext({ ...serverSpec, certificates: [b] }));
  assert.match(await openssl(front.port, '-servername b.test -brief'), /CN ?= ?b\b/);
  assert.match(await openssl(front.port, '-servername a.test -sigalgs ecdsa_secp256r1_sha256 -brief'), /CN ?= ?a\b/);
  assert.match(await openssl(front.port, '-servername a.test -sigalgs rsa_pss_rsae_sha256 -brief'), /CN ?= ?rsa\b/);
});

test('client certificates: required, given, revoked; the URI is the identity where it is the only one', async () => {
  const two = ours.issue('two', 'URI:spiffe://a/b,URI:spiffe://c/d');
  const bad = ours.issue('bad', 'URI:spiffe://cluster.local/ns/default/sa/bad');
  using others = pki('Others');
  const stranger = others.issue('stranger', 'URI:spiffe://cluster.local/ns/default/sa/web');
  const crl = ours.revoke(bad);
  for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
    const o = { minVersion: version, maxVersion: version };
    const cert = ({ chain, key }: Issued) => ({ ...o, cert: chain, key });
    using all = await serve({ verify: 'always', ca: ours.ca, crl });
    const { tls: known, socket } = await ask(all.port, cert(spiffe));
    assert.equal(known.uri, 'spiffe://cluster.local/ns/default/sa/web');
    await closed(socket);
    const several = await ask(all.port, cert(two));
    assert.equal(several.tls.uri, '');
    await closed(several.socket);
    await assert.rejects(ask(all.port, o));
    await assert.rejects(ask(all.port, cert(bad)));
    await assert.rejects(ask(all.port, cert(stranger)));
    assert.equal(all.engine.stats().tlsCertificate, 3);
    using given = await serve({ verify: 'given', ca: ours.ca });
    const anyone = await ask(given.port, o);
    assert.equal(anyone.tls.uri, '');
    await closed(anyone.socket);
    await assert.rejects(ask(given.port, cert(stranger)));
  }
});

test('sessions are resumed by any worker that has the keys, in their policy only', async () => {
  const keys = [randomBytes(TICKET_KEY), randomBytes(TICKET_KEY), randomBytes(TICKET_KEY)] as const;
  using one = await serve({ policy: 'p' });
  using two = await serve({ policy: 'p' });
  using other = await serve({ policy: 'q' });
  for (const front of [one, two, other]) front.engine.ticketKeys(keys[0], keys[1]);
  for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
    const o = { minVersion: version, maxVersion: version };
    const first = await ask(one.port, o);
    assert.equal(first.tls.resumed, false);
    await sleep(20);
    const { session } = first;
    assert.ok(session !== undefined);
    await closed(first.socket);
    const second = await ask(two.port, { ...o, session });
    assert.equal(second.tls.resumed, true);
    assert.equal(second.socket.isSessionReused(), true);
    await closed(second.socket);
    const crossed = await ask(other.port, { ...o, session });
    assert.equal(crossed.tls.resumed, false);
    await closed(crossed.socket);
    two.engine.ticketKeys(keys[2], keys[0]);
    const old = await ask(two.port, { ...o, session });
    assert.equal(old.tls.resumed, true);
    await closed(old.socket);
    two.engine.ticketKeys(keys[1], keys[2]);
    const forgotten = await ask(two.port, { ...o, session });
    assert.equal(forgotten.tls.resumed, false);
    await closed(forgotten.socket);
    two.engine.ticketKeys(keys[0], keys[1]);
  }
});

test('an identity outlives its handshake: a resumed session has it too', async () => {
  using front = await serve({ verify: 'always', ca: ours.ca });
  const o = { cert: spiffe.chain, key: spiffe.key };
  const first = await ask(front.port, o);
  await sleep(20);
  await closed(first.socket);
  const again = await ask(front.port, { ...o, session: first.session! });
  assert.deepEqual([again.tls.resumed, again.tls.uri], [true, 'spiffe://cluster.local/ns/default/sa/web']);
  await closed(again.socket);
});

test('renegotiation and early data are refused', async () => {
  using front = await serve();
  const again = await openssl(front.port, '-tls1_2', 'R\n');
  assert.match(again, /no renegotiation|alert/i);
  assert.doesNotMatch(again, /"protocol"/);
  const session = join(ours.folder, 'session');
  const early = join(ours.folder, 'early');
  writeFileSync(early, 'GET / HTTP/1.1\r\nHost: early\r\n\r\n');
  await openssl(front.port, `-tls1_3 -sess_out ${session}`);
  const second = await openssl(front.port, `-tls1_3 -sess_in ${session} -early_data ${early}`);
  assert.match(second, /Early data was (not sent|rejected)/);
  assert.match(second, /Max Early Data: 0/);
});

test('a certificate is changed under connections that stay', async () => {
  using front = await serve();
  const { socket } = await ask(front.port);
  const old = front.contexts.get('')!;
  const fresh = ours.issue('fresh', 'DNS:a.test');
  front.contexts.set('', front.engine.tlsContext({ ...serverSpec, certificates: [fresh] }));
  front.engine.dropTlsContext(old);
  assert.match(await openssl(front.port, '-servername a.test -brief'), /CN ?= ?fresh\b/);
  let text = '';
  socket.on('data', (piece: Buffer) => (text += piece.toString()));
  socket.write('GET / HTTP/1.1\r\nHost: a.test\r\n\r\n');
  while (!text.includes('"protocol"')) await sleep(5);
  socket.destroy();
});

test('bad certificates and keys say what is wrong, and nothing of the key', async () => {
  using front = await tlsFront();
  const spec = (chain: string, key: string): TlsSpec => ({ ...serverSpec, certificates: [{ chain, key }] });
  const cases: readonly (readonly [TlsSpec, RegExp])[] = [
    [spec('', a.key), /no start line/],
    [spec(a.chain, ''), /unsupported|no start line/],
    [spec(a.chain, b.key), /key values mismatch/],
    [spec(`${a.chain}-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n`, a.key), /.+/],
    [{ ...spec(a.chain, a.key), ca: 'none' }, /no start line/],
    [{ ...spec(a.chain, a.key), ca: ours.ca, crl: ours.ca }, /no start line/],
  ];
  for (const [bad, what] of cases) {
    assert.throws(
      () => front.engine.tlsContext(bad),
      (error: Error) => what.test(error.message) && !error.message.includes('BEGIN'),
    );
  }
});

test('a handshake that stops, and one that is none, ends in its time', async () => {
  using front = await tlsFront({ headMs: 150 });
  front.contexts.set('', front.engine.tlsContext({ ...serverSpec, certificates: [a] }));
  const begun = performance.now();
  const hello = Buffer.from('1603010005010000010000', 'hex');
  for (const bytes of [hello.subarray(0, 3), hello.subarray(0, 9)]) {
    const socket = dial({ port: front.port, host: '127.0.0.1' });
    socket.on('error', () => {});
    socket.resume();
    socket.write(bytes);
    await new Promise((resolve) => socket.once('close', resolve));
  }
  // Twice the usual time for a head would be 20 s.
  assert.ok(performance.now() - begun < 10_000);
  const plain = dial({ port: front.port, host: '127.0.0.1' });
  plain.on('error', () => {});
  plain.resume();
  plain.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
  await new Promise((resolve) => plain.once('close', resolve));
});
