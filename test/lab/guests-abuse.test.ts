// Guests that do what they can to harm: the daemon, forwarding and the other guests go on as if nothing was, and the
// guest itself meets its limit. What code in a function's process could do without Node's permission model is done by
// a shell in the same place: the same namespaces, cgroup and uid.
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { start } from '../../src/lab/process.ts';
import { openSwitch, type TestSwitch } from './switch.ts';

const handler = (body: string): string =>
  `export default { async fetch(request) {
  const url = new URL(request.url);
  if (url.pathname !== '/attack') return new Response('fine');
  const attempt = async (call) => { try { await call(); return 'done'; } catch (e) { return e.code ?? e.name; } };
  ${body}
} };`;

const spin = 'const turn = () => queueMicrotask(turn); turn(); await new Promise(() => undefined);';
const connecting = `const net = await import('node:net');
  const open = (to) => new Promise((ok, no) => net.connect(to).once('connect', ok).once('error', no));
  const paths = [url.searchParams.get('socket'), '/run/midplane'];
  return Response.json({
    daemon: await attempt(() => open({ path: paths[0] })),
    loopback: await attempt(() => open({ host: '127.0.0.1', port: Number(url.searchParams.get('port')) })),
    raw: await attempt(async () => (await import('node:fs')).readFileSync('/proc/1/environ')),
  });`;

const attacks = {
  loop: handler('for (;;);'),
  late: handler('await new Promise((done) => setTimeout(done, 50)); for (;;);'),
  micro: handler(spin),
  eat: handler('const kept = []; for (let i = 0; i < 10; i += 1) kept.push(new Uint8Array(1e8).fill(1));'),
  slay: handler(`const pids = url.searchParams.get('pids').split(',').map(Number);
  const said = await Promise.all([process.ppid, ...pids].map((pid) => attempt(() => process.kill(pid, 'SIGKILL'))));
  setTimeout(() => process.kill(process.pid, 'SIGKILL'), 100);
  return Response.json(said);`),
  huge: handler(`let left = 1024;
  const chunk = new Uint8Array(2 ** 20);
  const pull = (c) => { if (left-- > 0) c.enqueue(chunk); else c.close(); };
  return new Response(new ReadableStream({ pull }));`),
  fork: handler(`const { spawn, fork } = await import('node:child_process');
  const { Worker } = await import('node:worker_threads');
  return Response.json([
    await attempt(() => spawn('/bin/sh')), await attempt(() => fork('/bin/sh')), await attempt(() => new Worker('0', { eval: true })),
  ]);`),
  spy: handler(`const { readFileSync, readdirSync } = await import('node:fs');
  const state = url.searchParams.get('state');
  return Response.json([await attempt(() => readdirSync(state)), await attempt(() => readFileSync('/etc/passwd'))]);`),
  open: handler(connecting),
};
type Attack = keyof typeof attacks;
const names = Object.keys(attacks) as Attack[];
const addressOf = (name: Attack): string => `10.0.10.${20 + names.indexOf(name)}`;
const memory = 96 * 2 ** 20;
const pids = 64;

const document = (shut: boolean): string => `
ports:
  swp1: { vlan: { access: web } }
  swp2: { vlan: { access: web } }
vlans:
  web: { id: 10, address: [10.0.10.254/24] }
functions:
  calm: { source: calm.mjs, port: { vlan: web }, address: [10.0.10.11/24] }
${names
  .map(
    (name) => `  ${name}:
    source: ${name}.mjs
    memory: 96M
    pids: ${pids}
    timeout: ${name === 'eat' ? '30s' : '1s'}
    cpus: 0.5
    port: { vlan: web${shut && name === 'open' ? ', shut: true' : ''} }
    address: [${addressOf(name)}/24]`,
  )
  .join('\n')}
containers:
  quiet: { image: localhost/midplane/web:1, memory: 32M, port: { vlan: web }, address: [10.0.10.12/24] }
  hog:
    image: localhost/midplane/busybox:1
    command: [sh, -c, "sleep 2; exec dd if=/dev/zero of=/dev/null bs=300M count=1"]
    memory: 64M
    port: { vlan: web }
    address: [10.0.10.13/24]
  bomb:
    image: localhost/midplane/busybox:1
    command: [sh, -c, "f() { f | f & }; f; exec sleep 1000"]
    pids: 32
    port: { vlan: web }
    address: [10.0.10.14/24]
`;

const files = {
  'calm.mjs': handler(''),
  ...Object.fromEntries(names.map((name) => [`${name}.mjs`, attacks[name]])),
};
const hosts = {
  h1: { port: 'swp1', address: ['10.0.10.1/24'] },
  h2: { port: 'swp2', address: ['10.0.10.2/24'] },
};

interface Shown {
  readonly name: string;
  readonly state: string;
  readonly pid: number;
  readonly restarts: number;
  readonly ended: string;
}

async function show(sw: TestSwitch, name: string): Promise<Shown> {
  const { body } = await sw.api<Shown[]>('GET', '/v1/show/guests');
  const found = body.find((row) => row.name === name);
  assert.ok(found, name);
  return found;
}

/** Asks until it is so, for at most 60 s: a restart may wait for its turn. */
async function until(what: string, ask: () => Promise<boolean>): Promise<void> {
  for (let i = 0; i < 300; i += 1) {
    if (await ask()) return;
    await sleep(200);
  }
  assert.fail(what);
}

interface Answer {
  readonly text: string;
  readonly status: number;
  readonly seconds: number;
}

/** Status 0: the connection ended without an answer. */
async function get(sw: TestSwitch, url: string, seconds = 30): Promise<Answer> {
  const format = '\n%{http_code} %{time_total}';
  const { stdout } = await sw.on('h1', 'curl', '-s', '-m', String(seconds), '-w', format, url);
  const [, text = '', status = '0', took = '0'] = /^([\s\S]*)\n(\d+) ([\d.]+)$/.exec(stdout) ?? [];
  return { text, status: Number(status), seconds: Number(took) };
}

const attack = (sw: TestSwitch, name: Attack, query = ''): Promise<Answer> =>
  get(sw, `http://${addressOf(name)}/attack${query}`);

/** It was started again, for that reason, and answers. */
async function restarted(sw: TestSwitch, name: Attack, why: RegExp): Promise<void> {
  await until(`${name} is started again`, async () => {
    const { state, restarts } = await show(sw, name);
    return state === 'running' && restarts === 1;
  });
  assert.match((await show(sw, name)).ended, why);
  await until(`${name} answers`, async () => (await get(sw, `http://${addressOf(name)}/`)).text === 'fine');
}

/** Folder of a process's cgroup. */
function groupOf(pid: number, controller: 'memory' | 'pids'): string {
  const lines = readFileSync(`/proc/${pid}/cgroup`, 'utf8').split('\n');
  const v1 = lines.find((line) => line.includes(`:${controller}:`));
  const path = (v1 ?? lines.find((line) => line.startsWith('0::')) ?? '').split(':')[2] ?? '';
  return join('/sys/fs/cgroup', v1 === undefined ? '' : controller, path);
}

const numberIn = (file: string): number => Number(readFileSync(file, 'utf8').trim());

/** Times that the group was refused a process. */
const refusals = (pid: number): number =>
  Number(/^max (\d+)$/m.exec(readFileSync(join(groupOf(pid, 'pids'), 'pids.events'), 'utf8'))?.[1]);

/** Runs a shell where the function is, as the function's user; without Node, so without its permission model. */
async function inPlaceOf(pid: number, script: string): Promise<string> {
  const id = /^Uid:\t(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? '';
  const groups = [...new Set((['memory', 'pids'] as const).map((controller) => groupOf(pid, controller)))];
  const join = groups.map((group) => `echo $$ > ${group}/cgroup.procs`).join('; ');
  const enter = `nsenter -t ${pid} --mount --net --ipc --uts setpriv --reuid ${id} --regid ${id} --clear-groups \
--no-new-privs --bounding-set=-all --inh-caps=-all env -i PATH=/usr/bin:/bin sh -c "$SCRIPT" 2>&1`;
  const child = spawn('sh', ['-c', `${join}; ${enter}`], { env: { ...process.env, SCRIPT: script } });
  let text = '';
  child.stdout.on('data', (data: Buffer) => (text += data.toString()));
  child.stderr.on('data', (data: Buffer) => (text += data.toString()));
  await once(child, 'close');
  return text;
}

/** Watches for as long as the attacks last: packets between hosts, and guests that have done nothing. */
function watch(sw: TestSwitch): { end(): Promise<void> } {
  const ping = start(sw.lab.netnsOf('h1'), ['ping', '-n', '-q', '-i', '0.05', '10.0.10.2'], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  let said = '';
  ping.stdout?.on('data', (data: Buffer) => (said += data.toString()));
  const ending = new AbortController();
  const answers = (async (): Promise<number> => {
    let count = 0;
    while (!ending.signal.aborted) {
      for (const [url, wanted] of [
        ['http://10.0.10.11/', /^fine$/],
        ['http://10.0.10.12/', /version 1/],
      ] as const) {
        const { text, status } = await get(sw, url);
        assert.equal(status, 200, url);
        assert.match(text, wanted, url);
        count += 1;
      }
      await sleep(100);
    }
    return count;
  })();
  answers.catch(() => undefined);
  return {
    async end() {
      ending.abort();
      const gone = once(ping, 'close');
      ping.kill('SIGINT');
      await gone;
      const [, sent = '0', back = '0'] = /(\d+) packets transmitted, (\d+) received/.exec(said) ?? [];
      assert.ok(Number(sent) > 100, said);
      // The last one may be on its way when ping is told to end.
      assert.ok(Number(sent) - Number(back) <= 1, said);
      assert.ok((await answers) > 10);
    },
  };
}

/** What tcpdump sees on a device of the switch, until it has seen three packets or 10 s are over. */
async function capture(
  sw: TestSwitch,
  device: string,
  filter: string,
  meanwhile: () => Promise<void>,
): Promise<string> {
  const args = ['10', 'tcpdump', '-i', device, '-n', '-l', '--immediate-mode', '-c', '3', ...filter.split(' ')];
  const child: ChildProcess = start(sw.lab.switchNetns, ['timeout', ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  let text = '';
  const closed = once(child, 'close');
  child.stdout?.on('data', (data: Buffer) => (text += data.toString()));
  await new Promise<void>((done) => {
    child.stderr?.on('data', (data: Buffer) => data.toString().includes('listening') && done());
    child.once('close', () => done());
  });
  await meanwhile();
  await closed;
  return text;
}

await test('guests that do harm', { concurrency: 3 }, async (t) => {
  await using sw = await openSwitch({ document: document(false), hosts, files });
  const daemon = sw.pid();
  await until('all functions answer', async () => {
    const urls = ['http://10.0.10.11/', 'http://10.0.10.12/', ...names.map((name) => `http://${addressOf(name)}/`)];
    return (await Promise.all(urls.map((url) => get(sw, url)))).every(({ status }) => status === 200);
  });
  const watching = watch(sw);

  // Each waits for a restart: at the same time they take the time of one.
  await Promise.all([
    t.test('functions: loops of three kinds: the request ends, and the function is started again', async () => {
      await Promise.all(
        (['loop', 'late', 'micro'] as const).map(async (name) => {
          const { status, seconds } = await attack(sw, name);
          assert.equal(status, 0, name);
          assert.ok(seconds < 10, `${name}: after ${seconds} s`);
          await restarted(sw, name, /^stuck: /);
        }),
      );
    }),
    t.test('functions: ten arrays of 100 MB', async () => {
      assert.equal((await attack(sw, 'eat')).status, 0);
      await restarted(sw, 'eat', /^out of memory: it has 96M$/);
    }),
    t.test('functions: kill the daemon, a neighbour, the parent, all, and itself', async () => {
      const others = [daemon, (await show(sw, 'calm')).pid, 1];
      const { text } = await attack(sw, 'slay', `?pids=${others.join(',')}`);
      assert.deepEqual(JSON.parse(text), ['EPERM', 'EPERM', 'EPERM', 'EPERM']);
      await restarted(sw, 'slay', /SIGKILL/);
      const { pid } = await show(sw, 'slay');
      // All that it may, which is itself and what it started.
      await inPlaceOf(pid, 'kill -9 -1');
      await until('it is another', async () => ![0, pid].includes((await show(sw, 'slay')).pid));
    }),
  ]);
  await t.test('functions: a response of 1 GB', async () => {
    const { pid } = await show(sw, 'huge');
    const url = `http://${addressOf('huge')}/attack`;
    const ran = await sw.on('h1', 'curl', '-s', '-o', '/dev/null', '-w', '%{http_code} %{size_download}', url);
    const [status, size] = ran.stdout.split(' ').map(Number);
    // All of it, or as much as there was time for.
    assert.equal(status, 200);
    assert.ok(size !== undefined && size > 2 ** 20 && (ran.code === 0) === (size === 2 ** 30), ran.stdout);
    assert.equal((await get(sw, `http://${addressOf('huge')}/`)).text, 'fine');
    assert.equal((await show(sw, 'huge')).pid, pid);
    const peak = ['memory.max_usage_in_bytes', 'memory.peak'].flatMap((name) => {
      try {
        return numberIn(join(groupOf(pid, 'memory'), name));
      } catch {
        return [];
      }
    });
    for (const bytes of peak) assert.ok(bytes <= memory);
  });
  await t.test('functions: a fork bomb', async () => {
    const denied = 'ERR_ACCESS_DENIED';
    assert.deepEqual(JSON.parse((await attack(sw, 'fork')).text), [denied, denied, denied]);
    const { pid } = await show(sw, 'fork');
    const bomb = inPlaceOf(pid, 'f() { f | f & }; f; exec sleep 1000');
    await until('it meets its limit', () => Promise.resolve(refusals(pid) > 0));
    assert.ok(numberIn(join(groupOf(pid, 'pids'), 'pids.current')) <= pids);
    await sleep(500);
    assert.equal((await sw.cli('guest restart fork')).exitCode, 0);
    await bomb;
    assert.equal((await get(sw, `http://${addressOf('fork')}/`)).text, 'fine');
  });
  await t.test("functions: reading the switch's state", async () => {
    const denied = 'ERR_ACCESS_DENIED';
    assert.deepEqual(JSON.parse((await attack(sw, 'spy', `?state=${sw.state}`)).text), [denied, denied]);
    const { pid } = await show(sw, 'spy');
    // Where the test itself runs in a changed root, the place's own root has no such folder.
    const nothing = /^(ls: .*: (Permission denied|No such file or directory)\n)?$/;
    assert.match(await inPlaceOf(pid, `ls -A ${sw.state}`), nothing);
    const own = ['host.mjs', 'module.mjs', 'node', 'resolv.conf', 'settings.json'];
    assert.deepEqual((await inPlaceOf(pid, 'ls -A /run/midplane')).trim().split('\n'), own);
    const tried = await inPlaceOf(pid, `cat /proc/${daemon}/environ; ls /proc/${daemon}/root/; umount ${sw.state}; :`);
    assert.equal(tried.match(/denied|not permitted|must be superuser/gi)?.length, 3, tried);
  });
  await t.test('functions: sockets out of its port', async () => {
    const socket = `/run/midplane/${sw.instance}/api.sock`;
    const said = JSON.parse((await attack(sw, 'open', `?socket=${socket}&port=9090`)).text) as Record<string, string>;
    assert.match(said['daemon'] ?? '', /ENOENT|ERR_ACCESS_DENIED/);
    assert.equal(said['loopback'], 'ECONNREFUSED');
    assert.equal(said['raw'], 'ERR_ACCESS_DENIED');
    const { pid } = await show(sw, 'open');
    const tried = await inPlaceOf(
      pid,
      'nsenter -t 1 --net true; unshare --net true; ip link set eth0 down; ls /sys/class/net; :',
    );
    assert.equal(tried.match(/denied|not permitted/gi)?.length, 3, tried);
  });
  await t.test('functions: tcpdump on its port sees what it sends, and shutting the port cuts it off', async () => {
    const address = addressOf('open');
    const { pid } = await show(sw, 'open');
    const seen = await capture(sw, 'open', `src host ${address} and tcp`, async () => {
      assert.equal((await get(sw, `http://${address}/`)).text, 'fine');
    });
    assert.match(
      seen,
      new RegExp(`IP ${address.replaceAll('.', '\\.')}\\.80 > 10\\.0\\.10\\.1\\.\\d+: Flags \\[S\\.\\]`),
    );
    const commit = async (shut: boolean): Promise<void> => {
      assert.equal((await sw.api('POST', '/v1/commit', { document: document(shut) })).status, 200);
    };
    await commit(true);
    assert.equal((await get(sw, `http://${address}/`, 2)).status, 0);
    assert.equal(await sw.ping('h1', address, { count: 2 }), 0);
    const outward = 'curl -s -m 2 -o /dev/null http://10.0.10.12/; echo $?';
    assert.match(await inPlaceOf(pid, outward), /^(7|28)\n$/);
    await commit(false);
    await until('it reaches others again', async () => (await inPlaceOf(pid, outward)) === '0\n');
    await until('it is back', async () => (await get(sw, `http://${address}/`, 2)).text === 'fine');
    assert.equal((await show(sw, 'open')).pid, pid);
  });
  await t.test('containers: one that takes more memory than it has', async () => {
    await until('it was ended for that', async () => /out of memory/.test((await show(sw, 'hog')).ended));
  });
  await t.test('containers: a fork bomb', async () => {
    const { pid } = await show(sw, 'bomb');
    await until('it meets its limit', () => Promise.resolve(refusals(pid) > 0));
    assert.ok(numberIn(join(groupOf(pid, 'pids'), 'pids.current')) <= 32);
  });
  await t.test('meanwhile no packet was lost, the neighbours answered, and the daemon is the same', async () => {
    await watching.end();
    assert.equal(sw.pid(), daemon);
    assert.equal((await show(sw, 'calm')).restarts, 0);
    assert.equal((await show(sw, 'quiet')).restarts, 0);
    process.kill(daemon, 0);
  });
});
