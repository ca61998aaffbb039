import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fakeClock } from '../../test/fake/clock.ts';
import { fakeEngine } from '../../test/fake/engine.ts';
import { firstDocument } from '../../test/fake/slices.ts';
import { z } from 'zod';
import { command, type AnyCommand, type Role } from '../engine/slice.ts';
import { completion, printChoices } from './complete.ts';
import { openSession, type Answer } from './session.ts';
import type { SessionOptions } from './verbs/state.ts';

function open(given: Partial<SessionOptions> = {}) {
  const clock = fakeClock();
  const engine = fakeEngine(clock);
  return { clock, engine, ...enter({ engine, clock, ...given }) };
}

function enter(given: Pick<SessionOptions, 'engine' | 'clock'> & Partial<SessionOptions>) {
  const role: Role = 'admin';
  const { commands } = given.engine;
  const session = openSession({ commands, who: 'kim@ssh:10.0.0.5', role, hostname: () => 'leaf1', ...given });
  let written = '';
  const out = { columns: 80, write: (t: string) => void (written += t), redraw: (t: string) => void (written += t) };
  const answer = (line: string): Promise<Answer> => session.execute(line, out, new AbortController().signal);
  const say = async (...lines: string[]): Promise<string> => {
    let text = '';
    for (const line of lines) text = (await answer(line)).text;
    return text;
  };
  const help = async (text: string): Promise<string> => printChoices(await session.expect(text), 80);
  const tab = async (text: string) => completion(await session.expect(text));
  return { session, answer, say, help, tab, written: () => written };
}

test('commands: unique beginnings, arguments, JSON', async () => {
  const { say, answer } = open();
  assert.equal(await say('sh po'), 'Port   MTU\nswp1  9000\nswp2  1500\n');
  assert.equal(await say('show ports swp2'), 'Port   MTU\nswp2  1500\n');
  assert.equal(await say('show ports port swp2 | include swp'), 'swp2  1500\n');
  assert.deepEqual(JSON.parse(await say('show ports | json')), [
    { name: 'swp1', mtu: 9000 },
    { name: 'swp2', mtu: 1500 },
  ]);
  assert.equal(await say('show ports | yaml'), '- name: swp1\n  mtu: 9000\n- name: swp2\n  mtu: 1500\n');
  assert.equal(await say('show ports counters | json'), '{\n  "rx": "1152921504606846976"\n}\n');
  assert.equal(await say('show lines 30 | include "line [12]$" | count'), 'Count: 2 lines\n');
  assert.equal(await say('show lines 3 | exclude 2'), 'line 1\nline 3\n');
  assert.deepEqual(await answer(''), { exitCode: 0, text: '', page: false, ends: false });
  assert.equal((await answer('# a note')).exitCode, 0);
});

test('what is wrong with a line is marked, with what would fit', async () => {
  const { answer } = open();
  const wrong = async (line: string): Promise<string> => {
    const { text, exitCode } = await answer(line);
    assert.equal(exitCode, 1, line);
    return text;
  };
  assert.equal(await wrong('show pots'), 'show pots\n     ^ unknown word; one of lines, ports\n');
  assert.match(await wrong('show'), /\^ incomplete; one of lines, ports/);
  assert.match(await wrong('c'), /ambiguous; one of clear, commit, configure/);
  assert.match(await wrong('show ports swp1 swp2'), / {16}\^ nothing more is expected here/);
  assert.match(await wrong('show lines many'), /lines: Invalid input: expected number/);
  assert.match(await wrong('show ports | sort'), /\| sort: unknown; one of compare, count/);
  assert.match(await wrong('show ports | include "("'), /Invalid regular expression/);
  assert.match(await wrong('show ports | include'), /pattern is missing/);
  assert.match(await wrong('show "ports'), /quote is not closed/);
  assert.match(await wrong('show ports | compare'), /compare stands behind/);
  assert.match(await wrong(`show ${'x'.repeat(70_000)}`), /at most/);
});

test('a fault of the world has its cause and exit code 2', async () => {
  const { answer } = open();
  const { text, exitCode, data } = await answer('show ports swp9');
  assert.equal(text, 'port swp9: there is no such port (not-found)\n');
  assert.equal(exitCode, 2);
  assert.equal((data as { faults: { code: string }[] }).faults[0]?.code, 'not-found');
});

test('what the system refuses while a command looks is a fault too, a bug is thrown on', async () => {
  const clock = fakeClock();
  const failing = (path: string, error: Error): AnyCommand =>
    command({
      path,
      help: '',
      args: z.object({}),
      data: z.object({}),
      role: 'viewer',
      run: () => Promise.reject(error),
      render: () => '',
    });
  const gone = Object.assign(new Error('read link: ENODEV'), { name: 'KernelError' });
  const commands = [failing('show gone', gone), failing('show bug', new TypeError('x is undefined'))];
  const { answer } = enter({ engine: fakeEngine(clock), clock, commands });
  const { exitCode, text } = await answer('show gone');
  assert.deepEqual([exitCode, text], [2, 'show gone: read link: ENODEV (refused; trying again may help)\n']);
  await assert.rejects(answer('show bug'), /x is undefined/);
});

test('a pattern that backtracks without end is stopped', async () => {
  const { answer, engine } = open();
  await engine.commit({ document: `ports: { ${'a'.repeat(15)}: { description: x } }` }, { by: 'test' });
  const started = performance.now();
  const { text, exitCode } = await answer('show lines 10000 | include "^(((.|..)+)+)+x$"');
  assert.equal(exitCode, 1);
  assert.match(text, /takes too long/);
  // Without an end it would take longer than anybody waits.
  assert.ok(performance.now() - started < 20_000);
});

test('data that comes bit by bit', async () => {
  const { answer, written } = open();
  await answer('monitor vlans 2');
  assert.equal(written(), 'tick 1\ntick 2\n');
  await answer('monitor vlans 2 | json');
  assert.equal(written(), 'tick 1\ntick 2\n{"tick":1}\n{"tick":2}\n');
  assert.equal((await answer('monitor vlans 3 | count')).text, 'Count: 3 lines\n');
});

test('roles: what a role may not do is refused by name, and not shown', async () => {
  const viewer = open({ role: 'viewer' });
  for (const [line, what, role] of [
    ['configure', 'configure', 'admin'],
    ['conf', 'configure', 'admin'],
    ['clear counters', 'clear counters', 'operator'],
    ['rollback 1', 'rollback', 'admin'],
    ['set ports swp1 mtu 9000', 'set', 'admin'],
    ['commit | json', 'commit', 'admin'],
  ] as const) {
    const { exitCode, text } = await viewer.answer(line);
    assert.equal(exitCode, 2, line);
    const fault = { code: 'not-permitted', what, why: `it needs the role ${role}, yours is viewer`, retry: false };
    if (line.includes('json')) assert.deepEqual(JSON.parse(text), { problems: [], faults: [fault] });
    else assert.equal(text, `${what}: ${fault.why} (not-permitted)\n`);
  }
  assert.match((await viewer.answer('shwo ports')).text, /unknown word/);
  assert.match((await open().answer('set ports swp1 mtu 9000')).text, /unknown word/);
  assert.doesNotMatch(await viewer.help(''), /configure|clear|commit/);
  const operator = open({ role: 'operator' });
  assert.equal(await operator.say('clear counters'), 'cleared\n');
  assert.equal((await operator.answer('configure')).exitCode, 2);
});

test('a change from configure to commit', async () => {
  const { say, answer, engine, session, written } = open();
  assert.equal(session.prompt(), 'midplane@leaf1> ');
  await say('configure');
  assert.equal(session.prompt(), '[edit]\nmidplane@leaf1# ');
  await say('set ports swp3 mtu 9000', 'set ports swp3 description "to the spine"', 'set ports swp2 vlan trunk 30 web');
  assert.ok(session.hasEdits());
  assert.equal(await say('show ports swp3'), 'mtu: 9000\ndescription: to the spine\n');
  assert.match(await say('show | compare'), /\+ .*9000/);
  assert.match(
    await say('commit check'),
    /valid; a commit would do this:\nswitch +put port\/swp2\nswitch +put port\/swp3\n/,
  );
  const { text, exitCode } = await answer('commit comment add swp3');
  assert.equal(text, 'revision 2 is running: 2 actions in 3ms\n');
  assert.equal(exitCode, 0);
  assert.equal(written(), 'preparing 50%\n');
  const { document, by, comment } = engine.running();
  assert.deepEqual([by, comment], ['kim@ssh:10.0.0.5', 'add swp3']);
  assert.match(document, /# the switch/);
  assert.match(document, /# uplink/);
  assert.match(document, /web, 20, 30/);
  assert.equal(await say('commit'), 'no changes to commit\n');
  assert.equal(await say('run show ports swp3 | include swp'), 'swp3  9000\n');
});

test('values are what the schema says, at once', async () => {
  const { say, answer } = open();
  await say('configure');
  const wrong = async (line: string): Promise<string> => {
    const { text, exitCode } = await answer(line);
    assert.equal(exitCode, 1, line);
    return text;
  };
  assert.match(await wrong('set ports swp1 mtu 10'), /\^ Too small.*68.*like 9000/);
  assert.match(await wrong('set ports swp1 mtu'), /a value is missing/);
  assert.match(await wrong('set ports swp1 mtu 1500 2'), /one value is expected/);
  assert.match(await wrong('set ports swp1 speed fast'), /one of auto, 1G, 10G/);
  assert.match(await wrong('set ports 1swp mtu 1500'), / {10}\^ no valid name: a port is named like swp1/);
  assert.match(await wrong('set ports swp1 color red'), /unknown word; one of description, mtu, shutdown, speed, vlan/);
  assert.match(await wrong('set'), /set what/);
  assert.match(await wrong('delete ports swp9'), /there is no ports swp9/);
  assert.match(await wrong('delete ports swp2 vlan trunk 99'), /there is no/);
  await say('set ports swp1 shutdown', 'set ports swp1 sp 1G', 'set ports swp2 {mtu: 1400, vlan: {access: 7}}');
  assert.equal(await say('show ports swp1'), 'mtu: 9000\nshutdown: true\nspeed: 1G\n');
  assert.deepEqual(JSON.parse(await say('show ports swp2 | json')), { mtu: 1400, vlan: { access: 7 } });
  assert.match(await wrong('set ports swp2 {mtu: 1400, colour: red}'), /colour/);
});

test('lists: set appends once, delete takes one item', async () => {
  const { say } = open();
  await say('configure', 'set vlans web address 10.10.0.1/24', 'set vlans web address fd00::1/64');
  assert.equal(await say('show vlans web address | json'), '[\n  "10.10.0.1/24",\n  "fd00::1/64"\n]\n');
  await say('delete vlans web address 10.10.0.1/24');
  assert.equal(await say('show vlans web address'), '- fd00::1/64\n');
  await say('delete vlans web address fd00::1/64');
  assert.equal(await say('show vlans web address'), '');
});

test('edit, up, top, exit', async () => {
  const { say, session } = open();
  const place = (): string => session.prompt().split('\n')[0]!;
  await say('configure', 'edit ports swp1 vlan');
  assert.equal(place(), '[edit ports swp1 vlan]');
  await say('set access web');
  assert.equal(await say('show'), 'access: web\n');
  await say('up');
  assert.equal(place(), '[edit ports swp1]');
  await say('up');
  assert.equal(place(), '[edit ports]');
  await say('edit swp2');
  await say('exit');
  assert.equal(place(), '[edit ports]');
  await say('top');
  assert.equal(place(), '[edit]');
  assert.match(await say('up'), /this is the top/);
  assert.match(await say('edit ports swp1 mtu'), /nothing can be edited/);
  assert.match(await say('exit'), /kept until this session ends/);
  assert.equal(session.prompt(), 'midplane@leaf1> ');
  assert.match(await say('configure'), /your edits are still here/);
  await say('discard', 'exit');
  assert.equal(session.hasEdits(), false);
});

test('leaving with edits asks once', async () => {
  const { say, answer } = open();
  await say('configure', 'set ports swp1 mtu 1500', 'exit');
  const first = await answer('exit');
  assert.deepEqual([first.ends, first.exitCode], [false, 1]);
  assert.equal((await answer('exit')).ends, true);
});

test('a failed commit says where and why, and changes nothing', async () => {
  const { say, answer, engine } = open();
  await say('configure', 'set vlans blue address 10.0.0.1/24');
  const bad = await answer('commit');
  assert.equal(bad.exitCode, 1);
  assert.match(bad.text, /^midplane.yaml:1:1: vlans.blue.id: .*\nthe commit failed; nothing has changed\n$/s);
  assert.equal((await answer('commit check')).exitCode, 1);
  await say('set vlans blue id 20');
  engine.failWith = [{ code: 'table-full', what: 'fdb', why: 'no room', retry: true }];
  const full = await answer('commit');
  assert.equal(full.exitCode, 2);
  assert.equal(full.text, 'fdb: no room (table-full; trying again may help)\nthe commit failed; nothing has changed\n');
  assert.equal(engine.running().document, firstDocument);
});

test('a confirmed commit: confirmed by a later commit, or gone', async () => {
  const { say, engine, clock } = open();
  await say('configure', 'set ports swp1 mtu 1400');
  assert.match(await say('commit confirmed 5'), /revision 2 is running.*\nit goes back by itself in 5m00s, unless/);
  assert.match(await say('commit'), /revision 2 is confirmed/);
  clock.advance(600_000);
  assert.equal(engine.running().number, 2);
  await say('set ports swp1 mtu 1300', 'commit confirmed 5');
  clock.advance(300_000);
  assert.match(engine.running().document, /1400/);
});

test('another session can confirm', async () => {
  const first = open();
  await first.say('configure', 'set ports swp1 mtu 1400', 'commit confirmed comment try it');
  assert.equal(first.engine.running().comment, 'try it');
  const second = enter({ engine: first.engine, clock: first.clock, who: 'ann@api' });
  assert.match(await second.say('commit'), /revision 2 is confirmed/);
  assert.match((await second.answer('commit')).text, /none waits/);
});

test('two sessions: the second sees both changes, rebase merges what does not collide', async () => {
  const first = open();
  const second = enter({ engine: first.engine, clock: first.clock, who: 'ann@ssh:10.0.0.6' });
  await first.say('configure', 'set ports swp1 mtu 1400');
  await second.say('configure', 'set ports swp2 mtu 1300');
  await first.say('commit');
  const moved = await second.answer('commit');
  assert.equal(moved.exitCode, 2);
  assert.match(moved.text, /base-moved/);
  assert.match(moved.text, /theirs, since 1:\n.*1400.*yours:\n.*1300.*"rebase"/s);
  assert.match(await second.say('rebase'), /based on revision 2/);
  assert.match(await second.say('commit'), /revision 3 is running/);
  assert.match(first.engine.running().document, /1400[^]*1300/);
});

test('a collision is shown and decided by hand', async () => {
  const first = open();
  const second = enter({ engine: first.engine, clock: first.clock });
  const third = enter({ engine: first.engine, clock: first.clock });
  await first.say('configure', 'set ports swp1 mtu 1400');
  await second.say('configure', 'set ports swp1 mtu 1300', 'set ports swp2 mtu 1300');
  await third.say('configure', 'set ports swp1 mtu 1200');
  await first.say('commit');
  const text = await second.say('rebase');
  assert.match(text, /both changed one place:\nports.swp1.mtu\n  was     9000\n  yours   1300\n  theirs  1400\n/);
  await second.say('rebase mine');
  assert.equal(await second.say('show ports swp1 mtu'), '1300\n');
  assert.match(await second.say('commit'), /revision 3/);
  await third.say('rebase theirs');
  assert.equal(await third.say('commit'), 'no changes to commit\n');
});

test('rollback: into the candidate in configuration mode, at once in operational mode', async () => {
  const { say, engine } = open();
  await say('configure', 'set ports swp1 mtu 1400', 'commit', 'rollback 1');
  assert.match(await say('compare'), /1400/);
  assert.equal(await say('compare 1'), 'no changes\n');
  assert.match(await say('commit'), /revision 3 is running/);
  assert.equal(engine.running().document, firstDocument);
  assert.match(await say('rollback 77'), /no revision 77/);
  await say('set ports swp1 mtu 1300', 'rollback 0');
  assert.equal(await say('compare'), 'no changes\n');
  await say('exit');
  assert.match(await say('rollback 2'), /revision 4 is running/);
  assert.match(engine.running().document, /1400/);
  assert.equal(engine.running().by, 'rollback 2 by kim@ssh:10.0.0.5');
});

test('a commit that takes away the way in must be a confirmed one', async () => {
  const { say, answer } = open({ cameInBy: '10.10.0.1' });
  await say('configure', 'delete vlans web address 10.10.0.1/24');
  const { text, exitCode } = await answer('commit');
  assert.equal(exitCode, 1);
  assert.match(text, /takes away 10.10.0.1.*commit confirmed/);
  assert.match(await say('commit confirmed 1'), /revision 2 is running/);
  const other = open({ cameInBy: '10.10.0.10' });
  await other.say('configure', 'delete vlans web address 10.10.0.1/24');
  assert.match(await other.say('commit'), /revision 2 is running/);
});

test('help: words, arguments, places, names, values, pipes', async () => {
  const { help, say } = open();
  assert.match(await help(''), /^  clear +set counters.*\n  commit .*\n  configure .*\n/);
  assert.match(await help('show '), /  lines +many lines\n  ports +ports and their state\n/);
  assert.match(await help('show ports '), /counters.*\n  <port> +one port\n  swp1\n  swp2\n  <enter>/);
  assert.match(await help('show ports | '), /  compare .*\n  count /);
  assert.match(await help('show ports | inc '), /<regular expression>/);
  assert.match(await help('nonsense '), /nothing is known here/);
  await say('configure');
  assert.equal(await help('set '), '  ports  physical and virtual ports\n  vlans  named VLANs\n');
  assert.match(await help('set ports '), /  <name> .*\n  swp1\n  swp2\n/);
  assert.match(await help('set ports swp1 '), /  mtu +largest frame, 68\.\.9216 \(default 1500\)\n/);
  assert.match(await help('set ports swp1 mtu '), /^  <9000>  largest frame, 68\.\.9216 \(default 1500\)\n$/);
  assert.match(await help('set ports swp1 speed '), /^  auto\s[^]*10G/);
  assert.match(await help('set ports swp2 vlan access '), /  web\n/);
  assert.match(await help('delete ports swp2 vlan trunk '), /  web\n  20\n  <enter>/);
  assert.match(await help('run show '), /ports/);
});

test('Tab: completes what is clear, as far as it is clear', async () => {
  const { tab, say } = open();
  assert.equal(await tab('sh'), 'show ');
  assert.equal(await tab('show p'), 'ports ');
  assert.equal(await tab('show ports swp'), undefined);
  assert.equal(await tab('show ports s'), 'swp');
  assert.equal(await tab('show ports swp1'), 'swp1 ');
  assert.equal(await tab('co'), undefined);
  assert.equal(await tab('conf'), 'configure ');
  assert.equal(await tab('show ports | j'), 'json ');
  await say('configure');
  assert.equal(await tab('set po'), 'ports ');
  assert.equal(await tab('set ports swp2 vl'), 'vlan ');
  assert.equal(await tab('set ports swp1 vlan access w'), 'web ');
  assert.equal(await tab('delete vl'), 'vlans ');
  assert.equal(await tab('ru'), 'run ');
});
