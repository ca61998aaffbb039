// The lab as a stranger starts it, and each of the five ways through the switch, from outside: a packet, a change, a
// request, a CLI command, a mesh update. OpenSSH's own client, curl and ping do the asking.
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { run } from '../../src/lab/process.ts';
import { kernel } from './rig.ts';
import { type Started, startLab, until } from './stranger.ts';

const exec = promisify(execFile);

let lab: Started;
const folder = mkdtempSync(join(tmpdir(), 'mpt-lab-'));

before(async () => {
  lab = await startLab();
  writeFileSync(join(folder, 'askpass'), `#!/bin/sh\necho ${lab.password}\n`, { mode: 0o700 });
});
after(() => rmSync(folder, { recursive: true, force: true }));

function sshCommand(): { readonly args: string[]; readonly env: NodeJS.ProcessEnv } {
  const options = ['StrictHostKeyChecking=no', 'UserKnownHostsFile=/dev/null', 'LogLevel=ERROR'];
  const args = ['-p', lab.port.ssh, ...options.flatMap((option) => ['-o', option]), 'admin@127.0.0.1'];
  const askpass = { SSH_ASKPASS: join(folder, 'askpass'), SSH_ASKPASS_REQUIRE: 'force', DISPLAY: 'none' };
  return { args, env: { ...process.env, ...askpass } };
}

/** A command by OpenSSH's client, the password by its askpass. */
async function ssh(command: string): Promise<{ code: number; out: string; err: string }> {
  const { args, env } = sshCommand();
  const child = spawn('ssh', [...args, command], { env, stdio: ['ignore', 'pipe', 'pipe'] });
  let [out, err] = ['', ''];
  child.stdout.on('data', (data: Buffer) => (out += data.toString()));
  child.stderr.on('data', (data: Buffer) => (err += data.toString()));
  const [code] = (await once(child, 'close')) as [number];
  return { code, out, err };
}

const curl = async (...args: string[]): Promise<string> => (await exec('curl', ['-s', '-m', '5', ...args])).stdout;
const on = (host: string, ...command: string[]) => run(`lab-${host}`, command);
const reaches = async (from: string, to: string): Promise<boolean> =>
  (await on(from, 'ping', '-c', '1', '-W', '1', to)).code === 0;
const web = (): string => `http://127.0.0.1:${lab.port.http}`;

test('a packet: hosts and guests of both VLANs reach each other', async () => {
  assert.ok(await reaches('h1', '10.10.0.12'), 'bridged');
  assert.ok(await reaches('h1', '10.20.0.13'), 'routed');
  assert.ok(await reaches('h4', '10.20.0.13'), 'from a trunk');
  assert.ok(await reaches('h1', 'fd00:20::13'), 'IPv6');
  for (const guest of ['10.10.0.21', '10.10.0.22', '10.20.0.41']) assert.ok(await reaches('h1', guest), guest);
  await until('the VM answers', async () => ((await reaches('h1', '10.20.0.31')) ? true : undefined));
});

test('a request: container, VM and function behind the gateway, by weight and by header', async () => {
  const version = async (...args: string[]): Promise<string | undefined> =>
    /^version (v\d)$/m.exec(await curl(...args, `${web()}/`))?.[1];
  await until('both versions are healthy', async () => {
    const seen = new Set(await Promise.all(Array.from({ length: 10 }, () => version())));
    return seen.has('v1') && seen.has('v2') ? true : undefined;
  });
  const counts: Record<string, number> = {};
  for (let i = 0; i < 100; i += 1) {
    const found = (await version()) ?? 'none';
    counts[found] = (counts[found] ?? 0) + 1;
  }
  assert.ok((counts['v1'] ?? 0) >= 70 && (counts['v1'] ?? 0) <= 90, JSON.stringify(counts));
  assert.equal((counts['v1'] ?? 0) + (counts['v2'] ?? 0), 100);
  for (let i = 0; i < 10; i += 1) assert.equal(await version('-H', 'x-user: canary'), 'v2');
  const hello = JSON.parse(await curl(`${web()}/hello?name=lab`)) as { hello: string };
  assert.equal(hello.hello, 'lab');
  await until('the VM answers by the gateway', async () =>
    (await curl(`${web()}/vm`)).startsWith('host vm1') ? 1 : undefined,
  );
});

test('a CLI command: text, JSON, help and exit codes by OpenSSH', async () => {
  const ports = await ssh('show ports');
  assert.equal(ports.code, 0, ports.err);
  for (const port of ['swp1', 'swp5', 'web-v1', 'vm1', 'hello'])
    assert.match(ports.out, new RegExp(`^${port} +up `, 'm'));
  for (const line of ports.out.split('\n')) assert.ok(line.length <= 80, line);
  const json = JSON.parse((await ssh('show ports | json')).out) as { name: string; state: string }[];
  assert.ok(
    json.every((port) => port.state === 'up'),
    JSON.stringify(json),
  );
  const guests = await ssh('show guests');
  assert.match(guests.out, /^web-v1 +container +running +healthy/m);
  assert.match((await ssh('guest exec web-v1 hostname')).out, /web-v1/);
  assert.match((await ssh('guest web-v1 exec hostname')).out, /web-v1/, 'the name before the verb');
  assert.equal((await ssh('sh ver')).code, 0, 'unique abbreviations');
  const wrong = await ssh('show prots');
  assert.equal(wrong.code, 1);
  assert.match(wrong.err, /unknown word/);
});

test('the console of a VM takes a terminal over, and gives it back', async () => {
  const { args, env } = sshCommand();
  const child = spawn('ssh', ['-tt', ...args], { env, stdio: ['pipe', 'pipe', 'ignore'] });
  let text = '';
  child.stdout.on('data', (data: Buffer) => (text += data.toString()));
  const says = (pattern: RegExp) => until(`${pattern}`, async () => (pattern.test(text) ? true : undefined), 30);
  await says(/midplane@lab> /);
  child.stdin.write('guest console vm1\r');
  await says(/connected/);
  text = '';
  child.stdin.write('\recho on-$(uname -n)\r');
  await says(/on-vm1/);
  child.stdin.write('\u001d');
  await says(/disconnected/);
  child.stdin.write('show version\r');
  await says(/midplane: /);
  child.stdin.end('exit\r');
  await once(child, 'close');
});

test('a change: set, compare, commit; its rollback; a confirmed one that goes back by itself', async () => {
  const changed = await ssh(
    'configure; set ports swp2 shut true; compare; commit comment "h2 off"; exit; show history',
  );
  assert.equal(changed.code, 0, changed.err);
  assert.match(changed.out, /\+ ports\.swp2\.shut: true/);
  assert.match(changed.out, /h2 off/);
  assert.equal(await reaches('h1', '10.10.0.12'), false);
  assert.equal((await ssh('rollback 1')).code, 0);
  assert.ok(await reaches('h1', '10.10.0.12'));
  const bad = await ssh('configure; set ports swp2 vlan access nowhere; commit');
  assert.equal(bad.code, 1);
  assert.match(bad.err + bad.out, /no VLAN is named nowhere/);
  assert.ok(await reaches('h1', '10.10.0.12'), 'nothing has changed');
  assert.equal((await ssh('configure; set ports swp2 shut true; commit confirmed 0.1')).code, 0);
  assert.equal(await reaches('h1', '10.10.0.12'), false);
  await until('it goes back', async () => ((await reaches('h1', '10.10.0.12')) ? true : undefined), 20);
});

test('a mesh update: the Envoy on h5 follows the manifests', async () => {
  const byEnvoy = (...args: string[]) => on('h1', 'curl', '-s', '-m', '5', ...args, 'http://10.10.0.15/');
  await until('Envoy answers', async () => ((await byEnvoy()).stdout.includes('version v') ? true : undefined));
  for (let i = 0; i < 5; i += 1) assert.match((await byEnvoy('-H', 'x-user: canary')).stdout, /version v2/);
  const proxies = JSON.parse((await ssh('show proxies | json')).out) as {
    id: string;
    types: { sent: string; acked: string }[];
  }[];
  assert.equal(proxies[0]?.id, 'h5');
  assert.ok(proxies[0]?.types.every((type) => type.sent === type.acked));
  const api = `http://127.0.0.1:${lab.port.api}`;
  const auth = ['-H', `authorization: Bearer ${lab.token}`];
  const running = JSON.parse(await curl(...auth, `${api}/v1/configuration`)) as {
    document: string;
    manifests: Record<string, string>;
  };
  const manifests = Object.fromEntries(
    Object.entries(running.manifests).map(([name, text]) => [name, text.replace('value: canary', 'value: tester')]),
  );
  const body = JSON.stringify({ document: running.document, manifests, comment: 'another header' });
  const type = ['-H', 'content-type: application/json'];
  const answer = JSON.parse(await curl(...auth, ...type, '-d', body, `${api}/v1/commit`)) as { ok: boolean };
  assert.equal(answer.ok, true, JSON.stringify(answer));
  await until(
    'Envoy has it',
    async () => {
      for (let i = 0; i < 10; i += 1)
        if (!(await byEnvoy('-H', 'x-user: tester')).stdout.includes('version v2')) return undefined;
      return true;
    },
    10,
  );
  assert.match(await curl(`${api}/metrics`), /^midplane_port_up\{port="swp1"\} 1$/m);
});

test('the daemon is killed: forwarding and guests go on, and it comes back by itself', async () => {
  const pidOf = async (): Promise<number> => (JSON.parse((await ssh('show system | json')).out) as { pid: number }).pid;
  const pid = await pidOf();
  process.kill(pid, 'SIGKILL');
  assert.ok(await reaches('h1', '10.20.0.13'));
  assert.match((await on('h1', 'curl', '-s', '-m', '5', 'http://10.10.0.21/')).stdout, /^host web-v1/);
  const fresh = await until('another daemon answers', async () => {
    const now = await pidOf();
    return now === pid ? undefined : now;
  });
  assert.notEqual(fresh, pid);
  const guests = JSON.parse((await ssh('show guests | json')).out) as { restarts: number }[];
  assert.ok(
    guests.every((guest) => guest.restarts === 0),
    'no guest was started again',
  );
});

test('Ctrl-C leaves nothing behind', async () => {
  lab.child.kill('SIGINT');
  const [code] = (await once(lab.child, 'exit')) as [number];
  assert.equal(code, 0, lab.text());
  assert.deepEqual(
    kernel.netns.list().filter((name) => name.startsWith('lab-')),
    [],
  );
  for (const path of ['/sys/fs/bpf/midplane/lab', '/run/midplane/lab', '/var/lib/midplane/lab']) {
    assert.equal(existsSync(path), false, path);
  }
});
