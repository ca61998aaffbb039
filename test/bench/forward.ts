// Host to host in one VLAN, against a Linux bridge of the same veths and against a program that does nothing but
// bpf_redirect_peer. Sender and receiver have a core each.
import type { ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { hostsSchema, type Lab, openLab } from '../../src/lab/hosts.ts';
import { run, start } from '../../src/lab/process.ts';
import { u32 } from '../../src/lib/bytes.ts';
import { kernel, objects } from '../lab/rig.ts';
import { openDaemon } from './daemon.ts';
import { makeBridge } from './foil.ts';
import { type Bench, compared, type Group, interleave, type Row } from './row.ts';

const document = `
ports:
  swp1: { vlan: { access: 10 } }
  swp2: { vlan: { access: 10 } }
`;
const hosts = {
  h1: { port: 'swp1', address: ['10.0.10.1/24'] },
  h2: { port: 'swp2', address: ['10.0.10.2/24'] },
};
const receiver = '10.0.10.2';
const senderCore = '0';
const receiverCore = '1';
const roundSeconds = 2;

export const forward: Group = { name: 'forward', what: 'host to host in one VLAN, iperf3', run: runForward };

async function runForward(bench: Bench): Promise<readonly Row[]> {
  await using stack = new AsyncDisposableStack();
  const ours = plug(`${bench.prefix}-sw`, stack);
  const bridge = plug(`${bench.prefix}-br`, stack);
  const peer = plug(`${bench.prefix}-rp`, stack);
  stack.use(await openDaemon({ instance: `${bench.prefix}-sw`, netns: ours.switchNetns, document }));
  await makeBridge(bridge.switchNetns, ['swp1', 'swp2']);
  attachPeer(peer.switchNetns, stack);
  for (const lab of [ours, bridge, peer]) {
    stack.use(await serve(lab.netnsOf('h2')));
    await reach(lab.netnsOf('h1'));
  }
  const sides = (measure: (netns: string) => Promise<number>) => ({
    ours: () => measure(ours.netnsOf('h1')),
    bridge: () => measure(bridge.netnsOf('h1')),
    redirect_peer: () => measure(peer.netnsOf('h1')),
  });
  const tcp = await interleave(bench, 'TCP, Gbit/s', sides(tcpGbits));
  const udp = await interleave(bench, 'UDP 64 bytes, kpps', sides(udpKpps));
  const [tcpName, udpName] = ['TCP, one stream', 'UDP, 64 bytes of payload'];
  return [
    compared(`${tcpName}, against a Linux bridge`, 'Gbit/s', tcp.ours, tcp.bridge),
    compared(`${tcpName}, against a bare redirect_peer`, 'Gbit/s', tcp.ours, tcp.redirect_peer),
    compared(`${udpName}, against a Linux bridge`, 'kpps', udp.ours, udp.bridge),
    compared(`${udpName}, against a bare redirect_peer`, 'kpps', udp.ours, udp.redirect_peer),
  ];
}

function plug(prefix: string, stack: AsyncDisposableStack): Lab {
  return stack.use(openLab({ kernel, prefix, hosts: hostsSchema.parse(hosts), objects }));
}

function attachPeer(netns: string, stack: AsyncDisposableStack): void {
  const object = stack.use(kernel.bpf.load({ file: join(objects, 'bench.bpf.o') }));
  const program = object.programs.get('bare_peer');
  const way = object.maps.get('way');
  if (program === undefined || way === undefined) throw new Error('bench.bpf.o is not what it was built from');
  const nl = kernel.netlink(netns);
  try {
    nl.apply(['swp1', 'swp2'].map((name) => ({ op: 'link-set', name, up: true })));
    const [one, two] = ['swp1', 'swp2'].map((name) => nl.link(name)?.index ?? 0) as [number, number];
    way.update(u32(one), u32(two));
    way.update(u32(two), u32(one));
    for (const index of [one, two]) stack.use(kernel.bpf.attach(program, index, 'tcx-ingress', netns));
  } finally {
    nl.close();
  }
}

async function serve(netns: string): Promise<AsyncDisposable> {
  const command = ['taskset', '-c', receiverCore, 'iperf3', '-s', '-B', receiver];
  const child: ChildProcess = start(netns, command, { stdio: 'ignore' });
  await sleep(300);
  return {
    async [Symbol.asyncDispose]() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const gone = once(child, 'exit');
      child.kill('SIGKILL');
      await gone;
    },
  };
}

/** Links come up, and addresses are learned, a little after all is made. */
async function reach(netns: string): Promise<void> {
  for (let i = 0; i < 50; i += 1) {
    const { code } = await run(netns, ['ping', '-n', '-q', '-c', '1', '-W', '1', receiver]);
    if (code === 0) return;
    await sleep(100);
  }
  throw new Error(`${netns}: ${receiver} does not answer`);
}

interface Report {
  readonly error?: string;
  readonly end: {
    readonly sum_received: { readonly bits_per_second: number };
    readonly sum: { readonly packets: number; readonly lost_packets: number; readonly seconds: number };
  };
}

async function iperf(netns: string, ...args: readonly string[]): Promise<Report['end']> {
  const command = ['taskset', '-c', senderCore, 'iperf3', '-c', receiver, '-t', String(roundSeconds), '-J', ...args];
  const { stdout, stderr } = await run(netns, command, { timeoutMs: (roundSeconds + 10) * 1000 });
  const report = JSON.parse(stdout || '{}') as Partial<Report>;
  if (report.end === undefined || report.error !== undefined) throw new Error(`iperf3: ${report.error ?? stderr}`);
  return report.end;
}

async function tcpGbits(netns: string): Promise<number> {
  return (await iperf(netns)).sum_received.bits_per_second / 1e9;
}

/** Thousand packets a second that arrived. */
async function udpKpps(netns: string): Promise<number> {
  const { sum } = await iperf(netns, '-u', '-b', '0', '-l', '64');
  return (sum.packets - sum.lost_packets) / sum.seconds / 1000;
}
