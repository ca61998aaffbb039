// Texts that were cut, or made to hurt, given to a running switch: each is refused with its place, and nothing changes.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { request } from 'node:http';
import { test } from 'node:test';
import type { Problem } from '../../src/config/problem.ts';
import { bodies, head } from '../hostile/texts.ts';
import { atRest, faceOf, halfWritten, runningOf } from './crash/rest.ts';
import { openSwitch, type TestSwitch } from './switch.ts';

const document = `ports:
  swp1: { vlan: { access: 10 } }
  swp2: { vlan: { access: 10 } }
vlans:
  10: { address: [10.0.10.254/24] }
`;
const hosts = {
  h1: { port: 'swp1', address: ['10.0.10.1/24'] },
  h2: { port: 'swp2', address: ['10.0.10.2/24'] },
};

interface Refused {
  readonly problems: readonly Problem[];
}

interface Answered {
  readonly status: number;
  readonly body: Refused;
}

/** Begins a body of so many bytes; the status that it is answered by before it has come. */
function begin(sw: TestSwitch, bytes: number): Promise<number> {
  const socketPath = `/run/midplane/${sw.instance}/api.sock`;
  const headers = { 'content-type': 'application/json', 'content-length': bytes };
  return new Promise((resolve, reject) => {
    const sent = request({ socketPath, method: 'POST', path: '/v1/commit', headers });
    sent.once('response', (answer) => {
      answer.resume();
      resolve(answer.statusCode ?? 0);
      sent.destroy();
    });
    sent.on('error', reject).write('{');
  });
}

/** Ticks of a hundredth of a second that the daemon has had of processors (proc_pid_stat(5)). */
function cpuMs(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)?.split(' ') ?? [];
  return 10 * (Number(fields[11]) + Number(fields[12]));
}

/** What the daemon answers, and what that cost it: at the least of three times, since it has else to do as well. */
async function soonest(sw: TestSwitch, body: object): Promise<{ answer: Answered; ms: number }> {
  let best: { answer: Answered; ms: number } | undefined;
  for (let i = 0; i < 3 && (best === undefined || best.ms >= 1000); i += 1) {
    const before = cpuMs(sw.pid());
    const answer = await sw.api<Refused>('POST', '/v1/commit', body);
    const ms = cpuMs(sw.pid()) - before;
    if (best === undefined || ms < best.ms) best = { answer, ms };
  }
  return best ?? assert.fail();
}

await test('hostile texts at the API', async (t) => {
  await using sw = await openSwitch({ document, hosts });
  await atRest(sw, 'at first');
  const running = await runningOf(sw);
  const pid = sw.pid();
  const rss = (): number => Number(/^VmHWM:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1000;
  const first = rss();

  let longest = { ms: 0, what: '' };
  const refuse = async (what: string, body: object): Promise<readonly Problem[]> => {
    const { answer, ms } = await soonest(sw, body);
    if (ms > longest.ms) longest = { ms, what };
    assert.ok(ms < 1000, `${what}: ${ms.toFixed(0)} ms of a processor`);
    assert.ok([400, 413, 422].includes(answer.status), `${what}: ${answer.status}`);
    const { problems } = answer.body;
    assert.ok(
      problems.every(({ line, column, message }) => line >= 1 && column >= 1 && message.length < 2000),
      what,
    );
    assert.ok(problems.length >= 1 && problems.length <= 200, `${what}: ${problems.length} problems`);
    return problems;
  };

  await t.test('each is refused, as a document and as a manifest', async () => {
    for (const [what, [body, meant]] of Object.entries(bodies)) {
      const text = Buffer.from(body()).toString('latin1');
      // Bytes that are no text have none in JSON: what stands for them is text.
      if (/Latin-1|UTF-16|program/.test(what)) continue;
      for (const candidate of [{ document: text }, { document, manifests: { 'hostile.yaml': head + text } }]) {
        const problems = await refuse(what, candidate);
        const said = problems.map(({ message }) => message).join('; ');
        assert.ok(meant.test(said) || /at most 8388608 bytes/.test(said), `${what}: ${said.slice(0, 500)}`);
      }
    }
  });
  await t.test('a body of 100 MB is not read to its end', async () => {
    assert.equal(await begin(sw, 100e6), 413);
  });
  t.diagnostic(
    `slowest: ${longest.what}, ${longest.ms.toFixed(0)} ms; ${first.toFixed(0)} MB before, ${rss().toFixed(0)} MB at most`,
  );
  const grown = rss() - first;
  assert.ok(grown < 200, `${grown.toFixed(0)} MB more at the most`);
  assert.equal(sw.pid(), pid);
  assert.deepEqual(await runningOf(sw), running);
  assert.deepEqual([faceOf(sw).document, halfWritten(sw)], [document, []]);
  assert.equal(await sw.ping('h1', '10.0.10.2'), 3);
});
