// The router's engine in C inside node under AddressSanitizer, LeakSanitizer and UndefinedBehaviorSanitizer: a minute in
// `npm test`, an hour in `npm run test:long`.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));
const seconds = process.env['MIDPLANE_TEST_LONG'] === '1' ? 3600 : 45;
/** Start, warm-up and end, each slower under a sanitizer. */
const spareMs = 60_000;

interface Result {
  readonly handshakes: number;
  readonly cuts: number;
  readonly rows: number;
  /** While memory ran out. */
  readonly starved: { readonly answers: number; readonly starved: number };
  /** Open descriptors. */
  readonly before: number;
  readonly after: number;
}

test('torn connections and handshakes, hostile rows: nothing is touched or kept that is not its own', async (t) => {
  const built = spawnSync('make', ['-s', '-C', `${root}native`, 'asan'], { encoding: 'utf8' });
  assert.equal(built.status, 0, built.stderr);
  const library = spawnSync('cc', ['-print-file-name=libasan.so'], { encoding: 'utf8' }).stdout.trim();
  const env = {
    ...process.env,
    LD_PRELOAD: library,
    MIDPLANE_ADDON: 'asan',
    ASAN_OPTIONS: 'detect_leaks=1:exitcode=99',
    UBSAN_OPTIONS: 'print_stacktrace=1',
  };
  const seed = String(Date.now() % 1_000_000);
  t.diagnostic(`seed ${seed}`);
  const child = spawn(process.execPath, [`${root}test/fuzz/main.ts`, String(seconds), seed], { env });
  const kill = setTimeout(() => child.kill('SIGKILL'), seconds * 1000 + spareMs);
  let out = '';
  let said = '';
  child.stdout.on('data', (piece: Buffer) => (out += piece.toString()));
  child.stderr.on('data', (piece: Buffer) => (said += piece.toString()));
  const [, signal] = (await once(child, 'close')) as [number | null, string | null];
  clearTimeout(kill);
  assert.equal(signal, null, `ended by ${signal}: ${said}`);
  // What node itself leaks at its end is not ours.
  assert.doesNotMatch(said, /runtime error|heap-|stack-|SEGV/, said.slice(0, 8000));
  const leaks = said.split('\n\n').filter((block) => block.includes('/native/addon/') && !block.includes(' napi_'));
  assert.deepEqual(leaks, []);
  const { handshakes, cuts, rows, starved, before, after } = JSON.parse(out) as Result;
  t.diagnostic(`${handshakes} handshakes, ${cuts} torn connections, ${rows} hostile rows`);
  t.diagnostic(`without memory: ${starved.answers} answers, ${starved.starved} connections that ended`);
  assert.ok(starved.answers > 0 && starved.starved > 0);
  assert.ok(handshakes > 50 && cuts > 500 && rows > 500);
  assert.ok(after <= before + 4, `descriptors ${before} -> ${after}`);
});
