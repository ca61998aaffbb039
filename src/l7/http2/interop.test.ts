// gRPC's own interoperability cases (interop-test-descriptions.md), its client and its server, through the router.
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { accepts, forward, host, route, sleep } from '../../../test/fake/l7.ts';
import { rig } from '../../../test/fake/l7-rig.ts';
import { freePort } from '../../../test/fake/port.ts';

const program = (name: string): string => fileURLToPath(new URL(`../../../native/build/grpc/${name}`, import.meta.url));
const skip = !existsSync(program('client')) && "gRPC's interop programs are missing: run native/setup.sh";

const cases = [
  'empty_unary',
  'large_unary',
  'client_streaming',
  'server_streaming',
  'ping_pong',
  'empty_stream',
  'timeout_on_sleeping_server',
  'cancel_after_begin',
  'cancel_after_first_response',
  'status_code_and_message',
  'special_status_message',
  'custom_metadata',
  'unimplemented_method',
  'unimplemented_service',
  'rpc_soak',
  'channel_soak',
] as const;

function ask(port: number, name: string): Promise<string> {
  const args = ['-server_host', '127.0.0.1', '-server_port', String(port), '-test_case', name];
  if (name.endsWith('soak')) args.push('-soak_iterations', '20');
  return new Promise((resolve) => {
    execFile(program('client'), args, { timeout: 20_000 }, (error, out, err) => {
      resolve(error === null ? '' : `${name}: ${error.message}\n${out}${err}`);
    });
  });
}

test(`gRPC interop: ${cases.length} cases`, { skip }, async () => {
  const port = await freePort();
  const server = spawn(program('server'), ['-port', String(port)], { stdio: 'ignore' });
  try {
    for (let i = 0; i < 200 && !(await accepts(port)); i += 1) await sleep(20);
    using r = await rig();
    r.serve([host(['*'], route('all', forward('go')))], [{ key: 'go', protocol: 'HTTP/2' }]);
    r.endpoints('go', [port]);
    const failed: string[] = [];
    for (const name of cases) failed.push(await ask(r.port, name));
    assert.deepEqual(
      failed.filter((text) => text !== ''),
      [],
    );
    assert.deepEqual(r.faults, []);
    assert.ok(r.log.length >= cases.length);
    assert.equal(r.engine.stats().streams, 0);
  } finally {
    server.kill();
  }
});
