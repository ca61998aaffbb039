// Commits that the world refuses half-way: what ran runs unchanged, the answer says why and where, and the disk is
// clean.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { closeSync, openSync, readdirSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Fault } from '../../src/engine/faults.ts';
import { start } from '../../src/lab/process.ts';
import { atRest, faceOf, halfWritten, mustLook, runningOf } from './crash/rest.ts';
import { worldOf } from './crash/world.ts';
import { openSwitch, type TestSwitch } from './switch.ts';

const document = `ports:
  swp1: { vlan: { access: web } }
  swp2: { vlan: { access: web } }
  swp3: { address: [192.0.2.1/31] }
vlans:
  web: { id: 10, address: [10.0.10.254/24] }
functions:
  keep: { source: keep.js, port: { vlan: web }, address: [10.0.10.5/24] }
routes:
  10.99.0.0/16: { via: [192.0.2.0] }
`;
/** Enough that there is something to undo, whatever fails after it. */
const more = document
  .replace('vlans:\n', 'vlans:\n  apps: { id: 20, address: [10.0.20.254/24] }\n')
  .replace('swp2: { vlan: { access: web } }', 'swp2: { mtu: 1400, vlan: { trunk: [web, apps], native: 10 } }');

const hosts = {
  h1: { port: 'swp1', address: ['10.0.10.1/24'] },
  h2: { port: 'swp2', address: ['10.0.10.2/24'] },
  h3: { port: 'swp3', address: ['192.0.2.0/31'] },
};
const files = { 'keep.js': "export default { fetch() { return new Response('keep'); } };\n" };

interface Answer {
  readonly ok: boolean;
  readonly faults: readonly Fault[];
}

const commit = (sw: TestSwitch, text: string, manifests = {}): Promise<{ status: number; body: Answer }> =>
  sw.api<Answer>('POST', '/v1/commit', { document: text, manifests });

const gateway = `apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: { name: edge }
spec: { gatewayClassName: midplane, listeners: [{ name: http, port: 9999, protocol: HTTP }] }
`;

/** Somebody else's socket in the switch's namespace. */
async function listener(sw: TestSwitch, port: number): Promise<AsyncDisposable> {
  const script = `require('node:net').createServer().listen(${port}, '0.0.0.0', () => console.log('up'))`;
  const child = start(sw.lab.switchNetns, [process.execPath, '-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
  if (child.stdout !== null) await once(child.stdout, 'data');
  return {
    async [Symbol.asyncDispose]() {
      const gone = once(child, 'exit');
      child.kill('SIGKILL');
      await gone;
    },
  };
}

/** Takes what room there is left on the disk of the state folder. */
function fillDisk(sw: TestSwitch): Disposable {
  const file = join(sw.state, 'ballast');
  const fd = openSync(file, 'w');
  try {
    for (let bytes = 65_536; bytes >= 1;) {
      try {
        writeSync(fd, Buffer.alloc(bytes));
      } catch (error) {
        assert.equal((error as NodeJS.ErrnoException).code, 'ENOSPC');
        bytes = Math.floor(bytes / 2);
      }
    }
  } finally {
    closeSync(fd);
  }
  return { [Symbol.dispose]: () => rmSync(file) };
}

await test('commits that fail half-way', async (t) => {
  await using sw = await openSwitch({ document, hosts, files, disk: 4 * 1024 * 1024 });
  await atRest(sw, 'at first');
  await sw.on('switch', 'ip', 'link', 'add', 'swp8', 'type', 'ifb');
  const world = await worldOf(sw);
  const running = await runningOf(sw);
  const history = readdirSync(join(sw.state, 'history'));

  /** The switch is as it was before anything was tried. */
  const unchanged = async (when: string): Promise<void> => {
    assert.deepEqual(await runningOf(sw), running, when);
    assert.deepEqual(faceOf(sw), { document, manifests: {} }, when);
    assert.deepEqual(readdirSync(join(sw.state, 'history')), history, when);
    assert.deepEqual(halfWritten(sw), [], when);
    await atRest(sw, when);
    await mustLook(sw, world, when);
    assert.equal(await sw.ping('h1', '10.0.10.2'), 3, when);
    assert.equal(await sw.ping('h1', '10.0.10.5'), 3, when);
  };
  const refused = async (
    what: string,
    wanted: { code: string; what: RegExp; why: RegExp },
    asked: { status: number; body: Answer },
  ): Promise<void> => {
    const { ok, faults } = asked.body;
    assert.equal(ok, false, what);
    assert.ok(asked.status >= 400, what);
    assert.equal(faults[0]?.code, wanted.code, `${what}: ${JSON.stringify(faults)}`);
    assert.match(faults[0]?.what ?? '', wanted.what, what);
    assert.match(faults[0]?.why ?? '', wanted.why, what);
    await unchanged(what);
  };

  await t.test('a device that is not there', async () => {
    const text = more.replace('ports:\n', 'ports:\n  swp9: { vlan: { access: apps } }\n');
    const wanted = { code: 'no-device', what: /^netdev\/swp9$/, why: /swp9/ };
    await refused('no device', wanted, await commit(sw, text));
    const script = 'configure ; set ports swp9 vlan access web ; commit';
    const { text: said, exitCode } = await sw.cli(script);
    assert.match(said, /netdev\/swp9: .*swp9.* \(no-device.*\)\nthe commit failed; nothing has changed\n$/);
    assert.equal(exitCode, 2);
    await unchanged('no device, by the CLI');
  });
  await t.test('an image that is not there', async () => {
    const text = `${more}containers:\n  gone1: { image: "localhost/none:1", port: { vlan: web } }\n`;
    await refused('no image', { code: 'no-image', what: /gone1|none:1/, why: /none:1/ }, await commit(sw, text));
  });
  await t.test('a port that somebody else listens on', async () => {
    await using stack = new AsyncDisposableStack();
    stack.use(await listener(sw, 9999));
    const text = `${more}api: { listen: [10.0.10.254:9999] }\n`;
    const wanted = { code: 'in-use', what: /^listener\/api:10\.0\.10\.254:9999$/, why: /listens/ };
    await refused('port in use', wanted, await commit(sw, text));
    const routerFault = { ...wanted, what: /^snapshot\/router$/, why: /^listener 10\.0\.10\.254:9999: .*listens/ };
    const routed = `${more}gateway: { address: 10.0.10.254 }\n`;
    const asked = await commit(sw, routed, { 'gateway.yaml': gateway });
    await refused("the router's port in use", routerFault, asked);
  });
  await t.test('a route and a program that the kernel does not take', async () => {
    const text = `${more}  10.97.0.0/16: { via: [203.0.113.1], device: vlan10 }\n`;
    const route = { code: 'refused', what: /^route\/main\/10\.97\.0\.0\/16@0$/, why: /./ };
    await refused('a next hop on no network', route, await commit(sw, text));
    // Its driver has no XDP.
    const xdp = more.replace('ports:\n', 'ports:\n  swp8: { datapath: xdp, vlan: { access: web } }\n');
    const program = { code: 'not-supported', what: /^link\/swp8@xdp$/, why: /./ };
    await refused('XDP on a device without', program, await commit(sw, xdp));
  });
  await t.test('a disk without room for the record', async () => {
    using stack = new DisposableStack();
    stack.use(fillDisk(sw));
    // The first needs no new ids, so that it gets as far as the record.
    for (const text of [document.replace('swp2: {', 'swp2: { mtu: 1400,'), more]) {
      const asked = await commit(sw, text);
      await refused('disk full', { code: 'disk-full', what: /./, why: /ENOSPC|no space/i }, asked);
    }
  });
  await t.test('what can be done is done afterwards', async () => {
    const { status, body } = await commit(sw, more);
    assert.equal(status, 200, JSON.stringify(body));
    await atRest(sw, 'afterwards');
    assert.equal((await runningOf(sw)).revision, running.revision + 1);
    assert.deepEqual(faceOf(sw).document, more);
  });
});
