// What tests of a whole switch have in common, apart from switch.ts, which makes one.
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { HostsInput, Lab } from '../../src/lab/hosts.ts';
import { openKernel } from '../../src/kernel/open.ts';
import type { Ran } from '../../src/lab/process.ts';

export const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
export const objects = join(root, 'native', 'build');
export const kernel = openKernel();

export interface SwitchInput {
  readonly document: string;
  readonly hosts: HostsInput;
  readonly manifests?: Readonly<Record<string, string>>;
  readonly args?: readonly string[];
  /** Bytes: the state folder is a disk of its own of that size. */
  readonly disk?: number;
  /** The test takes programs off ports: what reaches the stack past them adds up with nothing, and is not compared. */
  readonly tampered?: boolean;
  /** Files beside the document, by name. */
  readonly files?: Readonly<Record<string, string>>;
}

export interface CliAnswer {
  readonly text: string;
  readonly exitCode: number;
  readonly data?: unknown;
}

export interface TestSwitch extends AsyncDisposable {
  readonly instance: string;
  readonly state: string;
  readonly folder: string;
  readonly lab: Lab;
  readonly hosts: readonly string[];
  /** Lines that the daemon logged so far. */
  readonly log: readonly Record<string, unknown>[];
  /** Device that a host is plugged into, which is its port's name too. */
  portOf(host: string): string;
  pid(): number;
  /** Runs a command in a host's namespace ("switch": the switch's own). */
  on(host: string, ...command: readonly string[]): Promise<Ran>;
  /** Pings once a sequence; how many of `count` came back. */
  ping(host: string, to: string, o?: { count?: number; size?: number; args?: readonly string[] }): Promise<number>;
  /** Starts the daemon, of another checkout where one is named, and waits until it says ready. */
  boot(args?: readonly string[], checkout?: string): Promise<void>;
  /** Starts another daemon with --takeover and waits until it says ready. `gone` gives the old one's exit code. */
  takeover(args?: readonly string[]): Promise<{ readonly gone: Promise<number | null> }>;
  /** Ends the daemon by a signal; waits until it is gone. */
  kill(signal: 'SIGKILL' | 'SIGTERM'): Promise<void>;
  /** Kills the daemon, and lets those be whose place it took. */
  crash(): Promise<void>;
  /** Resolves when the daemon has ended, whatever ended it. */
  ended(): Promise<void>;
  /** A request to the API over its unix socket; the answer's JSON. */
  api<T = unknown>(method: string, path: string, body?: unknown): Promise<{ status: number; body: T }>;
  /** A CLI line as admin over the unix socket. */
  cli(line: string): Promise<CliAnswer>;
  /** ARP frames that came in to an SVI so far; undefined where a flood of them was too much for the capture. */
  arpSeen(): Promise<number | undefined>;
  /** Ids of ports, by name. */
  portIds(): Readonly<Record<string, number>>;
}
