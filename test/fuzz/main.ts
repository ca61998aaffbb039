// node test/fuzz/main.ts SECONDS SEED: torments the engine in C and prints what it did as JSON. What it touches that is
// not its own is AddressSanitizer's to say, where that is preloaded.
import { readdirSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { pki } from '../fake/pki.ts';
import { portsHeld } from '../fake/port.ts';
import { cuts } from './cuts.ts';
import { handshakes, issueAll } from './handshakes.ts';
import { rows } from './rows.ts';
import { starve } from './starve.ts';

const [seconds = 10, seed = 1] = process.argv.slice(2).map(Number);
/** Without those that ports are held by. */
const descriptors = (): number => readdirSync('/proc/self/fd').length - portsHeld();

// OpenSSL's command, which makes the certificates, is not watched.
delete process.env['LD_PRELOAD'];
using ours = pki();
const issued = issueAll(ours);
// Children that look for their program for long hold a copy of every descriptor meanwhile.
const spawner = new Worker(
  `const { spawn } = require('node:child_process');
  const env = { PATH: '/nowhere:'.repeat(12_000) };
  setInterval(() => spawn('nothing', { env, stdio: 'ignore' }).on('error', () => {}), 1000);`,
  { eval: true },
);

await handshakes(performance.now() + 500, seed, issued);
await cuts(performance.now() + 500);
await rows(performance.now() + 500, seed);
await sleep(300);
const before = descriptors();
const begun = performance.now();
const done = {
  handshakes: await handshakes(begun + seconds * 300, seed + 1, issued),
  cuts: await cuts(begun + seconds * 600),
  rows: await rows(begun + seconds * 900, seed + 1000),
  starved: await starve(begun + seconds * 1000, seed),
};
await spawner.terminate();
await sleep(500);
process.stdout.write(`${JSON.stringify({ ...done, before, after: descriptors() })}\n`);
