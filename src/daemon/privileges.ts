// What the daemon may do. Root's capabilities are given up but for those that it needs, before anything else is loaded:
// the process runs itself anew with native/preload/capabilities.c, which does it while there is one thread.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { maskIn, maskOf } from '../cli/system/capability.ts';
import { objects } from './places.ts';

/** Capabilities that are kept; test/lab/privileges.test.ts shows what fails without each. */
export const needed = ['DAC_OVERRIDE', 'KILL', 'NET_ADMIN', 'NET_BIND_SERVICE', 'SYS_ADMIN'] as const;

const wish = 'MIDPLANE_CAPABILITIES';

/** What else can only be said to Node at its beginning. What is young lives in two halves of 4 MiB, not of 16: Node
 * keeps them once it had them, and an idle switch needs neither. The other is set by the router's workers too; compiled
 * code is kept for one set of flags alone. */
export const nodeFlags = ['--max-semi-space-size=4', '--enable-experimental-regexp-engine-on-excessive-backtracks'];

/** Gives up all but those that are needed, `without` apart (tests): the program begins anew under the same pid, and
 * comes back here. Returns at once where nothing is too much, or why it can't. */
export function shedCapabilities(without: readonly string[] = []): string | undefined {
  const object = join(objects, 'capabilities.so');
  // The object takes the wish away once it has done its work.
  if (process.env[wish] !== undefined) return `capabilities stay: ${object} was not preloaded`;
  const keep = maskOf(needed) & ~maskOf(without);
  const has = maskIn(readFileSync('/proc/thread-self/status', 'utf8'), 'CapPrm');
  if ((has & ~keep) === 0n) return undefined;
  if (!existsSync(object)) return `capabilities stay: there is no ${object}; bash native/setup.sh makes it`;
  const preload = [object, process.env['LD_PRELOAD'] ?? ''].filter((path) => path !== '').join(':');
  const args = [process.execPath, ...nodeFlags, ...process.execArgv, ...process.argv.slice(1)];
  process.execve?.(process.execPath, args, { ...process.env, LD_PRELOAD: preload, [wish]: keep.toString(16) });
  return 'capabilities stay: this Node cannot run itself anew';
}
