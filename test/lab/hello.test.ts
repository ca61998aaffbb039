// ClientHellos of programs that everybody uses: what they were told to say is what is read.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { test } from 'node:test';
import { TLS10, TLS11, TLS12, TLS13, hello, helloBytes, offered, parseHello } from '../../src/l7/head/hello.ts';
import { upstream } from '../fake/l7.ts';

const missing = ['/usr/bin/openssl', '/usr/bin/curl'].find((file) => !existsSync(file));

interface Told {
  readonly sni: string;
  readonly alpn: readonly string[];
  readonly versions: number;
}

/** Starts the program against a server that only listens; gives what its first bytes say, and in how many records. */
async function ask(command: (port: number) => readonly string[]): Promise<Told & { readonly records: number }> {
  let whole = (_: Buffer): void => {};
  const bytes = new Promise<Buffer>((resolve) => (whole = resolve));
  await using up = await upstream((_, __, all) => {
    const seen = Buffer.from(all, 'latin1');
    if (parseHello(seen, 0, seen.length) !== 0) whole(seen);
  });
  const [program = '', ...args] = command(up.port);
  const child = spawn(program, args, { stdio: ['ignore', 'ignore', 'ignore'] });
  const exited = new Promise<string>((resolve) => child.once('exit', () => resolve('it ended without a ClientHello')));
  const seen = await Promise.race([bytes, exited]);
  child.kill();
  await exited;
  assert.ok(typeof seen !== 'string', `${args.join(' ')}: ${String(seen)}`);
  assert.equal(parseHello(seen, 0, seen.length), seen.length, hello.why);
  let records = 0;
  for (let p = 0; p < seen.length; p += 5 + seen.readUInt16BE(p + 3)) records += 1;
  const sni = helloBytes.toString('latin1', hello.sniOff, hello.sniOff + hello.sniLen);
  return { sni, alpn: offered(), versions: hello.versions, records };
}

const openssl =
  (...args: readonly string[]) =>
  (port: number): readonly string[] => ['/usr/bin/openssl', 's_client', '-connect', `127.0.0.1:${port}`, ...args];
const curl =
  (host: string, ...args: readonly string[]) =>
  (port: number): readonly string[] => {
    const fixed = `-sk --max-time 5 --resolve ${host}:${port}:127.0.0.1`.split(' ');
    return ['/usr/bin/curl', ...fixed, ...args, `https://${host}:${port}/`];
  };

const many = Array.from({ length: 150 }, (_, i) => `protocol-${i}`);
const modern = ['-min_protocol', 'TLSv1.2'];
const weak = ['-cipher', 'DEFAULT@SECLEVEL=0'];
const cases: readonly (readonly [(port: number) => readonly string[], Told])[] = [
  [openssl(...modern, '-servername', 'a.test'), { sni: 'a.test', alpn: [], versions: TLS12 | TLS13 }],
  [openssl(...modern, '-noservername'), { sni: '', alpn: [], versions: TLS12 | TLS13 }],
  [openssl('-servername', 'WWW.A.Test', '-tls1_3'), { sni: 'www.a.test', alpn: [], versions: TLS13 }],
  [openssl('-tls1_2', '-alpn', 'h2,http/1.1'), { sni: '', alpn: ['h2', 'http/1.1'], versions: TLS10 | TLS11 | TLS12 }],
  [openssl('-tls1_1', ...weak, '-servername', 'old.test'), { sni: 'old.test', alpn: [], versions: TLS10 | TLS11 }],
  [openssl('-tls1', ...weak), { sni: '', alpn: [], versions: TLS10 }],
  [
    openssl(
      ...modern,
      '-servername',
      'a.test',
      '-alpn',
      many.join(','),
      '-max_send_frag',
      '512',
      '-split_send_frag',
      '512',
    ),
    { sni: 'a.test', alpn: many, versions: TLS12 | TLS13 },
  ],
  [curl('shop.test', '--tlsv1.2'), { sni: 'shop.test', alpn: ['h2', 'http/1.1'], versions: TLS12 | TLS13 }],
  [curl('shop.test', '--tlsv1.2', '--http1.1'), { sni: 'shop.test', alpn: ['http/1.1'], versions: TLS12 | TLS13 }],
  [curl('Shop.Test', '--no-alpn', '--tlsv1.3'), { sni: 'shop.test', alpn: [], versions: TLS13 }],
  [curl('127.0.0.1', '--tls-max', '1.2'), { sni: '', alpn: ['h2', 'http/1.1'], versions: TLS10 | TLS11 | TLS12 }],
];

test('what OpenSSL and curl say', { skip: missing === undefined ? false : `${missing} is not installed` }, async () => {
  let most = 0;
  for (const [command, told] of cases) {
    const { records, ...got } = await ask(command);
    assert.deepEqual(got, told, command(443).join(' '));
    most = Math.max(most, records);
  }
  assert.ok(most > 3, `no ClientHello came in more than ${most} records`);
});
