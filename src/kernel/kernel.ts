// What the engine and the slices may ask of Linux. `open.ts` gives the real one, `test/fake/kernel.ts` one in memory;
// the same contract tests run on both. All calls are synchronous: each is a few microseconds to a few milliseconds.
import type { Netlink } from './netlink.ts';
import type { Datapath } from './datapath.ts';
import type { Bpf } from './bpf.ts';

/** Names are paths under net., with dots or slashes as sysctl(8) takes them: "net.ipv4.ip_forward". */
export interface Sysctl {
  /** The value without its newline; undefined where the key does not exist. */
  read(key: string, netns?: string): string | undefined;
  write(key: string, value: string, netns?: string): void;
}

/** Network namespaces that have a name, as `ip netns` keeps them under /run/netns. */
export interface Netns {
  /** Names behind which there is a namespace; a file that was left of one is none. */
  list(): readonly string[];
  /** Makes it, with `lo` up. KernelError EEXIST where the name is taken. */
  add(name: string): void;
  /** Takes the name away; the namespace goes when its last process and device are gone. */
  remove(name: string): void;
  /** Keeps it, also when somebody else takes its name away. KernelError ENOENT where there is none. */
  hold(name: string): NetnsHold;
}

/** A namespace that stays for as long as it is held. */
export interface NetnsHold extends Disposable {
  /** Gives it its name again. KernelError EEXIST where another one has it. */
  nameAgain(): void;
}

/** Errors are KernelError (kernel/errno.ts) with the errno's name; drivers turn them into Faults. `netns` is a name;
 * none means the namespace that the daemon was started in. */
export interface Kernel {
  netlink(netns?: string): Netlink;
  readonly sysctl: Sysctl;
  readonly netns: Netns;
  readonly bpf: Bpf;
  /** The forwarding core; absent where it is not loaded (a test of the engine alone). */
  readonly datapath?: Datapath;
}
