// What somebody else takes away comes back by itself, and the log says so: programs, devices, addresses, routes,
// namespaces, rows. What cannot come back is told, until it returns.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { decodeFdb, fdbFlags } from '../../src/kernel/abi.ts';
import { mapVersions } from '../../src/kernel/datapath.ts';
import { kernel, openSwitch, type TestSwitch } from './switch.ts';

const document = `
ports:
  swp1: { vlan: { access: 10 } }
  swp2: { vlan: { access: 10 } }
  swp3: { vlan: { access: 20 } }
  xe1: { vlan: { access: 10 }, datapath: xdp }
  xe2: { vlan: { access: 10 }, datapath: xdp }
vlans:
  10: { address: [10.0.10.254/24, "fd00:10::fe/64"] }
  20: { address: [10.0.20.254/24] }
routes:
  203.0.113.0/24: { via: [10.0.20.3] }
containers:
  web1:
    image: localhost/midplane/web:1
    port: { vlan: 10 }
    address: [10.0.10.50/24]
    memory: 64M
`;
const gateway = ['10.0.10.254'];
const hosts = {
  h1: { port: 'swp1', address: ['10.0.10.1/24', 'fd00:10::1/64'], gateway },
  h2: { port: 'swp2', address: ['10.0.10.2/24'], gateway },
  h3: { port: 'swp3', address: ['10.0.20.3/24', '203.0.113.3/32'], gateway: ['10.0.20.254'] },
  x1: { port: 'xe1', nic: true, address: ['10.0.10.11/24'], gateway },
  x2: { port: 'xe2', nic: true, address: ['10.0.10.12/24'], gateway },
};

interface Drift {
  readonly name: string;
  /** Whose repair the log tells. */
  readonly ref: string;
  /** Takes it away. */
  readonly strike: (sw: TestSwitch) => unknown;
  /** Works where it has been repaired, and does not where it is away. */
  readonly works: (sw: TestSwitch) => Promise<boolean>;
}

const pinOf = (sw: TestSwitch, port: string, hook: string): string =>
  `/sys/fs/bpf/midplane/${sw.instance}/links/${sw.portIds()[port]}@${hook}`;

const inSwitch = async (sw: TestSwitch, ...command: readonly string[]): Promise<void> => {
  const { code, stderr } = await sw.on('switch', ...command);
  assert.equal(code, 0, stderr);
};

const reaches = (host: string, to: string) => async (sw: TestSwitch) => (await sw.ping(host, to, { count: 1 })) === 1;

/** Whether the program is on the hook of the port's device. */
const hooked = (port: string, hook: 'xdp' | 'tcx-ingress') => async (sw: TestSwitch) => {
  const nl = kernel.netlink(sw.lab.switchNetns);
  try {
    return kernel.bpf.query(nl.link(port)?.index ?? 0, hook, sw.lab.switchNetns).length === 1;
  } finally {
    nl.close();
  }
};

const guestNetns = (sw: TestSwitch): string => `mp-${sw.instance}-web1`;
const serves = async (sw: TestSwitch): Promise<boolean> =>
  (await sw.on('h1', 'curl', '-s', '-m', '1', 'http://10.0.10.50/')).stdout.startsWith('host web1');
const named = async (sw: TestSwitch): Promise<boolean> =>
  kernel.netns.list().includes(guestNetns(sw)) &&
  (await sw.on('switch', 'nsenter', `--net=/run/netns/${guestNetns(sw)}`, 'ip', 'link', 'show', 'eth0')).code === 0 &&
  (await serves(sw));

const drifts: readonly Drift[] = [
  ...(['tcx-ingress', 'xdp'] as const).flatMap((hook): Drift[] => [
    {
      name: `${hook}: the link's pin is gone`,
      ref: `link/xe1@${hook}`,
      strike: (sw) => kernel.bpf.unpin(pinOf(sw, 'xe1', hook)),
      works: hooked('xe1', hook),
    },
    {
      name: `${hook}: the link is detached`,
      ref: `link/xe1@${hook}`,
      strike: (sw) => execFileSync('bpftool', ['link', 'detach', 'pinned', pinOf(sw, 'xe1', hook)]),
      works: hooked('xe1', hook),
    },
  ]),
  {
    name: "a guest's veth",
    ref: 'netdev/web1',
    strike: (sw) => inSwitch(sw, 'ip', 'link', 'del', 'web1'),
    works: serves,
  },
  {
    name: "an SVI's veth",
    ref: 'netdev/vlan20',
    strike: (sw) => inSwitch(sw, 'ip', 'link', 'del', 'vlan20'),
    works: reaches('h1', '203.0.113.3'),
  },
  {
    name: "an SVI's address",
    ref: 'address/vlan10/10.0.10.254/24',
    strike: (sw) => inSwitch(sw, 'ip', 'addr', 'del', '10.0.10.254/24', 'dev', 'vlan10'),
    works: reaches('h1', '10.0.10.254'),
  },
  {
    name: "an SVI's IPv6 address",
    ref: 'address/vlan10/fd00:10::fe/64',
    strike: (sw) => inSwitch(sw, 'ip', 'addr', 'del', 'fd00:10::fe/64', 'dev', 'vlan10'),
    works: reaches('h1', 'fd00:10::fe'),
  },
  {
    name: "an SVI's only address, by which a static route goes",
    ref: 'route/main/203.0.113.0/24@0',
    strike: (sw) => inSwitch(sw, 'ip', 'addr', 'del', '10.0.20.254/24', 'dev', 'vlan20'),
    works: reaches('h1', '203.0.113.3'),
  },
  {
    name: 'a static route',
    ref: 'route/main/203.0.113.0/24@0',
    strike: (sw) => inSwitch(sw, 'ip', 'route', 'del', '203.0.113.0/24'),
    works: reaches('h1', '203.0.113.3'),
  },
  {
    name: "a guest's namespace, by ip netns",
    ref: 'netns/web1',
    strike: (sw) => execFileSync('ip', ['netns', 'del', guestNetns(sw)]),
    works: named,
  },
  {
    name: "a guest's namespace, unmounted",
    ref: 'netns/web1',
    strike: (sw) => execFileSync('umount', [`/run/netns/${guestNetns(sw)}`]),
    works: named,
  },
];

const limitMs = 2000;
const long = process.env['MIDPLANE_TEST_LONG'] === '1';

/** Ms from the strike to the line in the log and the effect. */
async function repairMs(sw: TestSwitch, drift: Drift): Promise<number> {
  const begun = performance.now();
  const seen = sw.log.length;
  const ref = drift.ref.replace('netns/web1', `netns/${guestNetns(sw)}`);
  await drift.strike(sw);
  const told = (): boolean => sw.log.slice(seen).some((line) => line['msg'] === 'repaired' && line['ref'] === ref);
  for (;;) {
    if (told() && (await drift.works(sw))) return performance.now() - begun;
    const ms = performance.now() - begun;
    const log = (): string =>
      sw.log
        .slice(seen)
        .map((line) => JSON.stringify(line))
        .join('\n');
    assert.ok(ms < 30_000, `${told() ? 'told, but not working' : 'not told'} after 30 s:\n${log()}`);
    await sleep(20);
  }
}

async function until(what: string, ask: () => Promise<boolean> | boolean, seconds = 20): Promise<void> {
  for (const end = performance.now() + seconds * 1000; !(await ask()); await sleep(50)) {
    assert.ok(performance.now() < end, `not in ${seconds} s: ${what}`);
  }
}

/** Pid of the guest's first process, once it is seen to run. */
async function pidOfGuest(sw: TestSwitch): Promise<number> {
  let pid = 0;
  await until('the guest is seen to run', async () => {
    const { body } = await sw.api<{ pid: number; state: string }[]>('GET', '/v1/show/guests');
    pid = body[0]?.state === 'running' ? body[0].pid : 0;
    return pid > 0;
  });
  return pid;
}

const portOf = async (sw: TestSwitch, name: string): Promise<string> => {
  const { body } = await sw.api<{ name: string; state: string; why: string }[]>('GET', '/v1/show/ports');
  const port = body.find((each) => each.name === name);
  return `${port?.state}: ${port?.why}`;
};

/** All tables that hold what the switch was told, and what the log calls a row of them. An address that the switch
 * has is both: in `fdb` among those that were learned. */
const tables: Readonly<Record<string, RegExp>> = {
  bd: /^row\/bd\//,
  dev: /^row\/dev\//,
  dev_near: /^row\/dev\//,
  fdb: /^row\/fdb\//,
  flood: /^row\/flood\//,
  local: /^row\/local\//,
  port: /^row\/port\//,
  port_state: /^row\/port_state\//,
  port_vlan: /^row\/port_vlan\//,
  xdp_port: /^row\/xdp_port\//,
};
const learned = ['counters', 'fdb_count', 'fdb_epoch'];
/** Rows of these are taken out, of the others made empty. */
const hashes = new Set(['dev', 'fdb', 'local', 'xdp_port']);

interface Row {
  readonly key: readonly string[];
  readonly value: readonly string[];
}

const pinOfTable = (sw: TestSwitch, table: string): string =>
  `/sys/fs/bpf/midplane/${sw.instance}/maps/${table}@v${(mapVersions as Record<string, number>)[table]}`;

/** The rows that are not empty, as bpftool has them; of `fdb` the static ones. */
function rowsOf(sw: TestSwitch, table: string): readonly Row[] {
  const args = ['-j', 'map', 'dump', 'pinned', pinOfTable(sw, table)];
  const rows = JSON.parse(execFileSync('bpftool', args, { encoding: 'utf8', maxBuffer: 2 ** 28 })) as Row[];
  const used = rows.filter(({ value }) => Array.isArray(value) && value.some((byte) => Number(byte) !== 0));
  if (table !== 'fdb') return used;
  return used.filter(({ value }) => (decodeFdb(Uint8Array.from(value.map(Number))).flags & fdbFlags.static) !== 0);
}

const idIn = (key: readonly string[]): number => Buffer.from(key.map(Number)).readUInt32LE();

function strike(sw: TestSwitch, table: string, { key, value }: Row): void {
  const row = ['pinned', pinOfTable(sw, table), 'key', ...key];
  const nothing = ['value', ...value.map(() => '0')];
  execFileSync('bpftool', hashes.has(table) ? ['map', 'delete', ...row] : ['map', 'update', ...row, ...nothing]);
}

const repairedIn = (sw: TestSwitch, from: number): readonly string[] =>
  sw.log.slice(from).flatMap((line) => (line['msg'] === 'repaired' ? [String(line['ref'])] : []));

await test('drift is repaired, and told', async (t) => {
  await using sw = await openSwitch({ document, hosts, tampered: true });
  await until('the guest serves', () => serves(sw), 60);
  const pid = await pidOfGuest(sw);
  for (const drift of drifts) {
    await t.test(drift.name, async (t) => {
      await until('it works before it is struck', () => drift.works(sw));
      let ms = await repairMs(sw, drift);
      // A busy machine may be late; the switch may not.
      for (let more = 2; more > 0 && ms >= limitMs; more -= 1) ms = Math.min(ms, await repairMs(sw, drift));
      t.diagnostic(`${drift.name}: ${Math.round(ms)} ms`);
      assert.ok(ms < limitMs, `${Math.round(ms)} ms`);
    });
  }
  await t.test('the guest has lived through all of it', async () => {
    assert.equal(await pidOfGuest(sw), pid);
  });
  await t.test("a guest's namespace that went while no daemon saw it: the guest moves into another", async () => {
    await sw.kill('SIGKILL');
    execFileSync('ip', ['netns', 'del', guestNetns(sw)]);
    await sw.boot();
    await until('it serves, and its namespace has its name', () => named(sw), 60);
    await until('its process is another', async () => (await pidOfGuest(sw)) !== pid, 30);
  });
  await t.test('a NIC that is removed: its port says so, and is back when the NIC is', async (t) => {
    await until('it works', () => reaches('h1', '10.0.10.2')(sw));
    const mac = /ether (\S+)/.exec((await sw.on('h2', 'ip', 'link', 'show', 'eth0')).stdout)?.[1] ?? '';
    await inSwitch(sw, 'ip', 'link', 'del', 'swp2');
    await until('the port says so', async () => (await portOf(sw, 'swp2')) === 'down: no device');
    const logged = (word: string) => (): boolean =>
      sw.log.some((line) => line['msg'] === word && line['ref'] === 'netdev/swp2');
    // The engine looks a moment after the port's own watch.
    await until('the log says so', logged('failed'), 2);
    assert.match((await sw.cli('show ports')).text, /^swp2 +down: no device/m);
    assert.ok(await reaches('h1', '10.0.20.3')(sw), 'the others go on');
    const far = ['peer', 'name', 'eth0', 'address', mac, 'netns', sw.lab.netnsOf('h2')];
    await inSwitch(sw, 'ip', 'link', 'add', 'swp2', 'type', 'veth', ...far);
    const begun = performance.now();
    for (const command of ['ip addr add 10.0.10.2/24 dev eth0', 'ip link set eth0 up']) {
      assert.equal((await sw.on('h2', ...command.split(' '))).code, 0);
    }
    await until('it forwards again', () => reaches('h1', '10.0.10.2')(sw));
    t.diagnostic(`back after ${Math.round(performance.now() - begun)} ms`);
    assert.equal(await portOf(sw, 'swp2'), 'up: ');
    await until('the log says that too', logged('recovered'), 2);
  });
  await t.test('the state of a port, which no event tells of', async (t) => {
    await until('it works', () => reaches('h1', '10.0.20.3')(sw));
    const seen = sw.log.length;
    const begun = performance.now();
    const [row] = rowsOf(sw, 'port_state').filter(({ key }) => idIn(key) === sw.portIds()['swp3']);
    strike(sw, 'port_state', row ?? assert.fail('it has one'));
    assert.equal(await reaches('h1', '10.0.20.3')(sw), false);
    await until('it is told', () => repairedIn(sw, seen).includes('row/port_state/swp3'), 60);
    t.diagnostic(`repaired after ${Math.round((performance.now() - begun) / 1000)} s`);
    await until('it works again', () => reaches('h1', '10.0.20.3')(sw));
  });
  const skip = long ? false : 'the audit comes every 30 s: npm run test:long waits for it';
  await t.test('a row of each table, by the audit', { skip }, async (t) => {
    await until('it works', () => reaches('h1', '10.0.20.3')(sw));
    const seen = sw.log.length;
    const pinned = readdirSync(`/sys/fs/bpf/midplane/${sw.instance}/maps`).map((name) => name.split('@')[0] ?? '');
    assert.deepEqual(pinned.toSorted(), [...Object.keys(tables), ...learned].toSorted());
    const nl = kernel.netlink(sw.lab.switchNetns);
    const device = nl.link('swp3')?.index;
    nl.close();
    const struck = Object.keys(tables).map((table) => {
      // Those of devices that are gone wait for the audit themselves.
      const row = rowsOf(sw, table).find(({ key }) => !table.startsWith('dev') || idIn(key) === device);
      return [table, row ?? assert.fail(`${table} is empty`)] as const;
    });
    const begun = performance.now();
    for (const [table, row] of struck) strike(sw, table, row);
    for (const [table, row] of struck) {
      await until(`${table} is as it was`, () => rowsOf(sw, table).some((each) => isDeepStrictEqual(each, row)), 60);
    }
    assert.ok(performance.now() - begun < 60_000, 'all within a minute');
    const told = repairedIn(sw, seen);
    for (const [table, ref] of Object.entries(tables)) {
      assert.ok(
        told.some((each) => ref.test(each)),
        `${table}: ${told.join(' ')}`,
      );
    }
    t.diagnostic(`repaired within ${Math.round((performance.now() - begun) / 1000)} s`);
    await until('it works again', () => reaches('h1', '10.0.20.3')(sw));
  });
});
