// Clients of HTTP/2 that nobody here wrote, through the router to a real server of HTTP/1.1.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { forward, host, route, snapshot } from '../../../test/fake/l7.ts';
import { simpleRig } from '../../../test/fake/l7-rig.ts';
import { pki } from '../../../test/fake/pki.ts';
import type { Rig, RigOptions } from '../../../test/fake/l7-rig.ts';

const h2spec = fileURLToPath(new URL('../../../native/build/h2spec', import.meta.url));
const packaged = (name: string): string => `/usr/bin/${name}`;
const missing = (program: string): string | false =>
  !existsSync(program) && `${program} is missing: run native/setup.sh`;

function run(program: string, ...args: string[]): Promise<string> {
  return new Promise((resolve) => {
    execFile(program, args, { timeout: 60_000, maxBuffer: 64 * 1024 * 1024 }, (_, out, err) => resolve(out + err));
  });
}

const ours = pki();
after(() => ours[Symbol.dispose]());
const { chain, key } = ours.issue('a', 'DNS:a.test,IP:127.0.0.1');

/** The same behind a listener that ends TLS, for any name. */
function overTls(r: Rig): void {
  const plain = snapshot(r.port, [host(['*'], route('all', forward('a')))], [{ key: 'a' }]);
  const any = { host: '*', routes: 'main', certificates: ['a'], minimum: 'TLSv1.2' } as const;
  const listeners = plain.listeners.map((l) => ({ ...l, protocol: 'HTTPS' as const, tls: [any] }));
  r.apply({ ...plain, listeners, secrets: [{ name: 'a', chain, key }] });
}

async function served(o: RigOptions & { readonly tls?: boolean } = {}) {
  const server = createServer({ keepAliveTimeout: 60_000 }, (req, res) => {
    let size = 0;
    req.on('data', (piece: Buffer) => (size += piece.length));
    req.on('end', () => {
      res.setHeader('x-got', String(size));
      res.end(Buffer.alloc(Number(/\d+/.exec(req.url!)?.[0] ?? 100), 'x'));
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const s = await simpleRig(undefined, o);
  if (o.tls === true) overTls(s.r);
  s.r.endpoints('a', [(server.address() as AddressInfo).port]);
  return {
    ...s,
    url: `http://127.0.0.1:${s.port}`,
    async [Symbol.asyncDispose]() {
      await s[Symbol.asyncDispose]();
      server.closeAllConnections();
      server.close();
      assert.deepEqual(s.r.faults, []);
    },
  };
}

test('h2spec --strict fails nothing and skips nothing', { skip: missing(h2spec) }, async (t) => {
  // A connection that has agreed on HTTP/2: where it may be HTTP/1.1 too, a wrong preface is a wrong request, and
  // answered with 400.
  await using s = await served({ http2Only: true });
  const said = await run(h2spec, '--strict', '-h', '127.0.0.1', '-p', String(s.port));
  const summary = /\d+ tests, .*/.exec(said)?.[0] ?? said;
  t.diagnostic(summary);
  assert.match(summary, /^14\d tests, 14\d passed, 0 skipped, 0 failed$/, said);
});

test('h2spec --strict over TLS fails nothing and skips nothing', { skip: missing(h2spec) }, async (t) => {
  await using s = await served({ tls: true });
  const said = await run(h2spec, '--strict', '-t', '-k', '-h', '127.0.0.1', '-p', String(s.port));
  const summary = /\d+ tests, .*/.exec(said)?.[0] ?? said;
  t.diagnostic(summary);
  assert.match(summary, /^14\d tests, 14\d passed, 0 skipped, 0 failed$/, said);
});

test('curl by prior knowledge: up and down', { skip: missing(packaged('curl')) }, async () => {
  await using s = await served();
  const format = '%{http_version} %{http_code} %{size_download}\n';
  const down = ['--http2-prior-knowledge', '-s', '-o', '/dev/null', '-w', format];
  assert.equal(await run('curl', ...down, `${s.url}/3000000`), '2 200 3000000\n');
  const up = await run('curl', ...down, '-D', '-', '--data-binary', '@/proc/self/exe', `${s.url}/1`);
  assert.match(up, /x-got: [1-9]\d{4,}\r\n[^]*2 200 1\n$/);
});

test('nghttp and h2load', { skip: missing(packaged('h2load')) }, async (t) => {
  await using s = await served();
  const shown = await run('nghttp', '-v', '-n', `${s.url}/70000`);
  assert.match(shown, /:status: 200/);
  assert.match(shown, /SETTINGS_MAX_CONCURRENT_STREAMS\(0x03\):100/);
  assert.doesNotMatch(shown, /ERROR(?!\(0x00\))/);
  const load = await run('h2load', '-n', '4000', '-c', '4', '-m', '50', `${s.url}/50`);
  assert.match(load, /4000 succeeded, 0 failed, 0 errored, 0 timeout/, load);
  t.diagnostic(/finished in .*/.exec(load)?.[0] ?? '');
  const posts = await run('h2load', '-n', '500', '-c', '2', '-m', '20', '-d', '/etc/services', `${s.url}/50`);
  assert.match(posts, /500 succeeded, 0 failed, 0 errored, 0 timeout/, posts);
});
