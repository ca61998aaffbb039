// Whether the kernel ended a container for its memory. Version 2 of cgroups counts that in the guest's own group, which
// stays; version 1 only in the container's, which is gone with it, and leaves the kernel's log. (podman 4.3 says
// OOMKilled: false with both.)
import { execFile } from 'node:child_process';
import { cgroupName, isUnified, openCgroup } from '../cgroup.ts';

export interface OomWatch {
  /** To be called before each start of a container. */
  begun(guest: string, id: string): void;
  /** Whether it has ended for that since it began. */
  killed(guest: string, id: string): Promise<boolean>;
}

/** Containers of an instance. */
export function watchOom(instance: string, log: () => Promise<string> = kernelLog): OomWatch {
  const counted = new Map<string, number>();
  const ended = new Map<string, Promise<boolean>>();
  const inGroup = (guest: string): number => openCgroup(cgroupName(instance, guest)).oomKills();
  const ask = async (guest: string, id: string): Promise<boolean> => {
    const before = counted.get(id) ?? 0;
    const now = isUnified() ? inGroup(guest) : countKills(await log(), id);
    counted.set(id, now);
    return now > before;
  };
  return {
    begun(guest, id) {
      ended.delete(id);
      if (isUnified()) counted.set(id, inGroup(guest));
    },
    killed(guest, id) {
      // Asked each second for as long as it does not run; the answer stays the same.
      const answer = ended.get(id) ?? ask(guest, id);
      ended.set(id, answer);
      return answer;
    },
  };
}

/** Lines of the kernel's log that name the container's group as the one whose process it ended. */
export function countKills(text: string, id: string): number {
  return text.split('\n').filter((line) => line.includes('oom-kill:') && line.includes(`libpod-${id},task=`)).length;
}

/** A child may read it where we may not: it has all of root's capabilities. Where it cannot be read it is empty. */
function kernelLog(): Promise<string> {
  return new Promise((resolve) => {
    execFile('dmesg', { maxBuffer: 2 ** 26, timeout: 5000 }, (error, stdout) => resolve(error === null ? stdout : ''));
  });
}
