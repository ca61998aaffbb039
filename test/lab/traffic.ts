// What programs of a host see and measure, once they are ready.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { start } from '../../src/lab/process.ts';
import type { TestSwitch } from './switch.ts';

/** Bits a second of one TCP stream for a second. */
export async function throughput(sw: TestSwitch, from: string, to: string, address: string): Promise<number> {
  const server = sw.on(to, 'timeout', '25', 'iperf3', '-s', '-1', '-B', address);
  // Until the server listens nobody is let in.
  let client = { code: null as number | null, stdout: '', stderr: '' };
  for (let i = 0; i < 100 && client.code !== 0; i += 1) {
    await sleep(100);
    client = await sw.on(from, 'iperf3', '-c', address, '-t', '1', '-J');
  }
  await server;
  assert.equal(client.code, 0, client.stdout);
  const report = JSON.parse(client.stdout) as { end: { sum_received: { bits_per_second: number } } };
  return report.end.sum_received.bits_per_second;
}

/** A tcpdump that listens; `stop` gives what it has printed. */
export async function openTap(
  netns: string,
  device: string,
  ...args: readonly string[]
): Promise<{ stop(): Promise<string> }> {
  const command = ['tcpdump', '-n', '-l', '--immediate-mode', '-i', device, ...args];
  const child = start(netns, command, { stdio: ['ignore', 'pipe', 'pipe'] });
  let text = '';
  let said = '';
  const closed = once(child, 'close');
  child.stdout?.on('data', (data: Buffer) => (text += data.toString()));
  await new Promise<void>((done) => {
    child.stderr?.on('data', (data: Buffer) => {
      said += data.toString();
      if (said.includes('listening on')) done();
    });
    child.once('close', () => done());
  });
  assert.match(said, /listening on/);
  return {
    async stop() {
      // What is under way is still heard.
      await sleep(500);
      child.kill('SIGINT');
      await closed;
      return text;
    },
  };
}
