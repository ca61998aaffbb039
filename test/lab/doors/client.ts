// OpenSSH's client in a host's namespace, against a switch.
import { spawn, type ChildProcess } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { run, start, type Ran } from '../../../src/lab/process.ts';
import type { TestSwitch } from '../switch.ts';

export interface Login {
  readonly host: string;
  readonly user: string;
  /** Name of a key file in the switch's folder; absent: by the password. */
  readonly key?: string;
  readonly password?: string;
  /** Address that it comes from. */
  readonly bind?: string;
  readonly options?: readonly string[];
}

const address = '10.10.0.1';

/** The command line, without what is to be run there. */
function commandOf(sw: TestSwitch, login: Login): string[] {
  const { key, password, bind, options = [] } = login;
  const fixed = ['StrictHostKeyChecking=no', 'LogLevel=ERROR', 'IdentitiesOnly=yes', 'IdentityAgent=none'];
  const own =
    key === undefined
      ? ['PubkeyAuthentication=no', 'NumberOfPasswordPrompts=1']
      : ['BatchMode=yes', `IdentityFile=${join(sw.folder, key)}`];
  const known = `UserKnownHostsFile=${join(sw.folder, 'known_hosts')}`;
  const more = bind === undefined ? [] : ['-b', bind];
  const askpass = join(sw.folder, 'askpass');
  if (password !== undefined) writeFileSync(askpass, `#!/bin/sh\necho '${password}'\n`, { mode: 0o700 });
  return [
    'env',
    `SSH_ASKPASS=${askpass}`,
    'SSH_ASKPASS_REQUIRE=force',
    'ssh',
    '-F',
    'none',
    ...more,
    ...[...fixed, ...own, known, ...options].flatMap((option) => ['-o', option]),
    `${login.user}@${address}`,
  ];
}

/** Runs commands there, or something else that the arguments ask for. */
export function ssh(sw: TestSwitch, login: Login, args: readonly string[], input = ''): Promise<Ran> {
  return run(sw.lab.netnsOf(login.host), [...commandOf(sw, login), ...args], { input, timeoutMs: 60_000 });
}

/** A session that is asked something again and again, as an operator at a terminal would. */
export interface Watch {
  /** Answers so far. */
  count(): number;
  /** The longest that an answer took, in milliseconds. */
  slowest(): number;
  end(): Promise<void>;
}

/** Logs in and asks every 100 ms; resolves after the first answer. Throws from `end` if the session broke. */
export async function watch(sw: TestSwitch, login: Login): Promise<Watch> {
  const child: ChildProcess = start(sw.lab.netnsOf(login.host), [...commandOf(sw, login), '-T'], { stdio: 'pipe' });
  const closed = new Promise<number>((done) => child.once('close', (code) => done(code ?? -1)));
  let count = 0;
  let slowest = 0;
  let stop = false;
  let heard = '';
  let errors = '';
  let answered = (): void => undefined;
  child.stderr?.on('data', (data: Buffer) => (errors += data.toString()));
  child.stdout?.on('data', (data: Buffer) => {
    heard += data.toString();
    if (!heard.includes('architecture')) return;
    heard = '';
    answered();
  });
  const ask = async (): Promise<void> => {
    const begun = performance.now();
    const answer = new Promise<'answer'>((done) => (answered = () => done('answer')));
    child.stdin?.write('show version | json\n');
    if ((await Promise.race([answer, closed])) !== 'answer') throw new Error(`the session broke: ${errors}`);
    count += 1;
    slowest = Math.max(slowest, performance.now() - begun);
  };
  await ask();
  const loop = (async () => {
    while (!stop) {
      await ask();
      await new Promise((done) => setTimeout(done, 100));
    }
  })();
  // Seen by end().
  loop.catch(() => undefined);
  return {
    count: () => count,
    slowest: () => slowest,
    async end() {
      stop = true;
      try {
        await loop;
      } finally {
        child.stdin?.end();
        await closed;
      }
    },
  };
}

/** Makes a key pair of that name in the switch's folder. */
export async function makeKey(folder: string, name: string): Promise<void> {
  const child = spawn('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', name, '-f', join(folder, name)]);
  await new Promise((done) => child.once('close', done));
}
