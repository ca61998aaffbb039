import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { request as httpRequest } from 'node:http';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fakeEngine, type FakeEngine } from '../../test/fake/engine.ts';
import { firstDocument } from '../../test/fake/slices.ts';
import { maskSecrets } from '../cli/document/mask.ts';
import { documentRoot } from '../cli/document/place.ts';
import { openDoor } from '../cli/door.ts';
import { systemClock } from '../lib/clock.ts';
import { newToken } from '../lib/secret/token.ts';
import { openApi, type ApiServer, type ApiToken } from './http.ts';
import { describeApi } from './openapi.ts';
import { routesOf } from './routes.ts';

let folder = '';
let engine: FakeEngine;
let server: ApiServer;
let port = 0;
let uid: number | undefined = 0;
let openMetrics = false;
let gone = false;
const tokens = { boss: newToken(), eyes: newToken(), hands: newToken(), late: newToken() };

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'midplane-api-'));
  engine = fakeEngine(systemClock);
  const door = openDoor({ engine, commands: engine.commands, clock: systemClock, hostname: () => 'leaf1' });
  const root = documentRoot(engine.slices);
  server = openApi({
    engine,
    door,
    collectors: [
      () => [{ name: 'midplane_up', help: 'the daemon runs', type: 'gauge', samples: [{ value: 1 }] }],
      () => [
        {
          name: 'midplane_drops_total',
          help: 'dropped\nframes',
          type: 'counter',
          samples: [{ labels: { reason: 'a "b" \\ c' }, value: 2n ** 60n }],
        },
      ],
    ],
    openApi: () => describeApi('1.0.0', engine.slices, engine.commands),
    mask: (document) => maskSecrets(document, root),
    headersMs: 1000,
    requestMs: 3000,
    tokens: (): Record<string, ApiToken> => ({
      ...(gone ? {} : { late: { role: 'admin', hash: tokens.late.hash } }),
      boss: { role: 'admin', hash: tokens.boss.hash },
      eyes: { role: 'viewer', hash: tokens.eyes.hash },
      hands: { role: 'operator', hash: tokens.hands.hash },
    }),
    peerUid: () => uid,
    terminal: (stream, guest, signal) => door.terminal(stream, guest, signal),
    openMetrics: () => openMetrics,
    log: { info: () => undefined, warn: () => undefined },
  });
  await server.listen({ path: join(folder, 'api.sock') });
  const at = await server.listen({ address: '127.0.0.1', port: 0 });
  port = at.port!;
});

after(async () => {
  await server[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

interface Asked {
  readonly body?: unknown;
  readonly headers?: Record<string, string>;
  readonly token?: string;
}

interface Got {
  readonly status: number;
  readonly headers: Record<string, string | string[] | undefined>;
  readonly text: string;
  // oxlint-disable-next-line typescript/no-explicit-any
  json(): any;
}

/** Over the unix socket, or over TCP where a token is given. */
function ask(method: string, path: string, { body, headers = {}, token }: Asked = {}): Promise<Got> {
  const place = token === undefined ? { socketPath: join(folder, 'api.sock') } : { host: '127.0.0.1', port };
  const authorization = token ? { authorization: `Bearer ${token}` } : {};
  return new Promise((resolve, reject) => {
    const request = httpRequest({ ...place, method, path, headers: { ...headers, ...authorization } }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk) => (text += chunk));
      response.on('end', () =>
        resolve({ status: response.statusCode!, headers: response.headers, text, json: () => JSON.parse(text) }),
      );
    });
    request.on('error', reject);
    request.end(body === undefined || typeof body === 'string' ? body : JSON.stringify(body));
  });
}

test('health is for everyone; all else over TCP needs a token with the role', async () => {
  assert.equal((await ask('GET', '/v1/health', { token: '' })).status, 200);
  const stranger = await ask('GET', '/v1/history', { token: '' });
  assert.equal(stranger.status, 401);
  assert.equal(stranger.headers['www-authenticate'], 'Bearer');
  assert.equal((await ask('GET', '/v1/history', { token: 'mp_wrong' })).status, 401);
  assert.equal((await ask('GET', '/v1/history', { token: tokens.eyes.token })).status, 200);
  const commit = await ask('POST', '/v1/commit', { token: tokens.eyes.token, body: { document: firstDocument } });
  assert.equal(commit.status, 403);
  assert.equal(commit.json().faults[0].code, 'not-permitted');
  assert.equal((await ask('POST', '/v1/check', { token: tokens.boss.token, body: { document: '{}' } })).status, 200);
});

test("the unix socket is root's", async () => {
  assert.equal((await ask('GET', '/v1/history')).status, 200);
  for (const other of [1000, undefined]) {
    uid = other;
    assert.equal((await ask('GET', '/v1/history')).status, 401);
  }
  uid = 0;
});

test('check, plan, commit, history, revisions, rollback', async () => {
  const base = engine.running().number;
  const bad = await ask('POST', '/v1/check', { body: { document: 'ports: { swp1: { mtu: 1 } }' } });
  assert.equal(bad.json().ok, false);
  assert.equal(bad.json().problems[0].path, 'ports.swp1.mtu');
  const document = firstDocument.replace('9000', '8000');
  const plan = await ask('POST', '/v1/plan', { body: { document } });
  assert.deepEqual(plan.json().actions[0].ref, 'port/swp1');
  const commit = await ask('POST', '/v1/commit', { body: { document, base, comment: 'smaller' } });
  assert.equal(commit.status, 200);
  assert.equal(commit.json().revision.by, 'root@local');
  assert.equal(commit.json().revision.comment, 'smaller');
  const moved = await ask('POST', '/v1/commit', { body: { document: firstDocument, base } });
  assert.equal(moved.status, 409);
  assert.equal(moved.json().faults[0].code, 'base-moved');
  const history = (await ask('GET', '/v1/history')).json().revisions;
  assert.equal(history[0].number, base + 1);
  assert.equal(history[0].document, undefined);
  assert.match((await ask('GET', `/v1/revisions/${base}`)).json().document, /9000/);
  assert.equal((await ask('GET', '/v1/revisions/99')).status, 404);
  assert.equal((await ask('POST', '/v1/rollback', { body: { revision: base } })).status, 200);
  assert.equal(engine.running().document, firstDocument);
  assert.equal((await ask('POST', '/v1/rollback', { body: { revision: 99 } })).status, 404);
  assert.equal((await ask('POST', '/v1/confirm')).status, 404);
  const confirmed = await ask('POST', '/v1/commit', { body: { document, confirmMinutes: 1 } });
  assert.ok(confirmed.json().revision.confirmBy > Date.now());
  assert.equal((await ask('POST', '/v1/confirm')).status, 200);
});

test('a YAML file is a body too; progress as lines', async () => {
  const headers = { 'content-type': 'application/yaml', accept: 'application/x-ndjson' };
  const base = engine.running().number;
  const { text } = await ask('POST', `/v1/commit?base=${base}&comment=by+curl`, { body: firstDocument, headers });
  const lines = text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  assert.deepEqual(lines[0], { progress: 'preparing', fraction: 0.5 });
  assert.equal(lines.at(-1).answer.revision.comment, 'by curl');
  const bad = await ask('POST', '/v1/commit', { body: 'ports: [', headers: { 'content-type': 'text/yaml' } });
  assert.equal(bad.status, 422);
});

test('secrets are for admins', async () => {
  const headers = { accept: 'application/yaml' };
  const eyes = await ask('GET', '/v1/configuration', { headers, token: tokens.eyes.token });
  assert.match(eyes.text, /key: "?\*{8}/);
  assert.match(eyes.text, /# uplink/);
  assert.doesNotMatch(eyes.text, /hush/);
  assert.match((await ask('GET', '/v1/configuration', { headers })).text, /hush/);
  const revision = await ask('GET', '/v1/revisions/1', { token: tokens.eyes.token });
  assert.doesNotMatch(revision.text, /hush/);
});

test('commands by line and by path', async () => {
  const line = await ask('POST', '/v1/command', { body: { line: 'show ports swp1' } });
  assert.deepEqual(line.json(), { exitCode: 0, text: 'Port   MTU\nswp1  9000\n', data: [{ name: 'swp1', mtu: 9000 }] });
  assert.equal((await ask('POST', '/v1/command', { body: { line: 'show pots' } })).json().exitCode, 1);
  assert.equal(
    (await ask('POST', '/v1/command', { body: { line: 'monitor vlans 2' } })).json().text,
    'tick 1\ntick 2\n',
  );
  const streamed = await ask('POST', '/v1/command', {
    body: { line: 'monitor vlans 2' },
    headers: { accept: 'application/x-ndjson' },
  });
  assert.equal(streamed.text.split('\n')[0], '{"text":"tick 1\\n"}');
  assert.deepEqual((await ask('GET', '/v1/show/ports')).json().length, 2);
  assert.deepEqual((await ask('GET', '/v1/show/ports/swp2')).json(), [{ name: 'swp2', mtu: 1500 }]);
  assert.deepEqual((await ask('GET', '/v1/show/ports?port=swp2')).json(), [{ name: 'swp2', mtu: 1500 }]);
  assert.deepEqual((await ask('GET', '/v1/show/ports/counters')).json(), { rx: '1152921504606846976' });
  assert.equal((await ask('GET', '/v1/show/lines?lines=2')).json().length, 2);
  assert.equal((await ask('GET', '/v1/show/ports/swp9')).status, 404);
  assert.equal((await ask('GET', '/v1/show/nonsense')).status, 404);
  assert.equal((await ask('GET', '/v1/show/lines?lines=many')).status, 400);
  assert.equal((await ask('GET', '/v1/show/lines?color=red')).status, 400);
  assert.equal((await ask('GET', '/v1/show/po')).status, 404);
});

test('what is wrong with a request is said with its place', async () => {
  const json = { 'content-type': 'application/json' };
  const broken = await ask('POST', '/v1/check', { body: '{\n  "document": }', headers: json });
  assert.equal(broken.status, 400);
  const [problem] = broken.json().problems;
  assert.deepEqual([problem.file, problem.line, problem.column], ['request', 2, 15]);
  const unknown = await ask('POST', '/v1/commit', { body: '{ "document": "",\n "colour": 1 }', headers: json });
  assert.equal(unknown.status, 400);
  assert.match(unknown.json().problems[0].message, /colour/);
  const wrong = await ask('POST', '/v1/commit', { body: '{ "document": "",\n  "base": "x" }', headers: json });
  assert.deepEqual([wrong.json().problems[0].path, wrong.json().problems[0].line], ['base', 2]);
  assert.equal((await ask('POST', '/v1/check', { body: 'a', headers: { 'content-type': 'text/html' } })).status, 415);
  assert.equal((await ask('GET', '/v2/health')).status, 404);
  assert.equal((await ask('DELETE', '/v1/history')).status, 405);
  assert.equal((await ask('GET', '/v1/show/%ff')).status, 400);
  const large = await ask('POST', '/v1/check', { headers: { 'content-length': String(9 * 1024 * 1024) } }).catch(
    (error: Error) => error,
  );
  assert.ok(large instanceof Error || large.status === 413);
  const chunked = await ask('POST', '/v1/check', {
    body: 'x'.repeat(9 * 1024 * 1024),
    headers: { 'transfer-encoding': 'chunked' },
  }).catch((error: Error) => error);
  assert.ok(chunked instanceof Error || chunked.status === 413);
});

test('no HTTP at all gets 400', async () => {
  const socket = connect(port, '127.0.0.1');
  let text = '';
  socket.on('data', (chunk) => (text += chunk)).on('error', () => undefined);
  socket.write('SSH-2.0-x\r\n\r\n');
  await new Promise((resolve) => socket.once('close', resolve));
  assert.match(text, /^HTTP\/1\.1 400 /);
});

const posts = ['check', 'plan', 'commit', 'rollback', 'confirm'].map((word) => `/v1/${word}`);
const gets = ['/v1/history', '/v1/configuration', '/v1/revisions/1', '/v1/show/ports', '/openapi.json', '/metrics'];

/** Status and shape of a refusal. */
function refusal(got: Got): number {
  const body = got.json() as { problems: { message: string }[]; faults: { code: string; why: string }[] };
  assert.deepEqual(Object.keys(body), ['problems', 'faults'], got.text.slice(0, 200));
  assert.ok(body.problems.length + body.faults.length > 0);
  assert.ok([...body.problems.map((one) => one.message), ...body.faults.map((one) => one.why)].every((text) => text));
  return got.status;
}

test('what is tried below as a change is all that changes, by the list of the routes', () => {
  const routes = routesOf({
    engine,
    door: openDoor({ engine, commands: engine.commands, clock: systemClock, hostname: () => '' }),
    collectors: [],
    openApi: () => ({}),
    mask: (document) => document,
  });
  const those = (method: string, role: string): number =>
    routes.filter((route) => route.method === method && route.role === role).length;
  // A command is judged by its own role: test/lab/ssh.test.ts.
  assert.deepEqual([those('POST', 'admin'), those('POST', 'viewer'), those('POST', 'operator')], [posts.length, 1, 0]);
  assert.ok(posts.every((path) => routes.some((route) => route.role === 'admin' && route.path.test(path))));
  assert.deepEqual([routes.filter(({ role }) => role === undefined).length, those('GET', 'admin')], [1, 0]);
});

test('no route is open to a stranger, to a token that is wrong or gone, or to a role that does not reach', async () => {
  const before = engine.history().length;
  const wrong = [
    '',
    'mp_wrong',
    tokens.boss.hash,
    `${tokens.boss.token}x`,
    tokens.boss.token.slice(0, -1),
    'x'.repeat(4000),
  ];
  const all = [
    ...gets.map((path) => ['GET', path] as const),
    ...[...posts, '/v1/command'].map((p) => ['POST', p] as const),
  ];
  for (const [method, path] of all) {
    for (const token of wrong)
      assert.equal(refusal(await ask(method, path, { token, body: method === 'POST' ? {} : undefined })), 401);
  }
  for (const path of posts) {
    for (const { token } of [tokens.eyes, tokens.hands]) {
      assert.equal(refusal(await ask('POST', path, { token, body: { document: '{}' } })), 403, path);
    }
  }
  const late = { token: tokens.late.token };
  assert.equal((await ask('GET', '/v1/history', late)).status, 200);
  gone = true;
  assert.equal(refusal(await ask('GET', '/v1/history', late)), 401);
  gone = false;
  assert.equal(engine.history().length, before);
});

test('bodies that are too large, no JSON, too deep or of another kind are refused soon, and change nothing', async () => {
  const before = engine.history().length;
  const { token } = tokens.boss;
  const headers = { 'content-type': 'application/json' };
  const million = 2 ** 20;
  const bodies: Readonly<Record<string, readonly [number, string]>> = {
    'no JSON': [400, '{"document": '],
    'a string without an end': [400, `{"document":"${'x'.repeat(4 * million)}`],
    'nothing but opening brackets': [400, '['.repeat(4 * million)],
    'deep brackets': [400, `{"document":${'['.repeat(million)}${']'.repeat(million)}}`],
    'a document that is a number': [400, `{"document":1,"comment":"${'x'.repeat(4 * million)}"}`],
    'no UTF-8': [400, '{"document":"\ud800"'],
    null: [400, 'null'],
  };
  for (const [name, [status, body]] of Object.entries(bodies)) {
    const begun = performance.now();
    assert.equal(refusal(await ask('POST', '/v1/commit', { token, body, headers })), status, name);
    // What looks at each byte as often as there are bytes would take hours.
    assert.ok(performance.now() - begun < 20_000, `${name} took ${performance.now() - begun} ms`);
  }
  const line = await ask('POST', '/v1/command', {
    token: tokens.eyes.token,
    body: { line: 'x'.repeat(million) },
    headers,
  }).catch((error: Error) => error);
  // The rest of it is not read: the answer may be lost with the connection.
  assert.ok(line instanceof Error || refusal(line) === 413);
  const plain = await ask('POST', '/v1/command', {
    token,
    body: 'show ports',
    headers: { 'content-type': 'text/plain' },
  });
  assert.equal(refusal(plain), 415);
  for (const [method, path, status] of [
    ['GET', '/v1/commit', 405],
    ['PUT', '/v1/configuration', 405],
    ['POST', '/v1/configurations', 404],
    ['GET', '/v1/revisions/99999999999', 404],
    ['GET', '/v1/history/../../etc/passwd', 404],
    ['OPTIONS', '/v1/history', 405],
  ] as const) {
    assert.equal(refusal(await ask(method, path, { token })), status, path);
  }
  assert.equal(engine.history().length, before);
});

/** What a connection hears that says this and then nothing. */
function saying(text: string): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    let heard = '';
    socket.on('data', (chunk) => (heard += chunk)).on('error', () => undefined);
    socket.once('close', () => resolve(heard));
    socket.write(text);
  });
}

test('requests that never get whole end in time; a hundred at once are answered each', async () => {
  const head = `POST /v1/check HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${tokens.boss.token}\r\n`;
  const slow = [
    saying('GET /v1/hea'),
    saying(head),
    saying(`${head}content-type: application/json\r\ncontent-length: 1000\r\n\r\n{"docu`),
  ];
  const health = Array.from({ length: 100 }, () => ask('GET', '/v1/history', { token: tokens.eyes.token }));
  assert.ok((await Promise.all(health)).every(({ status }) => status === 200));
  for (const heard of await Promise.all(slow)) assert.match(heard, /^HTTP\/1\.1 408 [^]*"the request took too long"/);
  assert.match(await saying(`GET / HTTP/1.1\r\nx: ${'x'.repeat(20_000)}\r\n\r\n`), /^HTTP\/1\.1 431 /);
});

test('metrics for Prometheus', async () => {
  const { text, headers } = await ask('GET', '/metrics');
  assert.match(String(headers['content-type']), /version=0\.0\.4/);
  assert.equal(
    text,
    '# HELP midplane_drops_total dropped\\nframes\n# TYPE midplane_drops_total counter\n' +
      'midplane_drops_total{reason="a \\"b\\" \\\\ c"} 1152921504606846976\n' +
      '# HELP midplane_up the daemon runs\n# TYPE midplane_up gauge\nmidplane_up 1\n',
  );
  assert.equal((await ask('GET', '/metrics', { token: '' })).status, 401);
  openMetrics = true;
  assert.equal((await ask('GET', '/metrics', { token: '' })).status, 200);
  openMetrics = false;
});

test('OpenAPI describes the commands and the document', async () => {
  const api = (await ask('GET', '/openapi.json')).json();
  assert.equal(api.openapi, '3.1.0');
  const show = api.paths['/v1/show/ports'].get;
  assert.deepEqual(show.parameters[0].name, 'port');
  assert.equal(show.responses[200].content['application/json'].schema.items.properties.mtu.type, 'number');
  assert.deepEqual(
    api.paths['/v1/show/ports/counters'].get.responses[200].content['application/json'].schema.properties.rx.type,
    ['integer', 'string'],
  );
  assert.equal(api.components.schemas.Document.properties.ports.description, 'physical and virtual ports');
});

test('a terminal by Upgrade', async () => {
  const path = '/v1/terminal?columns=100&rows=30';
  const headers = { connection: 'upgrade', upgrade: 'midplane-terminal' };
  const refused = await ask('POST', path, { headers, token: 'mp_no' });
  assert.equal(refused.status, 401);
  const text = await new Promise<string>((resolve, reject) => {
    const request = httpRequest({ socketPath: join(folder, 'api.sock'), method: 'POST', path, headers });
    request.on('error', reject);
    request.on('upgrade', (_response, socket, head) => {
      let seen = head.toString();
      socket.on('data', (chunk) => (seen += chunk)).on('close', () => resolve(seen));
      socket.write('show ports swp1\rexit\r');
    });
    request.end();
  });
  assert.match(text, /midplane@leaf1> show ports swp1\r\nPort {3}MTU\r\nswp1 {2}9000\r\n/);
});
