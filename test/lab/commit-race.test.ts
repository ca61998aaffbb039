// Two people at the CLI and a program at the API commit at the same time, each to places of its own: who comes second
// is told, puts the edits on top and tries again. Every revision is the one before it and one edit more.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { request } from 'node:http';
import type { Duplex } from 'node:stream';
import { test } from 'node:test';
import { parse } from 'yaml';
import type { Revision, RevisionInfo } from '../../src/engine/engine.ts';
import { runningOf } from './crash/rest.ts';
import { openSwitch, type TestSwitch } from './switch.ts';

const commits = process.env['MIDPLANE_TEST_LONG'] === '1' ? 500 : 60;

/** A terminal session at the unix socket. */
class Terminal {
  private text = '';
  private readonly stream: Duplex;
  constructor(stream: Duplex) {
    this.stream = stream;
    stream.on('data', (data: Buffer) => (this.text += data.toString()));
  }

  static open(sw: TestSwitch): Promise<Terminal> {
    const headers = { connection: 'upgrade', upgrade: 'midplane-terminal' };
    const socketPath = `/run/midplane/${sw.instance}/api.sock`;
    const path = '/v1/terminal?columns=200&rows=50';
    return new Promise((resolve, reject) => {
      const asked = request({ socketPath, method: 'POST', path, headers });
      asked.once('upgrade', (_response, socket, head) => {
        if (head.length > 0) socket.unshift(head);
        const terminal = new Terminal(socket);
        void terminal.prompt().then(() => resolve(terminal), reject);
      });
      asked.once('response', ({ statusCode }) => reject(new Error(`it answered ${statusCode}`)));
      asked.once('error', reject).end();
    });
  }

  /** Types a line; what stands on the screen until the next prompt. */
  async say(line: string): Promise<string> {
    this.text = '';
    this.stream.write(`${line}\r`);
    return this.prompt();
  }

  close(): void {
    this.stream.destroy();
  }

  private async prompt(): Promise<string> {
    while (!/midplane@\S+[>#] $/.test(this.text)) await once(this.stream, 'data');
    return this.text;
  }
}

/** The n-th of what somebody wants: a description of a VLAN of its own. */
const vlanOf = (who: number, n: number): string => `v${who}-${n}`;

interface Tally {
  /** Of what was committed, in order. */
  readonly done: string[];
  refused: number;
}

async function atTheCli(sw: TestSwitch, who: number, count: number, tally: Tally): Promise<void> {
  const terminal = await Terminal.open(sw);
  await terminal.say('configure');
  for (let n = 0; n < count; n += 1) {
    const name = vlanOf(who, n);
    await terminal.say(`set vlans ${name} id ${1000 * (who + 1) + n}`);
    for (;;) {
      const said = await terminal.say('commit');
      if (/revision \d+ is running/.test(said)) break;
      assert.match(said, /base-moved/);
      tally.refused += 1;
      assert.match(await terminal.say('rebase'), /is based on revision \d+ now/);
    }
    tally.done.push(name);
  }
  terminal.close();
}

async function atTheApi(sw: TestSwitch, who: number, count: number, tally: Tally): Promise<void> {
  for (let n = 0; n < count; n += 1) {
    const name = vlanOf(who, n);
    for (;;) {
      const { revision: base, document } = await runningOf(sw);
      const text = `${document.trimEnd()}\n  ${name}: { id: ${1000 * (who + 1) + n} }\n`;
      const { status, body } = await sw.api<{ faults: { code: string }[] }>('POST', '/v1/commit', {
        document: text,
        base,
      });
      if (status === 200) break;
      assert.equal(body.faults[0]?.code, 'base-moved', JSON.stringify(body));
      tally.refused += 1;
    }
    tally.done.push(name);
  }
}

/** Names of VLANs in a document. */
const vlansIn = (document: string): Set<string> =>
  new Set(Object.keys((parse(document) as { vlans: Record<string, unknown> }).vlans));

await test(`${commits} commits of two CLI sessions and an API client at once`, async (t) => {
  const document = 'ports:\n  swp1: { vlan: { access: 10 } }\nvlans:\n  first: { id: 10 }\n';
  await using sw = await openSwitch({ document, hosts: { h1: { port: 'swp1' } } });
  const tallies: readonly Tally[] = [0, 1, 2].map(() => ({ done: [], refused: 0 }));
  const [one, two, three] = tallies as [Tally, Tally, Tally];
  const begun = performance.now();
  const share = Math.ceil(commits / 3);
  await Promise.all([atTheCli(sw, 0, share, one), atTheCli(sw, 1, share, two), atTheApi(sw, 2, share, three)]);
  const refused = tallies.map((tally) => tally.refused);
  t.diagnostic(`${(performance.now() - begun).toFixed(0)} ms; refused and tried again: ${refused.join(', ')}`);
  assert.ok(
    refused.some((count) => count > 0),
    'they never met',
  );

  const done = tallies.flatMap((tally) => tally.done);
  assert.equal(done.length, share * 3);
  const { revision, document: last } = await runningOf(sw);
  assert.deepEqual([...vlansIn(last)].toSorted(), ['first', ...done].toSorted(), 'no update is lost');
  assert.equal(revision, done.length + 1, 'each is a revision, and there is no other');

  // As many as are kept: each is the one before it, and one edit more.
  const { revisions } = (await sw.api<{ revisions: readonly RevisionInfo[] }>('GET', '/v1/history')).body;
  assert.ok(revisions.length >= Math.min(commits, 50));
  let after: Set<string> | undefined;
  let number = revision;
  for (const info of revisions) {
    assert.equal(info.number, number, 'no number is left out');
    const { body } = await sw.api<Revision>('GET', `/v1/revisions/${number}`);
    const names = vlansIn(body.document);
    if (after !== undefined) {
      const added = [...after].filter((name) => !names.has(name));
      assert.equal(added.length, 1, `revision ${number + 1} adds ${added.join(', ')}`);
      assert.equal(after.size, names.size + 1, `revision ${number + 1} takes nothing away`);
    }
    after = names;
    number -= 1;
  }
});
