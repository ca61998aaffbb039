// Checks from the switch to a guest: a TCP connection, or an HTTP request answered by 2xx or 3xx. They run in the
// daemon, which lives in the switch's namespace, so a check goes the way that traffic goes.
import { connect } from 'node:net';
import { request } from '../lib/http.ts';
import type { Health } from './schema.ts';

/** One check. Undefined: well; else what was wrong. Never rejects. */
export function probe(address: string, health: Health): Promise<string | undefined> {
  const { timeout } = health;
  return new Promise((resolve) => {
    if ('tcp' in health) {
      const socket = connect({ host: address, port: health.tcp.port });
      const done = (why?: string): void => {
        socket.destroy();
        clearTimeout(timer);
        resolve(why);
      };
      const timer = setTimeout(() => done(`no connection in ${timeout} ms`), timeout);
      socket.once('connect', () => done()).once('error', (error) => done(error.message));
      return;
    }
    const { port, path } = health.http;
    const asked = request({ host: address, port, path, agent: false, headers: { 'user-agent': 'midplane-health' } });
    const done = (why?: string): void => {
      asked.destroy();
      clearTimeout(timer);
      resolve(why);
    };
    const timer = setTimeout(() => done(`no answer in ${timeout} ms`), timeout);
    asked.once('response', ({ statusCode = 0 }) => {
      done(statusCode >= 200 && statusCode < 400 ? undefined : `answered ${statusCode}`);
    });
    asked.on('error', (error) => done(error.message)).end();
  });
}

/** Watches one guest. */
export interface HealthWatch extends Disposable {
  readonly healthy: boolean;
  readonly why: string;
}

/** Checks each interval. Healthy after the first good answer, unhealthy after `failures` bad ones in a row; it begins
 * unhealthy, so that nobody is sent to a guest that has not answered yet, unless it is `known` to be well. */
export function watchHealth(
  address: string,
  health: Health,
  changed: () => void,
  check: typeof probe = probe,
  known = false,
): HealthWatch {
  const state = { healthy: known, why: known ? '' : 'not checked yet' };
  let failures = 0;
  let timer: NodeJS.Timeout | undefined;
  let ended = false;
  const set = (healthy: boolean, why: string): void => {
    const other = healthy !== state.healthy;
    state.healthy = healthy;
    state.why = why;
    if (other) changed();
  };
  const turn = async (): Promise<void> => {
    const why = await check(address, health);
    if (ended) return;
    if (why === undefined) {
      failures = 0;
      set(true, '');
    } else {
      failures += 1;
      if (failures >= health.failures || !state.healthy) set(false, why);
    }
    // Until it is well for the first time it is asked more often: a start should not wait for a whole interval.
    timer = setTimeout(() => void turn(), state.healthy ? health.interval : Math.min(health.interval, 500));
    timer.unref();
  };
  void turn();
  return {
    get healthy() {
      return state.healthy;
    },
    get why() {
      return state.why;
    },
    [Symbol.dispose]() {
      ended = true;
      clearTimeout(timer);
    },
  };
}
