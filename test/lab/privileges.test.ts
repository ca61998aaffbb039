// The daemon may do what it needs and nothing else: with those capabilities all of it works, and without any one of them
// something does not.
import assert from 'node:assert/strict';
import { chmodSync, chownSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { maskIn, namesOf } from '../../src/cli/system/capability.ts';
import { needed } from '../../src/daemon/privileges.ts';
import { openSwitch, type TestSwitch } from './switch.ts';

const document = `
vlans: { web: { id: 10, address: [10.10.0.1/24] } }
ports: { swp1: { vlan: { access: web } } }
ssh: { listen: ["10.10.0.1:22"] }
functions: { hello: { source: hello.ts, port: { vlan: web }, address: [10.10.0.41/24] } }
`;
const hosts = { h1: { port: 'swp1', address: ['10.10.0.11/24'] } };
const files = { 'hello.ts': 'export default { fetch: () => new Response("hello") };' };

interface Case {
  /** Does something that takes the capability; gives what came of it. */
  readonly act: (sw: TestSwitch) => Promise<string>;
  readonly works: RegExp;
  readonly fails: RegExp;
  /** The daemon does not come up: it begins with what fails. */
  readonly noStart?: true;
}

const started = async (): Promise<string> => 'started';
let mtu = 1500;

const cases: Readonly<Record<(typeof needed)[number], Case>> = {
  // The document may be its editor's own. So may the folder of cgroups be read-only, as the kernel makes it.
  DAC_OVERRIDE: {
    act: async (sw) => (await sw.cli('show system')).text,
    works: /^(?![^]*EACCES)/,
    fails: /midplane\.yaml.*EACCES/,
  },
  // A function's process belongs to another user.
  KILL: {
    act: async (sw) => (await sw.cli('guest restart hello')).text,
    works: /^hello: running\n$/,
    fails: /kill EPERM/,
  },
  NET_ADMIN: {
    act: async (sw) => {
      mtu -= 100;
      const changed = document.replace('access: web }', `access: web }, mtu: ${mtu}`);
      return JSON.stringify((await sw.api('POST', '/v1/commit', { document: changed })).body);
    },
    works: /^{"ok":true/,
    fails: /"code":"not-permitted","what":"netdev\/swp1"/,
  },
  // Port 22, and 80 for the gateway.
  NET_BIND_SERVICE: {
    act: async (sw) => {
      const scan = await sw.on('h1', 'ssh-keyscan', '-T', '10', '10.10.0.1');
      return (await sw.cli('show system')).text + scan.stdout;
    },
    works: /^10\.10\.0\.1 ssh-ed25519 /m,
    fails: /listener\/ssh:10\.10\.0\.1:22 +not-permitted/,
  },
  // Namespaces, and eBPF.
  SYS_ADMIN: { act: started, works: /^started$/, fails: /EPERM/, noStart: true },
};

/** Capabilities of each thread or process by its status file, and what is preloaded into it. */
const effective = (status: string): readonly string[] => namesOf(maskIn(readFileSync(status, 'utf8'), 'CapEff'));

/** Name of a process, which may have ended. */
function commandOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/comm`, 'utf8').trim();
  } catch {
    return '';
  }
}

function childrenOf(pid: number): readonly number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((each) => {
      try {
        return readFileSync(`/proc/${each}/stat`, 'utf8').split(') ').at(-1)?.split(' ')[1] === String(pid);
      } catch {
        return false;
      }
    });
}

await test('capabilities', async (t) => {
  await using sw = await openSwitch({ document, hosts, files });

  await t.test('every thread has those that are needed, no other', async () => {
    const tasks = readdirSync(`/proc/${sw.pid()}/task`);
    assert.ok(tasks.length > 4);
    for (const task of tasks) {
      assert.deepEqual(effective(`/proc/${sw.pid()}/task/${task}/status`).toSorted(), [...needed].toSorted());
    }
    const { data } = await sw.cli('show system');
    const { capabilities, missing } = data as { capabilities: string[]; missing: string[] };
    assert.deepEqual([capabilities.toSorted(), missing], [[...needed].toSorted(), []]);
  });

  await t.test('a program that it runs has all of root, and nothing is preloaded into it', async () => {
    const asked = sw.cli('ping 10.10.0.11 count 3');
    let ping: number | undefined;
    while (ping === undefined) {
      ping = childrenOf(sw.pid()).find((pid) => commandOf(pid) === 'ping');
      await new Promise((done) => setTimeout(done, 20));
    }
    const bounding = namesOf(maskIn(readFileSync(`/proc/${sw.pid()}/status`, 'utf8'), 'CapBnd'));
    assert.ok(bounding.includes('SYS_PTRACE'));
    assert.deepEqual(namesOf(maskIn(readFileSync(`/proc/${ping}/status`, 'utf8'), 'CapBnd')), bounding);
    const environment = readFileSync(`/proc/${ping}/environ`, 'utf8');
    assert.doesNotMatch(environment, /LD_PRELOAD|MIDPLANE_CAPABILITIES/);
    assert.match((await asked).text, /3 received/);
  });

  for (const [capability, { act, works }] of Object.entries(cases)) {
    await t.test(`with all of them: ${capability}`, async () => assert.match(await act(sw), works));
  }
  const file = join(sw.folder, 'midplane.yaml');
  for (const [capability, { act, fails, noStart }] of Object.entries(cases)) {
    await t.test(`without ${capability}`, async () => {
      await sw.kill('SIGKILL');
      if (capability === 'DAC_OVERRIDE') {
        chownSync(file, 5000, 5000);
        chmodSync(file, 0o600);
      }
      const booted = sw.boot(['--without', capability]);
      if (noStart === true) await assert.rejects(booted, fails);
      else {
        await booted;
        assert.match(await act(sw), fails);
      }
    });
  }
  await sw.kill('SIGKILL');
  // A document of another user's, with all of them.
  writeFileSync(file, `${readFileSync(file, 'utf8')}\n`);
  await sw.boot();
});
