// CLI, SSH and API on the real engine: the document says where they listen, a commit makes it so.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { listenerDriver } from '../engine/kinds/listener.ts';
import { api } from '../api/slice.ts';
import { openIds } from '../engine/ids.ts';
import { openEngine, type OpenEngine } from '../engine/open.ts';
import type { AnyCommand, AnySlice } from '../engine/slice.ts';
import type { Kernel } from '../kernel/kernel.ts';
import { systemClock } from '../lib/clock.ts';
import { createLog } from '../lib/log.ts';
import { openDoor, type Door } from './door.ts';
import { loadHostKey } from './ssh/hostkey.ts';
import { openSshServer, type SshServer } from './ssh/server.ts';
import { ssh } from './ssh/slice.ts';
import { systemSchema } from './system/schema.ts';
import { systemCommands } from './system/show.ts';
import { watchProcess } from './system/facts.ts';
import { system } from './system/slice.ts';
import { usersSchema } from './users/schema.ts';
import { users } from './users/slice.ts';
import { eventually } from '../../test/fake/eventually.ts';
import { freePort } from '../../test/fake/port.ts';

const run = promisify(execFile);
const slices: readonly AnySlice[] = [system, users, ssh, api];
let folder = '';
let port = 0;
let engine: OpenEngine;
let server: SshServer;
let door: Door;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'midplane-engine-'));
  await run('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', 'kim', '-f', join(folder, 'key')]);
  const file = join(folder, 'midplane.yaml');
  await writeFile(file, '# my switch\nsystem: { hostname: leaf1 } # for now\n');
  const facts = watchProcess([]);
  const now = (): number => systemClock.now();
  const commands: readonly AnyCommand[] = systemCommands({
    engine: () => engine,
    version: '0',
    now,
    facts: () => facts.facts(),
    logLines: () => [],
  });
  const { private: hostKey } = await loadHostKey(folder);
  const log = createLog('test', 'silent');
  server = openSshServer({
    hostKey,
    users: () => engine.read.running(usersSchema),
    openSession: ({ user, role, from, to }) => door.open({ who: `${user}@ssh:${from}`, role }, to),
    clock: systemClock,
    log,
  });
  engine = await openEngine({
    slices,
    kernel: {} as Kernel,
    clock: systemClock,
    log,
    instance: 'test',
    file,
    state: join(folder, 'state'),
    ids: openIds(join(folder, 'ids.json')),
    drivers: [listenerDriver({ ssh: (at) => server.listen(at), api: (at) => server.listen(at) })],
    commands,
    live: new Map(),
  });
  const hostname = (): string => engine.read.running(systemSchema).hostname;
  door = openDoor({ engine, commands: engine.commands, clock: systemClock, hostname });
  port = await freePort();
});

after(async () => {
  await engine[Symbol.asyncDispose]();
  await server[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

const root = { who: 'root@local', role: 'admin' } as const;

async function local(text: string): Promise<string> {
  let written = '';
  const write = (part: string): void => void (written += part);
  const answer = await door.line(text, root, write, new AbortController().signal);
  assert.equal(answer.exitCode, 0, answer.text);
  return written + answer.text;
}

async function remote(command: string): Promise<{ code: number; text: string }> {
  const options = [
    '-F',
    'none',
    '-o',
    'StrictHostKeyChecking=no',
    '-o',
    'UserKnownHostsFile=/dev/null',
    '-o',
    'LogLevel=ERROR',
  ];
  const args = [
    ...options,
    '-o',
    'BatchMode=yes',
    '-i',
    join(folder, 'key'),
    '-p',
    `${port}`,
    'kim@127.0.0.1',
    command,
  ];
  try {
    const { stdout } = await run('ssh', args, { env: { ...process.env, SSH_AUTH_SOCK: '' } });
    return { code: 0, text: stdout };
  } catch (error) {
    const { code, stdout, stderr } = error as { code: number; stdout: string; stderr: string };
    return { code, text: stdout + stderr };
  }
}

test('a commit opens the door, the next one is made through it', async () => {
  const key = (await readFile(join(folder, 'key.pub'), 'utf8')).trim();
  const text = await local(`configure
    set users kim role admin
    set users kim keys "${key}"
    set ssh listen 127.0.0.1:${port}
    commit comment let kim in`);
  assert.match(text, /revision 2 is running: 1 action/);
  const changed = await remote('configure ; set system hostname spine1 ; commit ; run show history');
  assert.equal(changed.code, 0, changed.text);
  assert.match(changed.text, /revision 3 is running/);
  assert.match(changed.text, /\* 3 .*kim@ssh:127\.0\.0\.1/);
  assert.match(changed.text, /2 .*root@local .*let kim in/);
  assert.match(
    await readFile(join(folder, 'midplane.yaml'), 'utf8'),
    /^# my switch\nsystem: \{ hostname: spine1 \} # for now/,
  );
  assert.equal(door.open(root).prompt(), 'midplane@spine1> ');
});

test('problems have their place in the candidate', async () => {
  const bad = await remote('configure ; set system log level chatty');
  assert.equal(bad.code, 1);
  assert.match(bad.text, /one of trace, debug/);
  const problems = await engine.check({ document: 'system:\n  hostnam: x\n' });
  assert.match(problems[0]?.hint ?? '', /hostname/);
});

test('an address that the switch does not have is a fault, and nothing has changed', async () => {
  const before = engine.running().number;
  const { code, text } = await remote('configure ; set ssh listen 192.0.2.1:2222 ; commit');
  assert.equal(code, 2);
  assert.match(text, /listener\/ssh:192\.0\.2\.1:2222: the switch does not have this address \(not-found/);
  assert.equal(engine.running().number, before);
  assert.equal((await remote('show version')).code, 0);
});

test('closing the way in needs a confirmed commit, and comes back by itself or by rollback', async () => {
  const refused = await remote('configure ; delete ssh ; commit');
  assert.equal(refused.code, 1);
  assert.match(refused.text, /commit confirmed/);
  const closed = await remote('configure ; delete ssh ; commit confirmed 0.1');
  assert.equal(closed.code, 0, closed.text);
  assert.match(closed.text, /goes back by itself/);
  assert.equal((await remote('show version')).code, 255);
  await new Promise((resolve) => setTimeout(resolve, 6_000));
  await eventually(async () => assert.equal((await remote('show version')).code, 0));
});

test('a confirmed commit is confirmed from another session', async () => {
  await local('configure ; set system hostname leaf9 ; commit confirmed 5');
  assert.match((await remote('commit')).text, /is confirmed/);
  assert.match(await local('rollback 3'), /is running/);
  assert.equal(door.open(root).prompt(), 'midplane@spine1> ');
});

test('secrets are not shown, and a user who is gone is out', async () => {
  await local(
    'configure ; set users ann password "$scrypt$ln=15,r=8,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA" ; commit',
  );
  const { text } = await remote('show configuration users');
  assert.match(text, /ann:\n {2}password: "?\*{8}/);
  await local('configure ; delete users kim ; commit');
  assert.equal((await remote('show version')).code, 255);
});
