import { closeSync, constants, openSync, readFileSync, writeSync } from 'node:fs';
import { KernelError } from '../errno.ts';
import type { Sysctl } from '../kernel.ts';
import { inNetns } from '../netns.ts';

/** /proc/sys path of a key, by the rule of sysctl(8): what separates first separates; the other one stands for it
 * inside a name ("net.ipv4.conf.eth0/1.forwarding" is about eth0.1). KernelError EINVAL for a key outside net. */
export function sysctlPath(key: string): string {
  const first = /[./]/.exec(key)?.[0];
  const path = first === '.' ? key.replace(/[./]/g, (c) => (c === '.' ? '/' : '.')) : key;
  const parts = path.split('/');
  if (parts[0] !== 'net' || parts.length < 2 || parts.some((part) => part === '' || part === '.' || part === '..')) {
    throw new KernelError('EINVAL', `sysctl ${key}`, 'not a key under net');
  }
  return `/proc/sys/${path}`;
}

function codeOf(error: unknown): string {
  if (error instanceof KernelError) throw error;
  const { code } = error as NodeJS.ErrnoException;
  if (code === undefined) throw error;
  return code;
}

/** Sysctls through /proc/sys, which shows the namespace of the reading thread. */
export const sysctl: Sysctl = {
  read(key, netns) {
    const path = sysctlPath(key);
    try {
      return inNetns(netns, () => readFileSync(path, 'utf8')).replace(/\n$/, '');
    } catch (error) {
      const code = codeOf(error);
      if (code === 'ENOENT') return undefined;
      throw new KernelError(code, `read sysctl ${key}`);
    }
  },
  write(key, value, netns) {
    const path = sysctlPath(key);
    try {
      inNetns(netns, () => {
        const fd = openSync(path, constants.O_WRONLY);
        try {
          writeSync(fd, `${value}\n`);
        } finally {
          closeSync(fd);
        }
      });
    } catch (error) {
      throw new KernelError(codeOf(error), `write sysctl ${key}`, JSON.stringify(value));
    }
  },
};
