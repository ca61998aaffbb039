// `commit confirmed` is kept by the disk, not by the daemon: kill -9 neither confirms nor forgets it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { RevisionInfo } from '../../src/engine/engine.ts';
import { atRest, faceOf, halfWritten, mustLook, runningOf } from './crash/rest.ts';
import { worldOf } from './crash/world.ts';
import { openSwitch, type TestSwitch } from './switch.ts';

const older = `ports:
  swp1: { vlan: { access: 10 } }
  swp2: { vlan: { access: 10 } }
vlans:
  10: { address: [10.0.10.254/24] }
`;
const newer = older.replace('swp2: {', 'swp2: { mtu: 1400,').replace('10.0.10.254', '10.0.10.253');
const hosts = {
  h1: { port: 'swp1', address: ['10.0.10.1/24'] },
  h2: { port: 'swp2', address: ['10.0.10.2/24'] },
};

const historyOf = async (sw: TestSwitch): Promise<readonly RevisionInfo[]> =>
  (await sw.api<{ revisions: readonly RevisionInfo[] }>('GET', '/v1/history')).body.revisions;

/** Commits to be confirmed; when it goes back by itself, in milliseconds since 1970. */
async function tryOut(sw: TestSwitch, confirmMinutes: number): Promise<number> {
  const { status, body } = await sw.api('POST', '/v1/commit', { document: newer, confirmMinutes });
  assert.equal(status, 200, JSON.stringify(body));
  const [newest] = await historyOf(sw);
  assert.ok(newest?.confirmBy !== undefined);
  assert.equal(faceOf(sw).document, older, 'FILE follows only a confirm');
  return newest.confirmBy;
}

await test('commit confirmed and kill -9', async (t) => {
  await using sw = await openSwitch({ document: older, hosts });
  await atRest(sw, 'at first');
  const before = await worldOf(sw);

  /** The older document runs again, since nobody confirmed the newer. */
  const wentBack = async (tried: RevisionInfo | undefined): Promise<void> => {
    const [last, unconfirmed] = await historyOf(sw);
    assert.equal((await runningOf(sw)).document, older);
    assert.deepEqual([last?.by, last?.confirmBy], ['confirm timer', undefined]);
    assert.deepEqual([unconfirmed?.number, unconfirmed?.confirmBy], [tried?.number, undefined]);
    await atRest(sw, 'back');
    await mustLook(sw, before, 'back');
    assert.deepEqual([faceOf(sw).document, halfWritten(sw)], [older, []]);
    assert.equal(await sw.ping('h1', '10.0.10.254'), 3);
  };

  await t.test('killed and started again in time: it still waits, and goes back when its time has come', async () => {
    // On a slow machine the start takes longer than the time: then with more of it.
    for (const minutes of [0.1, 0.5, 2]) {
      const confirmBy = await tryOut(sw, minutes);
      await sw.kill('SIGKILL');
      assert.equal(await sw.ping('h1', '10.0.10.253'), 3, 'it forwards as the newer says, without a daemon');
      await sw.boot();
      const [tried] = await historyOf(sw);
      const { document } = await runningOf(sw);
      if (Date.now() < confirmBy - 500) {
        assert.deepEqual([document, tried?.confirmBy], [newer, confirmBy]);
        for (const end = confirmBy + 10_000; (await runningOf(sw)).document !== older; await sleep(100)) {
          assert.ok(Date.now() < end, 'it does not go back');
        }
        assert.ok(Date.now() >= confirmBy, 'it went back before its time');
        await wentBack(tried);
        return;
      }
      for (let i = 0; i < 100 && (await runningOf(sw)).document !== older; i += 1) await sleep(100);
      await wentBack((await historyOf(sw))[1]);
    }
    assert.fail('the daemon takes more than two minutes to start');
  });

  await t.test('killed, and its time ran out without a daemon: the older is what starts', async () => {
    const confirmBy = await tryOut(sw, 0.1);
    const [tried] = await historyOf(sw);
    await sw.kill('SIGKILL');
    assert.equal(await sw.ping('h1', '10.0.10.253'), 3, 'it forwards as the newer says, without a daemon');
    await sleep(Math.max(0, confirmBy - Date.now()));
    await sw.boot();
    await wentBack(tried);
  });

  await t.test('killed and confirmed after the start: it stays, over a further kill too', async () => {
    await tryOut(sw, 10);
    await sw.kill('SIGKILL');
    await sw.boot();
    const { status, body } = await sw.api<RevisionInfo>('POST', '/v1/confirm');
    assert.equal(status, 200, JSON.stringify(body));
    assert.equal(faceOf(sw).document, newer);
    await sw.kill('SIGKILL');
    await sw.boot();
    const { revision, document } = await runningOf(sw);
    assert.deepEqual([revision, document], [body.number, newer]);
    assert.equal((await historyOf(sw))[0]?.confirmBy, undefined);
    await atRest(sw, 'confirmed');
    assert.equal(await sw.ping('h1', '10.0.10.253'), 3);
  });
});
