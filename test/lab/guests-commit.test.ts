// A commit is strict with guests: what does not start is not committed, and what ran before runs again.
import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { openSwitch, type TestSwitch } from './switch.ts';

const base = `
ports:
  swp1: { vlan: { access: web } }
vlans:
  web: { id: 10, address: [10.0.10.254/24] }
`;
const withFunction = (source: string, more = ''): string => `${base}
functions:
  hello:
    source: ${source}
    port: { vlan: web }
    address: [10.0.10.5/24]
    service: { name: web, port: 80, labels: { version: v1 } }
${more}`;
const withContainer = `${withFunction('one.js')}
containers:
  gone1:
    image: localhost/none:1
    port: { vlan: web }
    address: [10.0.10.12/24]
`;

const source = (text: string): string =>
  `export default { fetch() { console.log('asked'); return new Response('${text}'); } };\n`;
const files = {
  'one.js': source('one'),
  'two.js': source('two'),
  // Nothing listens there: to be refused is to have been heard.
  'net.js': `import { connect } from 'node:net';
const said = await new Promise((tell) => connect(9, '10.0.10.254').once('error', (error) => tell(error.code)));
if (said !== 'ECONNREFUSED') throw new Error('the switch is not reached: ' + said);
${source('net')}`,
  'bad.js': 'throw new TypeError("no such luck");\n',
};
const hosts = { h1: { port: 'swp1', address: ['10.0.10.1/24'] } };

const ask = async (sw: TestSwitch): Promise<string> =>
  (await sw.on('h1', 'curl', '-s', '-m', '3', 'http://10.0.10.5/')).stdout;

interface Answer {
  readonly ok: boolean;
  readonly faults: readonly { readonly code: string; readonly why: string }[];
  readonly problems: readonly { readonly path: string; readonly message: string }[];
}

const commit = async (sw: TestSwitch, document: string): Promise<Answer> =>
  (await sw.api<Answer>('POST', '/v1/commit', { document })).body;

const pidOf = (sw: TestSwitch): number =>
  (JSON.parse(readFileSync(`/run/midplane/${sw.instance}/functions/hello.json`, 'utf8')) as { pid: number }).pid;

await test('commits with guests', async (t) => {
  await using sw = await openSwitch({ document: base, hosts, files });
  await t.test('a guest reaches others over its port from its first moment', async () => {
    const first = await commit(sw, withFunction('net.js'));
    assert.equal(first.ok, true, JSON.stringify(first));
    assert.equal((await commit(sw, base)).ok, true);
  });
  await t.test('the answer comes when the guest runs', async () => {
    const first = await commit(sw, withFunction('one.js'));
    assert.equal(first.ok, true, JSON.stringify(first));
    assert.equal(await ask(sw), 'one');
  });
  await t.test('a source that is not there is a problem of the document', async () => {
    const first = await commit(sw, withFunction('none.js'));
    assert.deepEqual(
      first.problems.map((p) => p.path),
      ['functions.hello.source'],
    );
  });
  await t.test('a module that does not start: refused, and the old one runs again', async () => {
    const first = await commit(sw, withFunction('bad.js'));
    assert.equal(first.ok, false);
    assert.match(first.faults[0]?.why ?? '', /no such luck/);
    for (let i = 0; i < 50 && (await ask(sw)) !== 'one'; i += 1) await sleep(100);
    assert.equal(await ask(sw), 'one');
  });
  await t.test('an image that is not there: refused before anything changed', async () => {
    const before = pidOf(sw);
    const first = await commit(sw, withContainer);
    assert.equal(first.ok, false);
    assert.equal(first.faults[0]?.code, 'no-image');
    assert.equal(pidOf(sw), before);
    assert.equal(await ask(sw), 'one');
  });
  await t.test('another source takes the place of the first, by content', async () => {
    const first = await commit(sw, withFunction('two.js'));
    assert.equal(first.ok, true, JSON.stringify(first));
    assert.equal(await ask(sw), 'two');
    writeFileSync(join(sw.folder, 'two.js'), source('three'));
    const before = pidOf(sw);
    await sleep(1500);
    assert.equal(await ask(sw), 'two', 'a file that changes is no commit');
    assert.equal(pidOf(sw), before);
  });
  await t.test('commands', async () => {
    assert.match((await sw.cli('show guests')).text, /hello +function +running +healthy +10\.0\.10\.5/);
    assert.match((await sw.cli('guest logs hello')).text, /asked/);
    assert.match((await sw.cli('guest restart hello')).text, /hello: running/);
    assert.match((await sw.cli('guest exec hello id')).text, /nothing can be run/);
    assert.equal(await ask(sw), 'two');
  });
  await t.test('a shut port is a change that leaves the guest alone', async () => {
    const before = pidOf(sw);
    const shut = withFunction('two.js').replace('port: { vlan: web }', 'port: { vlan: web, shut: true }');
    writeFileSync(join(sw.folder, 'two.js'), source('two'));
    const first = await commit(sw, shut);
    assert.equal(first.ok, true, JSON.stringify(first));
    assert.equal(await ask(sw), '');
    assert.equal(pidOf(sw), before);
    assert.equal((await commit(sw, base)).ok, true);
    assert.equal(existsSync(`/run/netns/mp-${sw.instance}-hello`), false);
  });
});
