// Texts that were cut, or made to hurt: `midplane check` refuses each, as a document and as a manifest, with a place in
// it, in a second of a processor and 200 MB.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { bodies, head } from './hostile/texts.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'mpt-hostile-'));
after(() => rmSync(folder, { recursive: true }));

const example = readFileSync(join(root, 'configs/examples/gateway.yaml'));
const shop = readFileSync(join(root, 'configs/examples/manifests/shop.yaml'));
/** Up to and with the last of these words, and nothing after it. */
function cutAfter(text: Uint8Array, words: string): Buffer {
  const at = Buffer.from(text).lastIndexOf(words);
  assert.ok(at > 0, words);
  return Buffer.from(text).subarray(0, at + Buffer.byteLength(words));
}

interface Ran {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
  readonly cpuMs: number;
  readonly rssBytes: number;
}

// What a child has used is known to who waited for it.
const measure = `
import json, resource, subprocess, sys
done = subprocess.run(sys.argv[1:], capture_output=True, text=True, errors='replace')
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps({'status': done.returncode, 'stdout': done.stdout, 'stderr': done.stderr,
  'cpuMs': 1000 * (used.ru_utime + used.ru_stime), 'rssBytes': 1024 * used.ru_maxrss}))
`;

function check(file: string): Ran {
  const command = [process.execPath, join(root, 'src/main.ts'), 'check', file];
  const { stdout, stderr } = spawnSync('python3', ['-c', measure, ...command], { encoding: 'utf8', timeout: 60_000 });
  assert.notEqual(stdout, '', stderr);
  return JSON.parse(stdout) as Ran;
}

/** Fails unless the file is refused, with a place and those words, and at what price at least. */
function mustRefuse(file: string, meant: RegExp): string {
  const runs: Ran[] = [];
  // On a busy machine the same work takes longer: the best of five counts.
  for (let i = 0; i < 5; i += 1) {
    const ran = check(file);
    runs.push(ran);
    assert.equal(ran.status, 1, `${ran.stderr}${ran.stdout}`);
    const [first = ''] = ran.stderr.split('\n');
    assert.ok(
      first.startsWith(`${file}:`) && /^:[1-9]\d*:[1-9]\d*: /.test(first.slice(file.length)),
      first.slice(0, 500),
    );
    assert.match(ran.stderr, meant);
    assert.ok(ran.stderr.length < 100_000, `${ran.stderr.length} characters of it`);
    assert.ok(ran.rssBytes < 200e6, `${(ran.rssBytes / 1e6).toFixed(0)} MB`);
    if (ran.cpuMs < 1000) break;
  }
  const cpuMs = Math.min(...runs.map((ran) => ran.cpuMs));
  assert.ok(cpuMs < 1000, `${cpuMs.toFixed(0)} ms`);
  const rss = Math.max(...runs.map((ran) => ran.rssBytes));
  return `${cpuMs.toFixed(0)} ms, ${(rss / 1e6).toFixed(0)} MB`;
}

function write(name: string, ...parts: readonly (string | Uint8Array)[]): string {
  const file = join(folder, name);
  const fd = openSync(file, 'w');
  for (const part of parts) writeSync(fd, typeof part === 'string' ? Buffer.from(part) : part);
  closeSync(fd);
  return file;
}

const long = process.env['MIDPLANE_TEST_LONG'] === '1';
/** Each costs the start of two processes. */
const sample = new Set([
  'cut in double quotes',
  'cut in a flow map',
  'a billion laughs',
  'a million maps',
  'a program',
]);

for (const [what, [body, meant]] of Object.entries(bodies)) {
  const skip = !long && !sample.has(what) && 'all of them: npm run test:long';
  test(`refused: ${what}`, { skip }, (t) => {
    t.diagnostic(`as a document ${mustRefuse(write('document.yaml', body()), meant)}`);
    t.diagnostic(`as a manifest ${mustRefuse(write('manifest.yaml', head, body()), meant)}`);
  });
}

test('refused: a hundred megabytes', (t) => {
  const line = Buffer.from('# a comment like any other one\n'.repeat(100_000));
  const parts = Array.from({ length: Math.ceil(100e6 / line.length) }, () => line);
  t.diagnostic(`as a document ${mustRefuse(write('document.yaml', ...parts), /too long/)}`);
  t.diagnostic(`as a manifest ${mustRefuse(write('manifest.yaml', head, ...parts), /too long/)}`);
});

test('examples and manifests that are cut: in a quoted scalar, in a flow collection', () => {
  for (const [text, words, meant] of [
    [example, '"fd00:10::', /missing closing "quote/],
    [example, '{ address: 10.10.0.22, port', /flow map .* end with a \}/],
    [shop, 'hostname: "*.exam', /missing closing "quote/],
    [shop, 'parentRefs: [{ name: edge', /flow (map|sequence) .* end with a/],
  ] as const) {
    mustRefuse(write('cut.yaml', cutAfter(text, words)), meant);
  }
});
