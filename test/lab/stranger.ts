// The lab as a stranger starts it: `midplane lab`, and what it says.
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { root } from './rig.ts';

export interface Started {
  readonly child: ChildProcess;
  readonly text: () => string;
  readonly password: string;
  readonly token: string;
  readonly port: { readonly ssh: string; readonly http: string; readonly api: string };
}

/** What `look` finds, as soon as it finds something; what it throws counts as nothing. */
export async function until<T>(what: string, look: () => Promise<T | undefined>, seconds = 60): Promise<T> {
  const end = performance.now() + seconds * 1000;
  for (;;) {
    const found = await look().catch(() => undefined);
    if (found !== undefined) return found;
    if (performance.now() > end) throw new Error(`${what}: not within ${seconds} s`);
    await new Promise((done) => setTimeout(done, 200));
  }
}

/** Starts it and waits until it says what to try. */
export async function startLab(): Promise<Started> {
  const child = spawn(process.execPath, [join(root, 'src/main.ts'), 'lab'], { stdio: ['ignore', 'pipe', 'pipe'] });
  let text = '';
  child.stdout.on('data', (data: Buffer) => (text += data.toString()));
  child.stderr.on('data', (data: Buffer) => (text += data.toString()));
  await until(
    'the lab says what to try',
    async () => {
      assert.equal(child.exitCode, null, text);
      return text.includes('Ctrl-C') ? true : undefined;
    },
    120,
  );
  const found = (pattern: RegExp): string => pattern.exec(text)?.[1] ?? assert.fail(`${pattern} in\n${text}`);
  return {
    child,
    text: () => text,
    password: found(/password: (\S+)/),
    token: found(/Bearer (\S+)'/),
    port: {
      ssh: found(/ssh -p (\d+)/),
      http: found(/curl http:\/\/127\.0\.0\.1:(\d+)\/ /),
      api: found(/curl http:\/\/127\.0\.0\.1:(\d+)\/metrics/),
    },
  };
}
