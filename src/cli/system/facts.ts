// What the process knows of itself: for `show system` and `show version`.
import { readFileSync } from 'node:fs';
import { arch, release } from 'node:os';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { z } from 'zod';
import { maskIn, namesOf } from './capability.ts';

const delay = z.object({ p50: z.number(), p99: z.number(), max: z.number() });

export const systemFacts = z.object({
  pid: z.number(),
  upMs: z.number(),
  node: z.string(),
  kernel: z.string(),
  architecture: z.string(),
  memory: z.object({ rss: z.number(), heap: z.number(), external: z.number() }).meta({ description: 'bytes' }),
  threads: z
    .array(z.object({ name: z.string(), delayMs: delay }))
    .meta({ description: 'how late the event loops are' }),
  capabilities: z.array(z.string()).meta({ description: 'effective capabilities of the daemon' }),
  missing: z.array(z.string()).meta({ description: 'capabilities that it needs and has not' }),
});

export type SystemFacts = z.infer<typeof systemFacts>;
export type ThreadFacts = SystemFacts['threads'][number];

export interface ProcessFacts extends Disposable {
  facts(): SystemFacts;
}

/** Watches this thread's event loop. `needed` are the capabilities that the daemon is to have, `others` gives the other
 * threads' figures. */
export function watchProcess(needed: readonly string[], others: () => readonly ThreadFacts[] = () => []): ProcessFacts {
  const resolutionMs = 20;
  const histogram = monitorEventLoopDelay({ resolution: resolutionMs });
  histogram.enable();
  const late = (ns: number): number => (Number.isFinite(ns) ? Math.max(0, ns / 1e6 - resolutionMs) : 0);
  return {
    facts() {
      const effective = namesOf(maskIn(readFileSync('/proc/self/status', 'utf8'), 'CapEff'));
      const { rss, heapUsed, external } = process.memoryUsage();
      const delayMs = {
        p50: late(histogram.percentile(50)),
        p99: late(histogram.percentile(99)),
        max: late(histogram.max),
      };
      return {
        pid: process.pid,
        upMs: Math.round(process.uptime() * 1000),
        node: process.versions.node,
        kernel: release(),
        architecture: arch(),
        memory: { rss, heap: heapUsed, external },
        threads: [{ name: 'main', delayMs }, ...others()],
        capabilities: [...effective],
        missing: needed.filter((name) => !effective.includes(name)),
      };
    },
    [Symbol.dispose]: () => void histogram.disable(),
  };
}
