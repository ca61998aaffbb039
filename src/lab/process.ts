// Commands inside a namespace. nsenter, not `ip netns exec`, which remounts /sys and hides the pins.
import { spawn, type ChildProcess, type SpawnOptions } from 'node:child_process';

export interface Ran {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Starts a command in the namespace of that name. */
export function start(netns: string, command: readonly string[], options: SpawnOptions = {}): ChildProcess {
  return spawn('nsenter', [`--net=/run/netns/${netns}`, '--', ...command], options);
}

/** Runs a command to its end, at most `timeoutMs`. */
export function run(
  netns: string,
  command: readonly string[],
  o: { timeoutMs?: number; input?: string } = {},
): Promise<Ran> {
  const child = start(netns, command, { timeout: o.timeoutMs ?? 30_000, killSignal: 'SIGKILL' });
  let stdout = '';
  let stderr = '';
  child.stdout?.on('data', (data: Buffer) => (stdout += data.toString()));
  child.stderr?.on('data', (data: Buffer) => (stderr += data.toString()));
  // A command that does not read its input may be gone already.
  child.stdin?.on('error', () => undefined).end(o.input ?? '');
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => resolve({ code, stdout, stderr }));
  });
}
