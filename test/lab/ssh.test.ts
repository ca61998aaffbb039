// The SSH door of a whole switch, tried by strangers, by bytes that no client says, and by users who may only look.
// Meanwhile an operator works, and afterwards the daemon is as it was.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, beforeEach, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { rolesOfCommands } from '../../src/cli/session.ts';
import { reachCommands } from '../../src/cli/system/reach.ts';
import { mayDo } from '../../src/cli/tree.ts';
import { systemClock } from '../../src/lib/clock.ts';
import { hashPassword } from '../../src/lib/secret/password.ts';
import { newToken } from '../../src/lib/secret/token.ts';
import { slices } from '../../src/slices.ts';
import { fakeEngine } from '../fake/engine.ts';
import { attacks, stages } from '../fake/ssh-raw.ts';
import { makeKey, ssh, watch, type Login, type Watch } from './doors/client.ts';
import { type CliAnswer, root } from './rig.ts';
import { openSwitch, type TestSwitch } from './switch.ts';
import { run } from '../../src/lab/process.ts';

const long = process.env['MIDPLANE_TEST_LONG'] === '1';
const sources = Array.from({ length: 20 }, (_, i) => `10.10.0.${100 + i}`);
const hosts = {
  h1: { port: 'swp1', address: ['10.10.0.11/24', ...sources.map((each) => `${each}/24`)] },
  h2: { port: 'swp2', address: ['10.10.0.12/24'] },
};
const tokens = { eyes: newToken(), hands: newToken() };
const kim: Login = { host: 'h2', user: 'kim', key: 'kim' };
const vera: Login = { host: 'h2', user: 'vera', key: 'kim' };

let sw: TestSwitch;
let operator: Watch;
let begun: { readonly fds: number; readonly pid: number; readonly kiB: number };

const documentOf = (key: string, password: string): string => `
vlans: { web: { id: 10, address: [10.10.0.1/24] } }
ports: { swp1: { vlan: { access: web } }, swp2: { vlan: { access: web } } }
functions: { hello: { source: hello.ts, port: { vlan: web }, address: [10.10.0.41/24] } }
ssh: { listen: ["10.10.0.1:22"] }
users:
  kim: { role: admin, keys: ["${key}"] }
  vera: { role: viewer, keys: ["${key}"], password: "${password}" }
api:
  listen: ["10.10.0.1:9090"]
  tokens:
    eyes: { role: viewer, hash: "${tokens.eyes.hash}" }
    hands: { role: operator, hash: "${tokens.hands.hash}" }
`;

const descriptors = (): number => readdirSync(`/proc/${sw.pid()}/fd`).length;
const residentKiB = (): number => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${sw.pid()}/status`, 'utf8'))?.[1]);

// So that no test is kept out for the logins of the one before.
beforeEach(() => sleep(1_200));
before(async () => {
  const document = documentOf('ssh-ed25519 AAAA', await hashPassword('correct horse'));
  const files = { 'hello.ts': 'export default { fetch: () => new Response("hello") };' };
  sw = await openSwitch({ document: document.replace(/keys: \["[^"]*"\]/g, 'keys: []'), hosts, files });
  for (const name of ['kim', 'other']) await makeKey(sw.folder, name);
  const key = readFileSync(join(sw.folder, 'kim.pub'), 'utf8').trim();
  const answer = await sw.api('POST', '/v1/commit', { document: document.replaceAll('ssh-ed25519 AAAA', key) });
  assert.equal(answer.status, 200, JSON.stringify(answer.body));
  operator = await watch(sw, kim);
  await sleep(500);
  begun = { fds: descriptors(), pid: sw.pid(), kiB: residentKiB() };
});

after(async () => {
  await operator?.end();
  await sw?.[Symbol.asyncDispose]();
});

/** Runs all of them, so many at a time. */
async function pooled<T>(jobs: readonly (() => Promise<T>)[], width: number): Promise<T[]> {
  const results: T[] = [];
  const left = [...jobs.entries()];
  const work = async (): Promise<void> => {
    for (let next = left.shift(); next !== undefined; next = left.shift()) results[next[0]] = await next[1]();
  };
  await Promise.all(Array.from({ length: width }, work));
  return results;
}

/** Does it while the operator works, whom it must not cut off. */
async function meanwhile<T>(what: () => Promise<T>): Promise<T> {
  const before = operator.count();
  const result = await what();
  // Answered during it, or soon after a short one.
  for (let i = 0; i < 300 && operator.count() === before; i += 1) await sleep(100);
  assert.ok(operator.count() > before, 'the operator has answers');
  return result;
}

test('wrong keys, wrong passwords, no such user', async () => {
  const strangers: readonly Login[] = ['kim', 'vera', 'nobody', 'root'].flatMap((user, i): Login[] => [
    { host: 'h1', user, key: 'other', bind: sources[i] ?? '' },
    { host: 'h1', user, password: 'wrong', bind: sources[i + 4] ?? '' },
  ]);
  const ran = await meanwhile(() =>
    pooled(
      strangers.map((login) => () => ssh(sw, login, ['show version'])),
      8,
    ),
  );
  assert.deepEqual([...new Set(ran.map(({ code, stdout }) => `${code} ${stdout}`))], ['255 ']);
  // The right ones do.
  assert.equal((await ssh(sw, { host: 'h1', user: 'vera', password: 'correct horse' }, ['show version'])).code, 0);
});

const crowds = long ? 6 : 1;

test('100 connections and key exchanges at once', async (t) => {
  const jobs = Array.from({ length: 100 }, (_, i): Login => {
    return { host: 'h1', user: 'kim', key: 'other', bind: sources[i % sources.length] ?? '' };
  });
  const sizes: number[] = [];
  for (let i = 0; i < crowds; i += 1) {
    await crowdOf(jobs);
    sizes.push(residentKiB());
  }
  t.diagnostic(`resident after each crowd: ${sizes.join(', ')} KiB`);
  const growth = (sizes.at(-1) ?? 0) - (sizes[1] ?? sizes.at(-1) ?? 0);
  assert.ok(growth < 32 * 1024, `${growth} KiB more after the last crowd than after the second`);
  assert.match((await ssh(sw, { ...kim, host: 'h1' }, ['show version'])).stdout, /^midplane/);
});

async function crowdOf(jobs: readonly Login[]): Promise<void> {
  const ran = await meanwhile(async () => {
    const crowd = Promise.all(jobs.map((login) => ssh(sw, login, ['show version'])));
    await sleep(300);
    // One who may comes in through the crowd.
    assert.match((await ssh(sw, kim, ['show version'])).stdout, /^midplane/);
    return crowd;
  });
  assert.deepEqual([...new Set(ran.map(({ code }) => code))], [255]);
}

test('bytes that no client says, and clients that fall silent', async () => {
  const seconds = long ? 60 : 3;
  const script = join(root, 'test/lab/doors/attack.ts');
  const command = [process.execPath, script, '10.10.0.1:22', String(seconds), ...sources];
  const attack = (): ReturnType<typeof run> => run(sw.lab.netnsOf('h1'), command, { timeoutMs: (seconds + 60) * 1000 });
  const { stdout, stderr } = await meanwhile(async () => {
    const attacked = attack();
    await sleep(1000);
    assert.match((await ssh(sw, kim, ['show version'])).stdout, /^midplane/);
    return attacked;
  });
  const [closed = '', silent = ''] = stdout.split('\n');
  const all = JSON.parse(closed) as Record<string, number | null>;
  assert.deepEqual(Object.keys(all), Object.keys(attacks), stderr);
  assert.deepEqual(
    Object.entries(all).filter(([, ms]) => ms === null),
    [],
    'the server closes them',
  );
  const ends = JSON.parse(silent) as (number | null)[];
  assert.equal(ends.length, Object.keys(stages).length * 12);
  const left = ends.filter((ms) => ms === null).length;
  if (long) assert.equal(left, 0, 'all are closed within the 30 s that a login may take');
  else assert.ok(left > 0 && left <= 64, `${left} of ${ends.length} are still open: the door has room for 64`);
});

test('requests that are not served', async () => {
  const refused = async (args: readonly string[], options: readonly string[] = []): Promise<string> => {
    const { code, stdout, stderr } = await ssh(sw, { ...kim, options }, args);
    assert.notEqual(code, 0, args.join(' '));
    return stdout + stderr;
  };
  await meanwhile(async () => {
    for (const name of ['sftp', 'netconf', '../x', 'x'.repeat(20_000)]) {
      assert.match(await refused(['-s', name]), /subsystem request failed/);
    }
    const failing = ['ExitOnForwardFailure=yes'];
    assert.match(await refused(['-R', '0:127.0.0.1:9', 'show version'], failing), /remote port forwarding failed/);
    assert.match(await refused(['-R', '/tmp/mpt-x.sock:/tmp/y.sock', 'show version'], failing), /forwarding failed/);
    assert.match(await refused(['-W', '127.0.0.1:9090']), /open failed|forwarding failed/);
    assert.match(await refused(['-w', 'any', 'show version'], failing), /unnel/);
  });
  // What a client may ask for and does not get: the command runs without it.
  const names = Array.from({ length: 400 }, (_, i) => `V${i}=${'x'.repeat(60)}`);
  for (const option of ['ForwardAgent=yes', 'ForwardX11=yes', `SetEnv=LD_PRELOAD=/tmp/x.so ${names.join(' ')}`]) {
    const { code, stdout } = await ssh(sw, { ...kim, options: [option] }, ['show version']);
    assert.deepEqual([code, stdout.startsWith('midplane')], [0, true], option.slice(0, 20));
  }
});

test('commands that are too long', async () => {
  const exec = await ssh(sw, kim, [`show version | include ${'x'.repeat(60_000)}`]);
  assert.notEqual(exec.code, 0);
  const typed = await ssh(sw, kim, ['-T'], `show version | include ${'x'.repeat(200_000)}\n`);
  assert.equal(typed.code, 1);
  assert.match(typed.stderr, /a line has at most 65536 characters/);
  const lines = await ssh(sw, kim, ['-T'], 'show users\n'.repeat(2000));
  assert.equal(lines.code, 0);
});

const commandsOf = (role: 'viewer' | 'operator'): readonly string[] => {
  const engine = fakeEngine(systemClock, slices);
  const commands = [...slices.flatMap((slice) => slice.commands ?? []), ...reachCommands];
  const all = rolesOfCommands({ engine, commands, clock: systemClock, who: '', role, hostname: () => '' });
  const own = new Set(all.filter((each) => mayDo(role, each.role)).map(({ path }) => path));
  return [...new Set(all.map(({ path }) => path))].filter((path) => !own.has(path)).toSorted();
};

/** What would make each of them a change. */
const behind: Readonly<Record<string, string>> = {
  set: 'ports swp1 shut true',
  delete: 'ports swp1',
  edit: 'ports swp1',
  rollback: '1',
  run: 'clear fdb',
  'guest exec': 'hello "kill 1"',
  'guest restart': 'hello',
  'guest logs': 'hello',
  'commit confirmed': '1',
  'commit comment': 'x',
};

test('a viewer changes nothing, by any command', async () => {
  const forbidden = commandsOf('viewer');
  const known = ['clear fdb', 'commit', 'configure', 'delete', 'guest exec', 'guest restart', 'rollback', 'run', 'set'];
  assert.deepEqual(
    known.filter((path) => !forbidden.includes(path)),
    [],
  );
  const seen = async (): Promise<unknown> => [
    (await sw.api('GET', '/v1/configuration')).body,
    (await sw.api('GET', '/v1/history')).body,
    (await sw.api<{ pid: number }[]>('GET', '/v1/show/guests')).body.map(({ pid }) => pid),
  ];
  const before = await seen();
  const lines = forbidden.map((path) => ({ path, line: `${path} ${behind[path] ?? ''}`.trim() }));
  const said = await pooled(
    lines.map(
      // Slower than the switch's limit of logins from one address.
      ({ line }) =>
        () =>
          sleep(350).then(() => ssh(sw, vera, [line])),
    ),
    3,
  );
  for (const [i, { path, line }] of lines.entries()) {
    const { code, stdout, stderr } = said[i] ?? assert.fail();
    assert.deepEqual([code, stdout], [2, ''], line);
    assert.match(
      stderr,
      new RegExp(`^${path}: it needs the role (operator|admin), yours is viewer \\(not-permitted\\)\n$`),
    );
  }
  const session = await ssh(sw, vera, ['-T'], 'show users\nconfigure\nset ports swp1 shut true\ncommit\n');
  assert.equal(session.code, 2);
  const chained = await ssh(sw, vera, ['show users ; configure ; set ports swp1 shut true ; commit']);
  assert.equal(chained.code, 2);
  for (const { line, path } of lines) {
    const { body } = await bearer<CliAnswer>('eyes', line);
    assert.equal(body.exitCode, 2, line);
    assert.match(body.text, new RegExp(`^${path}: it needs the role`));
  }
  for (const path of commandsOf('operator')) {
    const { body } = await bearer<CliAnswer>('hands', `${path} ${behind[path] ?? ''}`.trim());
    assert.match(body.text, /it needs the role admin, yours is operator/);
  }
  assert.deepEqual(await seen(), before);
});

/** A command line by a token, over TCP. */
async function bearer<T>(name: keyof typeof tokens, line: string): Promise<{ body: T }> {
  const header = `authorization: Bearer ${tokens[name].token}`;
  const data = JSON.stringify({ line });
  const args = ['-s', '-H', header, '-H', 'content-type: application/json', '-d', data];
  const { stdout } = await sw.on('h2', 'curl', ...args, 'http://10.10.0.1:9090/v1/command');
  return { body: JSON.parse(stdout) as T };
}

interface Audit {
  readonly additional_notes: readonly string[];
  readonly cves: readonly unknown[];
}

/** What stands in the README, "Security". */
const warnings = [
  'curve25519-sha256: does not provide protection against post-quantum attacks',
  'curve25519-sha256@libssh.org: does not provide protection against post-quantum attacks',
];

test('ssh-audit fails nothing, and warns of what the README says', async () => {
  // It also tries how many connections of one address are let in at once.
  const program = join(root, 'native/build/ssh-audit/bin/ssh-audit');
  const { stdout, stderr } = await sw.on('h1', program, '--json', '--port', '22', '10.10.0.1');
  const audit = JSON.parse(stdout) as Audit & Record<string, readonly AuditLine[]>;
  const notes = (level: 'fail' | 'warn'): string[] =>
    ['kex', 'key', 'enc', 'mac'].flatMap((kind) =>
      (audit[kind] ?? assert.fail(`no ${kind}: ${stderr}`)).flatMap(({ algorithm, notes: said }) =>
        (said[level] ?? []).map((text) => `${algorithm}: ${text}`),
      ),
    );
  assert.deepEqual(notes('fail'), []);
  assert.deepEqual(notes('warn'), warnings);
  assert.deepEqual(audit.cves, []);
  assert.deepEqual(
    audit.additional_notes.filter((note) => note.includes('throttling')),
    [],
  );
});

interface AuditLine {
  readonly algorithm: string;
  readonly notes: { readonly fail?: readonly string[]; readonly warn?: readonly string[] };
}

test('the daemon is as it was', async (t) => {
  assert.equal(sw.pid(), begun.pid);
  for (let i = 0; i < 100 && descriptors() > begun.fds; i += 1) await sleep(100);
  assert.ok(descriptors() <= begun.fds, `${descriptors()} descriptors, ${begun.fds} before`);
  t.diagnostic(`an operator's answer took ${Math.round(operator.slowest())} ms at most, of ${operator.count()}`);
  const grown = residentKiB() - begun.kiB;
  t.diagnostic(`resident ${begun.kiB} KiB before, ${begun.kiB + grown} KiB after`);
  assert.ok(grown < 128 * 1024);
  const refused = sw.log.filter((line) => line['msg'] === 'login refused').length;
  assert.ok(refused >= 4, `${refused} refused passwords in the log`);
});
