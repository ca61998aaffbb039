// What the process knows of itself: for `show system` and `show version`.
import { readFileSync } from 'node:fs';
import { arch, release } from 'node:os';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { z } from 'zod';

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
  capabilities: z.array(z.object({ name: z.string(), present: z.boolean() })),
  notes: z.array(z.string()).meta({ description: 'what the operator should know' }),
});

export type SystemFacts = z.infer<typeof systemFacts>;
export type ThreadFacts = SystemFacts['threads'][number];

/** Capabilities that the daemon uses, by their bit (linux/capability.h). */
const wanted: Readonly<Record<string, number>> = {
  NET_ADMIN: 12,
  NET_RAW: 13,
  SYS_ADMIN: 21,
  PERFMON: 38,
  BPF: 39,
};

export interface ProcessFacts extends Disposable {
  facts(): SystemFacts;
}

/** Watches this thread's event loop. `others` gives the other threads' figures, `notes` what the start has to tell. */
export function watchProcess(
  others: () => readonly ThreadFacts[] = () => [],
  notes: () => readonly string[] = () => [],
): ProcessFacts {
  const resolutionMs = 20;
  const histogram = monitorEventLoopDelay({ resolution: resolutionMs });
  histogram.enable();
  const late = (ns: number): number => (Number.isFinite(ns) ? Math.max(0, ns / 1e6 - resolutionMs) : 0);
  return {
    facts() {
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
        capabilities: capabilities(readFileSync('/proc/self/status', 'utf8')),
        notes: [...notes()],
      };
    },
    [Symbol.dispose]: () => void histogram.disable(),
  };
}

/** The wanted capabilities that /proc/PID/status says are effective. */
export function capabilities(status: string): SystemFacts['capabilities'] {
  const effective = BigInt(`0x${/^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? '0'}`);
  return Object.entries(wanted).map(([name, bit]) => ({ name, present: ((effective >> BigInt(bit)) & 1n) === 1n }));
}
