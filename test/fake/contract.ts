// What everyone may rely on of a kernel is tried on the fake one and on the real one, in namespaces of their own.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { BpfMapCreate } from '../../src/kernel/bpf.ts';
import type { Kernel } from '../../src/kernel/kernel.ts';
import type { Netlink, Op, Route } from '../../src/kernel/netlink.ts';
import { openKernel } from '../../src/kernel/open.ts';
import { fakeKernel } from './kernel.ts';

export const protocol = 213;
export const one = `mpt-c1-${process.pid}`;
export const two = `mpt-c2-${process.pid}`;

export const code = (name: string) => (error: unknown) => (error as { code?: string }).code === name;

const source = `
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
struct key { __u32 id; };
struct row { __u64 seen; __u32 port; __u32 pad; };
const volatile __u32 answer = 1;
struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 4); __type(key, struct key); __type(value, struct row); }
	rows SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_DEVMAP); __uint(max_entries, 4); __type(key, __u32); __type(value, __u32); }
	devices SEC(".maps");
SEC("tc") int first(struct __sk_buff *skb)
{
	return answer == 9 ? bpf_map_lookup_elem(&rows, &(struct key){ 1 }) != 0 : 0;
}
SEC("tc") int second(struct __sk_buff *skb) { return 1; }
SEC("xdp") int on_nic(struct xdp_md *ctx) { return bpf_redirect_map(&devices, 0, XDP_PASS); }
char _license[] SEC("license") = "GPL";
`;
const objectMaps: readonly BpfMapCreate[] = [
  { name: 'rows', type: 1, keySize: 4, valueSize: 16, maxEntries: 4 },
  { name: 'devices', type: 14, keySize: 4, valueSize: 4, maxEntries: 4 },
];

/** A kernel under test, and a file that it can load. */
interface Bench {
  readonly kernel: Kernel;
  readonly file: string;
  readonly pins: string;
  end(): void;
}

function fakeBench(): Bench {
  const kernel = fakeKernel();
  const programs = { first: undefined, second: undefined, on_nic: undefined };
  kernel.bpf.defineObject('/contract.bpf.o', { maps: objectMaps, programs, rodata: { answer: 4 } });
  return { kernel, file: '/contract.bpf.o', pins: '/sys/fs/bpf/mpt-contract', end: () => undefined };
}

function realBench(): Bench {
  const folder = mkdtempSync(join(tmpdir(), 'mpt-contract-'));
  const file = join(folder, 'contract.bpf.o');
  writeFileSync(join(folder, 'contract.bpf.c'), source);
  const include = `-I/usr/include/${process.arch === 'x64' ? 'x86_64' : 'aarch64'}-linux-gnu`;
  const flags = ['-O2', '-g', '-target', 'bpf', '-mcpu=v3', include, '-c'];
  execFileSync('clang-19', [...flags, join(folder, 'contract.bpf.c'), '-o', file]);
  const pins = `/sys/fs/bpf/mpt-contract-${process.pid}`;
  const end = (): void => {
    rmSync(folder, { recursive: true });
    rmSync(pins, { recursive: true, force: true });
  };
  return { kernel: openKernel(), file, pins, end };
}

/** A route of ours to put. */
export function route(prefix: string, more: Partial<Route> = {}): Op {
  const base = { prefix, table: 254, protocol, metric: 0, type: 'unicast', nextHops: [] } as const;
  return { op: 'route-put', route: { ...base, ...more } };
}

/** Addresses of ours, in order. */
export function ours(nl: Netlink): string[] {
  return nl
    .addresses()
    .filter((address) => address.protocol === protocol)
    .map(({ cidr }) => cidr)
    .toSorted();
}

/** Waits until it is so, for at most 2 s. */
export async function until(what: string, met: () => boolean): Promise<void> {
  for (let i = 0; i < 200; i++) {
    if (met()) return;
    await sleep(10);
  }
  assert.fail(`never: ${what}`);
}

/** What the tests of one kernel have; it is there while they run. */
export interface Tried {
  readonly bench: Bench;
  readonly kernel: Kernel;
  /** Of the namespaces `one` and `two`. */
  readonly nl: Netlink;
  readonly far: Netlink;
  /** Applies ops, none of which may be refused. */
  ok(...ops: readonly Op[]): void;
  /** Applies ops that are refused with these errnos. */
  refused(...pairs: readonly (readonly [string, Op])[]): void;
}

/** Declares the tests for each kernel. */
export function onEachKernel(tests: (its: Tried) => void): void {
  for (const [world, open] of [
    ['fake', fakeBench],
    ['real', realBench],
  ] as const) {
    describe(`the ${world} kernel`, () => {
      const its = { ok, refused } as { -readonly [K in keyof Tried]: Tried[K] };
      before(() => {
        its.bench = open();
        its.kernel = its.bench.kernel;
        its.kernel.netns.add(one);
        its.kernel.netns.add(two);
        its.nl = its.kernel.netlink(one);
        its.far = its.kernel.netlink(two);
      });
      after(() => {
        its.nl.close();
        its.far.close();
        its.kernel.netns.remove(one);
        its.kernel.netns.remove(two);
        its.bench.end();
      });
      tests(its);
    });
  }
}

function ok(this: Tried, ...ops: readonly Op[]): void {
  const words: string[] = [];
  const results = this.nl.apply(ops, (i, text) => words.push(`${i}: ${text}`));
  assert.deepEqual(
    results,
    ops.map(() => undefined),
    words.join('; '),
  );
}

function refused(this: Tried, ...pairs: readonly (readonly [string, Op])[]): void {
  const results = this.nl.apply(pairs.map(([, op]) => op));
  assert.deepEqual(
    results.map((result, i) => [result, pairs[i]?.[1]]),
    pairs,
  );
}
