import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { fakeClock } from '../../../test/fake/clock.ts';
import { fakeEngine } from '../../../test/fake/engine.ts';
import type { AnySlice } from '../../engine/slice.ts';
import { openSession, type Answer } from '../session.ts';
import { maskIn, maskOf, namesOf } from './capability.ts';
import { watchProcess } from './facts.ts';
import { reachCommands, runTool } from './reach.ts';
import { systemSchema } from './schema.ts';
import { systemCommands } from './show.ts';

const badFile = { file: '/etc/midplane/midplane.yaml', line: 3, column: 7, path: 'ports', message: 'not so' };

function open() {
  const clock = fakeClock(Date.UTC(2026, 0, 2, 3, 4, 5));
  const base = fakeEngine(clock);
  using facts = watchProcess(['NET_ADMIN']);
  const own = systemCommands({
    engine: () => ({ ...base, fileProblems: () => [badFile] }),
    version: '1.2.3',
    now: () => clock.now(),
    facts: () => facts.facts(),
    logLines: (count) => ['one', 'two \u001b[2J', 'three'].slice(-count),
  });
  const commands = [...base.commands, ...own, ...reachCommands];
  const session = openSession({
    engine: base,
    commands,
    clock,
    who: 'v@test',
    role: 'viewer',
    hostname: () => 'leaf1',
  });
  let written = '';
  const out = { columns: 100, write: (text: string) => void (written += text), redraw: () => undefined };
  return {
    engine: base,
    answer: (line: string, signal = new AbortController().signal): Promise<Answer> =>
      session.execute(line, out, signal),
    written: () => written,
  };
}

test('the running document, whole or a section, without secrets', async () => {
  const { answer } = open();
  const whole = await answer('show configuration');
  assert.match(whole.text, /^# the switch\nports:/);
  assert.doesNotMatch(whole.text, /hush/);
  assert.match((await answer('show conf vlans')).text, /^web:\n {2}id: 10\n/);
  const json = JSON.parse((await answer('show configuration ports | json')).text);
  assert.equal(json.document.swp1.mtu, 9000);
  assert.equal((await answer('show configuration nothing')).exitCode, 2);
  assert.match((await answer('show revision 1 vlans')).text, /key: "?\*{8}/);
  assert.equal((await answer('show revision 9')).exitCode, 2);
});

test('the history', async () => {
  const { answer, engine } = open();
  await engine.commit({ document: 'ports: {}' }, { by: 'kim@ssh:10.0.0.5', comment: 'less' });
  const { text } = await answer('show history');
  assert.equal(
    text,
    'Revision  When                 By                Comment\n' +
      '     * 2  2026-01-02 03:04:05  kim@ssh:10.0.0.5  less\n' +
      '       1  2026-01-02 03:04:05  file\n',
  );
});

test('drift: none, or what would be done about it', async () => {
  const { answer, engine } = open();
  assert.equal((await answer('show drift')).text, 'none: 0 resources are as they should be\n');
  const line = 'put address/vlan10/10.0.0.1/24';
  const fault = { code: 'refused', what: 'container', why: 'podman does not answer', retry: true } as const;
  engine.drift = () =>
    Promise.resolve({
      actions: [{ phase: 'switch', verb: 'put', ref: 'address/vlan10/10.0.0.1/24', line }],
      faults: [fault],
      resources: new Map([['address', 2]]),
    });
  assert.equal(
    (await answer('show drift')).text,
    `switch   ${line}\ncontainer: podman does not answer (refused; trying again may help)\n`,
  );
  assert.deepEqual((await answer('show drift')).data, {
    resources: { address: 2 },
    actions: [{ phase: 'switch', verb: 'put', ref: 'address/vlan10/10.0.0.1/24', line }],
    faults: [fault],
  });
});

test('version, system, log', async () => {
  const { answer } = open();
  assert.match((await answer('show version')).text, /^midplane: {2}1\.2\.3\nnode: {6}26\./);
  const system = await answer('show system');
  assert.match(system.text, /pid: +\d+/);
  assert.match(system.text, /Thread +Delay p50/);
  assert.match(
    system.text,
    /^note: not taken in, and kept until the next commit: \/etc\/midplane\/midplane.yaml:3:7: .*not so/m,
  );
  assert.equal((await answer('show log 2')).text, 'two ?[2J\nthree\n');
});

test("capabilities are read from the kernel's own words", () => {
  const mask = maskIn('Name:\tnode\nCapPrm:\t0000000000000001\nCapEff:\t000000c000203020\n', 'CapEff');
  assert.deepEqual(namesOf(mask), ['KILL', 'NET_ADMIN', 'NET_RAW', 'SYS_ADMIN', 'PERFMON', 'BPF']);
  assert.equal(maskOf(namesOf(mask)), mask);
  assert.deepEqual(namesOf(maskIn('CapEff:\t0000000000000000\n', 'CapEff')), []);
  // As capsh and the kernel's header count them.
  assert.equal(maskOf(['CHOWN', 'SYS_PTRACE', 'CHECKPOINT_RESTORE']), (1n << 0n) | (1n << 19n) | (1n << 40n));
  assert.deepEqual(namesOf(1n << 41n), ['41']);
  assert.throws(() => maskOf(['NET_ADMIM']), /no capability NET_ADMIM/);
});

test('ping answers line by line, and says so when nothing answers', async () => {
  const { answer, written } = open();
  const { exitCode } = await answer('ping 127.0.0.1 count 1');
  if (exitCode !== 0) return assert.match(written(), /not installed/);
  assert.match(written(), /1 packets transmitted, 1 received/);
  const none = await answer('ping 192.0.2.1 count 1 source 127.0.0.1');
  assert.equal(none.exitCode, 2);
  assert.match(none.text, /unreachable/);
});

test('what is no host is refused before any program starts', async () => {
  const { answer } = open();
  for (const bad of ['-f', '"a b"', '"$(id)"', '";id"', '""', '-I eth0']) {
    const { exitCode, text } = await answer(`ping ${bad}`);
    assert.equal(exitCode, 1, bad);
    assert.match(text, /host|expected/, bad);
  }
});

test('^C lets the program sum up, then ends it', async () => {
  const stop = new AbortController();
  const lines: string[] = [];
  const script = 'trap "echo bye; exit 0" INT; echo hello; while :; do sleep 0.05; done';
  for await (const { line } of runTool('sh', ['-c', script], 'sh', stop.signal)) {
    lines.push(line);
    stop.abort();
  }
  assert.deepEqual(lines, ['hello', 'bye']);
  await assert.rejects(runTool('no-such-program', [], 'x', new AbortController().signal).next(), /not installed/);
});

test('a command that ignores ^C is left behind', async () => {
  const clock = fakeClock();
  const engine = fakeEngine(
    clock,
    slicesWith(() => new Promise(() => undefined)),
  );
  const session = openSession({
    engine,
    commands: engine.commands,
    clock,
    who: 'v',
    role: 'viewer',
    hostname: () => 'x',
  });
  const stop = new AbortController();
  const out = { columns: 80, write: () => undefined, redraw: () => undefined };
  const answer = session.execute('show stuck', out, stop.signal);
  await setTimeout(20);
  stop.abort();
  clock.advance(5_000);
  assert.match((await answer).text, /cancelled/);
});

function slicesWith(run: () => Promise<never>): AnySlice[] {
  const args = systemSchema;
  const command = { path: 'show stuck', help: '', args: args.unwrap().pick({}), data: args, role: 'viewer' as const };
  return [{ name: 'stuck', commands: [{ ...command, run, render: () => '' }] }];
}
