// The server against OpenSSH's own client.
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, stat, writeFile, chmod } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import ssh2 from 'ssh2';
import { fakeEngine, type FakeEngine } from '../../../test/fake/engine.ts';
import { attacks, send, stages } from '../../../test/fake/ssh-raw.ts';
import { systemClock } from '../../lib/clock.ts';
import { hashPassword } from '../../lib/secret/password.ts';
import { openSession } from '../session.ts';
import { faultOfKey, type SshUser } from './auth.ts';
import { loadHostKey } from './hostkey.ts';
import { openSshServer, type SshLimits, type SshServer } from './server.ts';

const run = promisify(execFile);
let folder = '';
let users: Record<string, SshUser> = {};
let engine: FakeEngine;
let server: SshServer;
let port = 0;

const log = { info: () => undefined, warn: () => undefined, debug: () => undefined };

/** Those of a test that fails too: an open one would keep the process. */
const servers: SshServer[] = [];

async function serverWith(limits: Partial<SshLimits>): Promise<{ server: SshServer; port: number }> {
  const { private: hostKey } = await loadHostKey(join(folder, 'host'));
  const opened = openSshServer({
    hostKey,
    users: () => users,
    openSession: ({ user, role, from, to }) =>
      openSession({
        engine,
        commands: engine.commands,
        clock: systemClock,
        who: `${user}@ssh:${from}`,
        role,
        hostname: () => 'leaf1',
        ...(to === undefined ? {} : { cameInBy: to }),
      }),
    clock: systemClock,
    log,
    limits: { refusalMs: 50, ratePerAddress: 100, burstPerAddress: 100, ...limits },
    greeting: () => 'leaf1, a test\n',
  });
  servers.push(opened);
  const at = await opened.listen({ address: '127.0.0.1', port: 0 });
  return { server: opened, port: at.port! };
}

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'midplane-ssh-'));
  engine = fakeEngine(systemClock);
  for (const type of ['ed25519', 'ecdsa', 'rsa', 'other']) {
    const [name, bits] = type === 'other' ? ['ed25519', '256'] : [type, type === 'rsa' ? '2048' : '256'];
    await run('ssh-keygen', ['-q', '-t', name!, '-b', bits!, '-N', '', '-C', 'kim', '-f', join(folder, type)]);
  }
  const publicKey = async (type: string): Promise<string> =>
    (await readFile(join(folder, `${type}.pub`), 'utf8')).trim();
  const keys = await Promise.all(['ed25519', 'ecdsa', 'rsa'].map(publicKey));
  const password = await hashPassword('correct horse');
  users = { kim: { role: 'admin', keys }, vera: { role: 'viewer', keys, password } };
  ({ server, port } = await serverWith({}));
});

after(async () => {
  for (const each of servers) await each[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs the ssh client; `password` is given by an askpass script, `heard` called when it prints something. */
async function ssh(
  args: readonly string[],
  given: { key?: string; password?: string; input?: string; port?: number; heard?: () => void } = {},
) {
  const askpass = join(folder, 'askpass');
  await writeFile(askpass, `#!/bin/sh\nprintf '%s\\n' '${given.password ?? ''}'\n`);
  await chmod(askpass, 0o700);
  const options = [
    '-F',
    'none',
    '-p',
    String(given.port ?? port),
    '-o',
    'StrictHostKeyChecking=no',
    '-o',
    'LogLevel=ERROR',
  ];
  options.push(
    '-o',
    `UserKnownHostsFile=${join(folder, 'known_hosts')}`,
    '-o',
    'IdentitiesOnly=yes',
    '-o',
    'IdentityAgent=none',
  );
  if (given.password === undefined) options.push('-o', 'BatchMode=yes', '-i', join(folder, given.key ?? 'ed25519'));
  else options.push('-o', 'PubkeyAuthentication=no');
  const env = {
    PATH: process.env['PATH'],
    HOME: folder,
    SSH_ASKPASS: askpass,
    SSH_ASKPASS_REQUIRE: 'force',
    TERM: 'xterm',
  };
  return new Promise<Outcome>((resolve) => {
    const child = spawn('ssh', [...options, ...args], { env, stdio: 'pipe' });
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', (chunk) => {
      stdout += chunk;
      given.heard?.();
    });
    child.stderr.on('data', (chunk) => (stderr += chunk));
    child.stdin.end(given.input ?? '');
    child.on('close', (code) => resolve({ code: code ?? -1, stdout, stderr }));
  });
}

test('every host key that is made can be read', async () => {
  // ssh2 makes about one in 300 that cannot.
  for (let i = 0; i < 400; i += 1) {
    const own = join(folder, `key-${i}`);
    const key = await loadHostKey(own);
    assert.match(key.public, /^ssh-ed25519 /);
    await rm(own, { recursive: true });
  }
});

test('the host key is made once and stays', async () => {
  const first = await loadHostKey(join(folder, 'host'));
  const again = await loadHostKey(join(folder, 'host'));
  assert.equal(first.public, again.public);
  const path = join(folder, 'host', 'ssh_host_ed25519_key');
  assert.equal((await stat(path)).mode & 0o777, 0o600);
  const { stdout } = await run('ssh-keygen', ['-l', '-f', path]);
  assert.ok(stdout.includes(first.fingerprint), stdout);
  await chmod(path, 0o644);
  await assert.rejects(loadHostKey(join(folder, 'host')), /others may read/);
  await chmod(path, 0o600);
});

test('commands: output, data, exit codes', async () => {
  const done = await ssh(['kim@127.0.0.1', 'show ports swp1']);
  assert.deepEqual(done, { code: 0, stdout: 'Port   MTU\nswp1  9000\n', stderr: '' });
  const json = await ssh(['kim@127.0.0.1', 'show ports | json']);
  assert.equal(JSON.parse(json.stdout)[0].name, 'swp1');
  const bad = await ssh(['kim@127.0.0.1', 'show pots']);
  assert.equal(bad.code, 1);
  assert.match(bad.stderr, /unknown word/);
  assert.equal((await ssh(['kim@127.0.0.1', 'show ports swp9'])).code, 2);
  const several = await ssh(['kim@127.0.0.1', 'show ports swp1 ; show lines 1\nshow lines 2']);
  assert.equal(several.stdout, 'Port   MTU\nswp1  9000\nline 1\nline 1\nline 2\n');
});

test('a change over one command, named in the history', async () => {
  const line = 'configure ; set ports swp5 mtu 2000 ; commit comment over ssh ; exit ; show ports swp5 | json';
  const { code, stdout } = await ssh(['kim@127.0.0.1', line]);
  assert.equal(code, 0);
  assert.match(stdout, /revision 2 is running/);
  assert.equal(engine.running().by, 'kim@ssh:127.0.0.1');
});

test('keys of each kind; others are refused', async () => {
  for (const key of ['ed25519', 'ecdsa', 'rsa']) {
    assert.equal((await ssh(['vera@127.0.0.1', 'show lines 1'], { key })).stdout, 'line 1\n', key);
  }
  assert.equal((await ssh(['kim@127.0.0.1', 'show lines 1'], { key: 'other' })).code, 255);
  assert.equal((await ssh(['nobody@127.0.0.1', 'show lines 1'])).code, 255);
  const sha1 = await ssh(['-o', 'PubkeyAcceptedAlgorithms=ssh-rsa', 'kim@127.0.0.1', 'show lines 1'], { key: 'rsa' });
  assert.equal(sha1.code, 255);
});

test('passwords: right, wrong, nobody', async () => {
  const right = await ssh(['vera@127.0.0.1', 'show lines 1'], { password: 'correct horse' });
  assert.deepEqual(right, { code: 0, stdout: 'line 1\n', stderr: '' });
  for (const who of ['vera', 'kim', 'nobody', '__proto__']) {
    const { code, stderr } = await ssh([`${who}@127.0.0.1`, 'show lines 1'], { password: 'wrong' });
    assert.equal(code, 255, who);
    assert.doesNotMatch(stderr, /line 1/);
  }
});

test('roles hold over SSH', async () => {
  const { code, stderr } = await ssh(['vera@127.0.0.1', 'configure']);
  assert.equal(code, 2);
  assert.equal(stderr, 'configure: it needs the role admin, yours is viewer (not-permitted)\n');
});

test('a script on standard input, without a terminal', async () => {
  const good = await ssh(['-T', 'kim@127.0.0.1'], { input: 'show lines 1\n# a note\n\nshow ports swp1 | json\n' });
  assert.equal(good.code, 0);
  assert.match(good.stdout, /^line 1\n\[\n/);
  const bad = await ssh(['-T', 'kim@127.0.0.1'], {
    input: 'configure\nset ports swp1 mtu 1\nset ports swp1 mtu 1999\ncommit',
  });
  assert.equal(bad.code, 1);
  assert.match(bad.stderr, /Too small/);
  assert.doesNotMatch(engine.running().document, /1999/);
});

test('a terminal: greeting, prompt, help, completion, exit', async () => {
  const { code, stdout } = await ssh(['-tt', 'kim@127.0.0.1'], {
    input: 'show ?\u0015sh\tpo\tswp1\rconfigure\rexit\rexit\r',
  });
  assert.equal(code, 0);
  assert.match(stdout, /^leaf1, a test\r\n/);
  assert.match(stdout, /midplane@leaf1> /);
  assert.match(stdout, / {2}ports +ports and their state\r\n/);
  assert.match(stdout, /swp1 {2}9000\r\n/);
  assert.match(stdout, /\[edit\]\r\nmidplane@leaf1# exit/);
  assert.ok(!stdout.replaceAll('\r\n', '').includes('\n'));
});

test('only the CLI: no forwarding, no subsystem, no agent', async () => {
  const sftp = await ssh(['-s', 'kim@127.0.0.1', 'sftp']);
  assert.notEqual(sftp.code, 0);
  assert.match(sftp.stderr, /subsystem request failed/);
  const forward = await ssh(['-o', 'ExitOnForwardFailure=yes', '-R', '0:127.0.0.1:9', 'kim@127.0.0.1', 'show lines 1']);
  assert.equal(forward.code, 255);
  const direct = await ssh(['-W', `127.0.0.1:${port}`, 'kim@127.0.0.1']);
  assert.notEqual(direct.code, 0);
});

test('old algorithms are not spoken', async () => {
  for (const option of [
    'KexAlgorithms=diffie-hellman-group14-sha256',
    'Ciphers=aes128-ctr',
    'MACs=hmac-sha1',
    'HostKeyAlgorithms=rsa-sha2-256',
  ]) {
    const cipher = option.startsWith('MACs') ? ['-o', 'Ciphers=aes128-ctr'] : [];
    assert.equal((await ssh([...cipher, '-o', option, 'kim@127.0.0.1', 'show lines 1'])).code, 255, option);
  }
  assert.equal((await ssh(['-o', 'Ciphers=aes128-gcm@openssh.com', 'kim@127.0.0.1', 'show lines 1'])).code, 0);
});

test('strangers are bounded in number and time', async () => {
  const limited = await serverWith({ strangersPerAddress: 2, loginMs: 2000 });
  const sockets = [0, 1, 2].map(() => connect(limited.port, '127.0.0.1'));
  const closed = sockets.map((socket) => {
    socket.on('error', () => undefined).resume();
    return new Promise<number>((resolve) => socket.once('close', () => resolve(performance.now())));
  });
  const started = performance.now();
  const times = (await Promise.all(closed)).map((time) => time - started).sort((a, b) => a - b);
  assert.ok(times[0]! < 1500, `the third is refused at once: ${times.join(' ')}`);
  assert.ok(times[1]! > 1500, `the others have their time: ${times.join(' ')}`);
  await limited.server[Symbol.asyncDispose]();
});

test('an address that comes too often waits', async () => {
  // How long the three take is no matter: the next may come in minutes.
  const limited = await serverWith({ ratePerAddress: 0.01, burstPerAddress: 3 });
  const outcomes: number[] = [];
  for (let i = 0; i < 4; i += 1) {
    outcomes.push((await ssh(['kim@127.0.0.1', 'show lines 1'], { port: limited.port })).code);
  }
  assert.deepEqual(outcomes, [0, 0, 0, 255]);
  await limited.server[Symbol.asyncDispose]();
});

test('sessions hear that the server ends', async () => {
  const { server, port } = await serverWith({});
  const { promise: begun, resolve: heard } = Promise.withResolvers<void>();
  const session = ssh(['-T', 'kim@127.0.0.1', 'monitor vlans 100000'], { port, heard });
  await begun;
  await server[Symbol.asyncDispose]();
  const { code, stderr } = await session;
  assert.match(stderr, /the server ends/);
  assert.equal(code, 2);
});

test('three wrong passwords end the connection', async () => {
  const started = performance.now();
  const { code, stderr } = await ssh(['-o', 'NumberOfPasswordPrompts=9', 'vera@127.0.0.1', 'show lines 1'], {
    password: 'x',
  });
  assert.equal(code, 255);
  assert.doesNotMatch(stderr, /line 1/);
  assert.ok(performance.now() - started < 20_000);
});

test('a user who is taken away is logged out; idle ones too', async () => {
  const other = await serverWith({ idleMs: 400 });
  // It would take 8 minutes by itself.
  const idle = await ssh(['-T', 'kim@127.0.0.1', 'monitor vlans 100000'], { port: other.port });
  assert.notEqual(idle.code, 0);
  await other.server[Symbol.asyncDispose]();
  const long = ssh(['-T', 'vera@127.0.0.1', 'monitor vlans 100000']);
  while (server.visitors().length === 0) await sleep(20);
  const { vera } = users;
  users = { kim: users['kim']! };
  server.recheck();
  assert.notEqual((await long).code, 0);
  users = { ...users, vera: vera! };
});

test('bytes that no client says end the connection, and disturb nobody', async () => {
  const other = await serverWith({ loginMs: 60_000 });
  const at = { host: '127.0.0.1', port: other.port };
  for (const [name, pieces] of Object.entries(attacks)) {
    const { closedMs, said } = await send(at, pieces, 30_000);
    assert.ok(closedMs !== undefined, `${name}: still open`);
    assert.match(said.toString('latin1'), /^SSH-2\.0-midplane\r\n/);
  }
  assert.equal((await ssh(['kim@127.0.0.1', 'show lines 1'], { port: other.port })).stdout, 'line 1\n');
  await other.server[Symbol.asyncDispose]();
});

test('half-open connections end at the deadline, and others come in meanwhile', async () => {
  const loginMs = 4000;
  const other = await serverWith({ loginMs, strangers: 6 });
  const held = Object.values(stages).map((piece, i) =>
    send({ host: '127.0.0.1', port: other.port, localAddress: `127.0.0.${2 + (i % 3)}` }, [piece], 60_000),
  );
  await sleep(200);
  // The door is full, and somebody new comes in all the same.
  assert.equal((await ssh(['kim@127.0.0.1', 'show lines 1'], { port: other.port })).stdout, 'line 1\n');
  const times = (await Promise.all(held)).map(({ closedMs = Infinity }) => closedMs);
  const early = times.filter((ms) => ms < loginMs - 100);
  assert.ok(times.every((ms) => ms < Infinity));
  assert.ok(early.length >= 1 && early.length <= 2, `those in excess had to go early: ${times.join(' ')}`);
  await other.server[Symbol.asyncDispose]();
});

/** Logs in as one who sends what it likes, however much may be on the way; gives how many bytes it got rid of until the
 * server closed. */
async function flood(how: 'script' | 'terminal', most: number): Promise<number> {
  const client = new ssh2.Client();
  const closed = new Promise<void>((done) => client.once('close', () => done()));
  client.on('error', () => undefined);
  client.connect({
    host: '127.0.0.1',
    port,
    username: 'kim',
    privateKey: await readFile(join(folder, 'ed25519')),
  });
  await once(client, 'ready');
  const channel = await new Promise<ssh2.ClientChannel>((resolve, reject) => {
    client.shell(how === 'terminal' ? {} : false, (error, opened) => (error ? reject(error) : resolve(opened)));
  });
  channel.resume().write('monitor vlans 100000\n');
  // Past the client's own flow control.
  const { _protocol: protocol } = client as unknown as { _protocol: { channelData(id: number, data: Buffer): void } };
  const { outgoing } = channel as unknown as { outgoing: { id: number } };
  let sent = 0;
  let open = true;
  void closed.then(() => (open = false));
  for (; open && sent < most; sent += 30_000 * 20) {
    for (let i = 0; i < 20 && open; i += 1) protocol.channelData(outgoing.id, Buffer.alloc(30_000, 'x'));
    await sleep(2);
  }
  client.destroy();
  return sent;
}

test('who sends more than may be on the way is cut off, and costs no memory', async () => {
  for (const how of ['script', 'terminal'] as const) {
    const sent = await flood(how, 500_000_000);
    assert.ok(sent < 200_000_000, `${how}: ${sent} bytes were taken`);
  }
});

test('an honest client may send much more than that while a command runs', async () => {
  const much = `# ${'a comment'.repeat(100)}\n`.repeat(9000);
  const { code, stdout } = await ssh(['-T', 'kim@127.0.0.1'], { input: `monitor vlans 3\n${much}show lines 1\n` });
  assert.equal(code, 0);
  assert.match(stdout, /tick 3\nline 1\n$/);
});

test('what a public key line may be', async () => {
  const ed25519 = (await readFile(join(folder, 'ed25519.pub'), 'utf8')).trim();
  assert.equal(faultOfKey(ed25519), undefined);
  assert.match(faultOfKey(`command="x" ${ed25519}`)!, /begins with one of/);
  assert.match(faultOfKey('ssh-ed25519 AAAA')!, /no public key/);
  assert.match(faultOfKey('ssh-dss AAAA')!, /begins with/);
  await run('ssh-keygen', ['-q', '-t', 'rsa', '-b', '1024', '-N', '', '-f', join(folder, 'short')]);
  assert.match(faultOfKey((await readFile(join(folder, 'short.pub'), 'utf8')).trim())!, /at least 2048/);
});
