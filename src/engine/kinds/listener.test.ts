import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { test } from 'node:test';
import { FaultError } from '../faults.ts';
import type { Endpoint } from '../../lib/endpoint.ts';
import { listenerDriver, listenerResource } from './listener.ts';
import { freePort } from '../../../test/fake/port.ts';

/** A service that says its name and how many sockets it has. */
function service() {
  let sockets = 0;
  const opener = async ({ address, port }: Endpoint): Promise<AsyncDisposable> => {
    const server = createServer((socket) => socket.end('hello'));
    await new Promise<void>((resolve, reject) => server.once('error', reject).listen(port, address, resolve));
    sockets += 1;
    const stop = async (): Promise<void> => {
      sockets -= 1;
      server.close();
    };
    return { [Symbol.asyncDispose]: stop };
  };
  return { opener, count: () => sockets };
}

test('put listens, again changes nothing, drop stops', async () => {
  const { opener, count } = service();
  const driver = listenerDriver({ ssh: opener });
  const { ref, spec } = listenerResource('ssh', { address: '127.0.0.1', port: await freePort() });
  assert.match(ref, /^listener\/ssh:127\.0\.0\.1:\d+$/);
  await driver.put([[ref, spec]]);
  await driver.put([[ref, spec]]);
  assert.equal(count(), 1);
  assert.deepEqual([...(await driver.read('all'))], [[ref, spec]]);
  assert.equal(driver.diff(spec, spec), 'same');
  await driver.drop([ref, 'listener/ssh:127.0.0.9:1']);
  assert.equal(count(), 0);
  assert.equal((await driver.read([ref])).size, 0);
});

test('a taken port and a foreign address are faults', async () => {
  const { opener } = service();
  const driver = listenerDriver({ ssh: opener });
  const port = await freePort();
  const first = listenerResource('ssh', { address: '127.0.0.1', port });
  await driver.put([[first.ref, first.spec]]);
  const code = async (address: string, owner = 'ssh'): Promise<string> => {
    const { spec } = listenerResource(owner, { address, port });
    try {
      await driver.put([['listener/second', spec]]);
    } catch (error) {
      if (error instanceof FaultError) return error.fault.code;
      throw error;
    }
    return 'none';
  };
  assert.equal(await code('127.0.0.1'), 'in-use');
  assert.equal(await code('192.0.2.1'), 'not-found');
  assert.equal(await code('127.0.0.1', 'telnet'), 'not-supported');
  await driver.drop([first.ref]);
});
