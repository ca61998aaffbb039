// What others see while a storm blows: pings that come back, and how long the CLI takes to answer.
import { once } from 'node:events';
import { connect } from 'node:net';
import ssh2 from 'ssh2';
import { start } from '../../../src/lab/process.ts';
import { root, type TestSwitch } from '../rig.ts';

export interface StormInput {
  readonly frame: Uint8Array;
  readonly count: number;
  /** Words of the frame that are random: offset and mask. */
  readonly random: readonly (readonly [at: number, mask: number])[];
  /** The random word's halves cancel in a checksum. */
  readonly folded?: boolean;
}

export interface Seen {
  /** Frames a second that the storm came to. */
  readonly rate: number;
  /** Of the pings of each flow the share that came back. */
  readonly back: Readonly<Record<string, number>>;
  /** Milliseconds of each CLI answer. */
  readonly apiMs: readonly number[];
  readonly sshMs: readonly number[];
}

export type Flow = readonly [from: string, to: string];

const window = ['-i', '0.005', '-W', '0.3'];

/** Blows from the host until all frames are sent; meanwhile the flows ping and the CLI is asked. */
export async function blow(
  sw: TestSwitch,
  host: string,
  storm: StormInput,
  flows: Readonly<Record<string, Flow>>,
  ssh: (line: string) => Promise<string>,
): Promise<Seen> {
  const words = storm.random.map(([at, mask]) => `${at}:${mask}`);
  const args = [Buffer.from(storm.frame).toString('hex'), String(storm.count), storm.folded === true ? '1' : '0'];
  const command = [process.execPath, `${root}/test/lab/storm/storm.ts`, ...args, ...words];
  const child = start(sw.lab.netnsOf(host), command, { stdio: ['ignore', 'pipe', 'inherit'] });
  let rate = '';
  child.stdout?.on('data', (data: Buffer) => (rate += data.toString()));
  let going = true;
  const gone = once(child, 'close').then(() => (going = false));
  const blowing = (): boolean => going;
  const pinged = Object.entries(flows).map(async ([name, [from, to]]): Promise<[string, number]> => {
    let [sent, came] = [0, 0];
    do {
      came += await sw.ping(from, to, { count: 100, args: window });
      sent += 100;
    } while (blowing());
    return [name, came / sent];
  });
  const asked = [(line: string) => sw.cli(line), ssh].map(async (ask) => {
    const took: number[] = [];
    while (blowing()) {
      const begun = performance.now();
      await ask('show ports');
      took.push(performance.now() - begun);
      await new Promise((done) => setTimeout(done, 50));
    }
    return took;
  });
  const back = Object.fromEntries(await Promise.all(pinged));
  const [apiMs = [], sshMs = []] = await Promise.all(asked);
  await gone;
  return { rate: Number(rate), back, apiMs, sshMs };
}

export interface SshDoor extends Disposable {
  run(line: string): Promise<string>;
}

/** An SSH connection that stays open; each line is a command of its own on it. */
export async function openSsh(sw: TestSwitch, privateKey: string): Promise<SshDoor> {
  const client = new ssh2.Client();
  const ready = once(client, 'ready');
  client.connect({ sock: connect(`/run/midplane/${sw.instance}/ssh.sock`), username: 'admin', privateKey });
  await ready;
  return {
    run: (line) =>
      new Promise((resolve, reject) => {
        client.exec(line, (error, channel) => {
          if (error !== undefined) return reject(error);
          let text = '';
          channel.on('data', (data: Buffer) => (text += data.toString()));
          channel.on('close', () => resolve(text));
        });
      }),
    [Symbol.dispose]: () => void client.end(),
  };
}
