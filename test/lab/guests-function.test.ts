// Functions as guests: reached over their ports, capped, left alone by the daemon's death, and gone without a trace.
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { openSwitch, type TestSwitch } from './switch.ts';

const hello = `
interface Env { WHO: string }
export default {
  async fetch(request: Request, env: Env, ctx: { waitUntil(p: Promise<unknown>): void }): Promise<Response> {
    const { pathname } = new URL(request.url);
    if (pathname === '/slow') await new Promise((done) => setTimeout(done, 5000));
    if (pathname === '/throw') throw new Error('on purpose');
    if (pathname === '/eat') {
      const kept: Uint8Array[] = [];
      for (;;) kept.push(new Uint8Array(8 * 2 ** 20).fill(1));
    }
    if (pathname === '/read') {
      const { readFileSync } = await import('node:fs');
      return new Response(readFileSync('/etc/passwd', 'utf8'));
    }
    if (pathname === '/who') return Response.json({ uid: process.getuid?.(), caps: Object.keys(process.env) });
    if (pathname === '/echo') return new Response(await request.text(), { headers: { 'x-method': request.method } });
    ctx.waitUntil(Promise.resolve());
    return new Response('hello ' + env.WHO);
  },
};
`;

const document = `
ports:
  swp1: { vlan: { access: web } }
  swp2: { vlan: { access: 20 } }
vlans:
  web: { id: 10, address: [10.0.10.254/24, "fd00:10::fe/64"] }
  20: { address: [10.0.20.254/24] }
functions:
  hello:
    source: functions/hello.ts
    memory: 96M
    timeout: 1s
    port: { vlan: web }
    address: [10.0.10.5/24, "fd00:10::5/64"]
    environment: { WHO: lab }
    service: { name: web, port: 8000 }
    health: { http: { port: 8000, path: / }, interval: 500ms }
  bad:
    source: functions/bad.ts
    port: { vlan: web }
    address: [10.0.10.6/24]
  shut:
    source: functions/hello.ts
    port: { vlan: web, shut: true }
    address: [10.0.10.7/24]
`;

const files = { 'functions/hello.ts': hello, 'functions/bad.ts': "throw new Error('no start');" };
const hosts = {
  h1: { port: 'swp1', address: ['10.0.10.1/24', 'fd00:10::1/64'] },
  h2: { port: 'swp2', address: ['10.0.20.2/24'], gateway: ['10.0.20.254'] },
};

interface FunctionRecord {
  readonly pid: number;
  readonly startTime: number;
}

const recordOf = (sw: TestSwitch, name: string): FunctionRecord =>
  JSON.parse(readFileSync(`/run/midplane/${sw.instance}/functions/${name}.json`, 'utf8')) as FunctionRecord;

async function curl(sw: TestSwitch, from: string, url: string, ...args: readonly string[]): Promise<string> {
  const ran = await sw.on(from, 'curl', '-s', '-g', '-m', '5', '-w', ' %{http_code}', ...args, url);
  return ran.stdout;
}

/** Asks until the answer is as wanted, for at most 15 s. */
async function until(what: string, ask: () => Promise<boolean> | boolean): Promise<void> {
  for (let i = 0; i < 75; i += 1) {
    if (await ask()) return;
    await new Promise((done) => setTimeout(done, 200));
  }
  assert.fail(what);
}

const base = 'http://10.0.10.5:8000';

await test('functions', async (t) => {
  let instance = '';
  {
    await using sw = await openSwitch({ document, hosts, files });
    instance = sw.instance;
    await until('it answers', async () => (await curl(sw, 'h1', `${base}/`)) === 'hello lab 200');
    await t.test('from its VLAN, over IPv6, and through the SVI from another VLAN', async () => {
      assert.equal(await sw.ping('h1', '10.0.10.5'), 3);
      assert.equal(await curl(sw, 'h1', 'http://[fd00:10::5]:8000/'), 'hello lab 200');
      assert.equal(await sw.ping('h2', '10.0.10.5'), 3);
      assert.equal(await curl(sw, 'h2', `${base}/`), 'hello lab 200');
      assert.equal(await curl(sw, 'h1', `${base}/echo`, '-d', 'abc'), 'abc 200');
    });
    await t.test('what it may not do', async () => {
      assert.match(await curl(sw, 'h1', `${base}/slow`), / 504$/);
      assert.match(await curl(sw, 'h1', `${base}/throw`), / 500$/);
      assert.match(await curl(sw, 'h1', `${base}/read`), / 500$/);
      const who = JSON.parse((await curl(sw, 'h1', `${base}/who`)).replace(/ 200$/, '')) as { uid: number };
      assert.ok(who.uid > 1_000_000);
      const { pid } = recordOf(sw, 'hello');
      const status = readFileSync(`/proc/${pid}/status`, 'utf8');
      assert.match(status, /^CapEff:\t0+$/m);
      assert.match(status, /^CapBnd:\t0+$/m);
      assert.match(status, /^NoNewPrivs:\t1$/m);
      const mounts = readFileSync(`/proc/${pid}/mounts`, 'utf8');
      assert.ok(mounts.includes(sw.state), 'the state folder is hidden');
      assert.equal(existsSync(`/proc/${pid}/root/run/midplane/${sw.instance}`), false);
    });
    await t.test('a shut port cuts off', async () => {
      assert.equal(await sw.ping('h1', '10.0.10.7', { count: 1 }), 0);
    });
    await t.test('one that fails leaves the rest alone, and its log says why', async () => {
      const log = `/run/midplane/${sw.instance}/functions/bad.log`;
      await until('it has failed', () => existsSync(log) && readFileSync(log, 'utf8').includes('no start'));
      assert.equal(await curl(sw, 'h1', `${base}/`), 'hello lab 200');
    });
    await t.test('the daemon dies: the same process goes on, and the next daemon adopts it', async () => {
      const before = recordOf(sw, 'hello');
      await sw.kill('SIGKILL');
      assert.equal(await curl(sw, 'h1', `${base}/`), 'hello lab 200');
      await sw.boot();
      assert.equal(await curl(sw, 'h1', `${base}/`), 'hello lab 200');
      assert.deepEqual(recordOf(sw, 'hello'), before);
    });
    await t.test('it cannot eat more than its memory, and is started again', async () => {
      const before = recordOf(sw, 'hello');
      await curl(sw, 'h1', `${base}/eat`);
      await until('it is another process', () => recordOf(sw, 'hello').pid !== before.pid);
      await until('it answers again', async () => (await curl(sw, 'h1', `${base}/`)) === 'hello lab 200');
    });
  }
  await t.test('nothing is left', () => {
    assert.deepEqual(
      readdirSync('/run/netns').filter((name) => name.includes(instance)),
      [],
    );
    assert.equal(existsSync(join('/run/midplane', instance)), false);
    for (const group of ['memory', 'cpu', 'pids', '']) {
      assert.equal(existsSync(join('/sys/fs/cgroup', group, 'midplane', instance)), false);
    }
    const cmdlines = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
    assert.ok(!cmdlines.some((pid) => environment(pid).includes(instance)), 'no process');
  });
});

function environment(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
  } catch {
    return '';
  }
}
