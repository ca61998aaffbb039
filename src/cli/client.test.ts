// `midplane cli` as a program of its own, on pipes and on a terminal that script(1) makes.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fakeEngine } from '../../test/fake/engine.ts';
import { openApi, type ApiServer } from '../api/http.ts';
import { systemClock } from '../lib/clock.ts';
import { openDoor } from './door.ts';

let folder = '';
let server: ApiServer;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'midplane-cli-'));
  const engine = fakeEngine(systemClock);
  const door = openDoor({ engine, commands: engine.commands, clock: systemClock, hostname: () => 'leaf1' });
  const log = { info: () => undefined, warn: () => undefined };
  const nothing = { collectors: [], openApi: () => ({}), mask: (text: string) => text, tokens: () => ({}) };
  server = openApi({
    ...nothing,
    engine,
    door,
    log,
    terminal: door.terminal,
    peerUid: () => 0,
    openMetrics: () => false,
  });
  await server.listen({ path: join(folder, 'api.sock') });
  const client = new URL('./client.ts', import.meta.url).href;
  await writeFile(
    join(folder, 'cli.mjs'),
    `import { runClient } from '${client}';
     const { stdin: input, stdout: output, stderr: errors, argv } = process;
     const command = argv[3] === undefined ? {} : { command: argv[3] };
     process.exitCode = await runClient({ socketPath: argv[2], ...command, input, output, errors });`,
  );
});

after(async () => {
  await server[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

function run(program: string, args: readonly string[], input = '', typing: readonly string[] = []) {
  return new Promise<{ code: number | null; stdout: string; stderr: string }>((resolve) => {
    const child = spawn(program, args, { stdio: 'pipe', timeout: 20_000 });
    let stdout = '';
    let stderr = '';
    const rest = [...typing];
    child.stdout.on('data', (chunk: Buffer) => {
      stdout += chunk.toString();
      // A key sequence at each prompt, as a person types.
      if (/midplane@leaf1[>#] $/.test(stdout)) child.stdin.write(rest.shift() ?? '');
    });
    child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
    child.on('close', (code) => resolve({ code, stdout, stderr }));
    if (typing.length === 0) child.stdin.end(input);
  });
}

const cli = (socket: string, ...rest: string[]): string[] => [join(folder, 'cli.mjs'), join(folder, socket), ...rest];

test('one command, with its exit code', async () => {
  const done = await run(process.execPath, cli('api.sock', 'show ports swp1'));
  assert.deepEqual(done, { code: 0, stdout: 'Port   MTU\nswp1  9000\n', stderr: '' });
  const bad = await run(process.execPath, cli('api.sock', 'show pots'));
  assert.equal(bad.code, 1);
  assert.match(bad.stderr, /unknown word/);
  assert.equal((await run(process.execPath, cli('api.sock', 'show ports swp9'))).code, 2);
  const unreachable = await run(process.execPath, cli('none.sock', 'show ports'));
  assert.equal(unreachable.code, 3);
  assert.match(unreachable.stderr, /does not answer/);
});

test('several commands, and a script on standard input, are one session', async () => {
  const several = await run(
    process.execPath,
    cli('api.sock', 'configure ; set ports swp1 mtu 1400 ; commit ; run show ports swp1'),
  );
  assert.equal(several.code, 0);
  assert.match(several.stdout, /revision 2 is running.*swp1 {2}1400\n$/s);
  const script = await run(process.execPath, cli('api.sock'), '# back\nconfigure\nset ports swp1 mtu 9000\ncommit\n');
  assert.match(script.stdout, /revision 3 is running/);
});

test('a terminal: raw keys through the Upgrade', async () => {
  const command = [process.execPath, ...cli('api.sock')].join(' ');
  const typing = ['sh\tpo\tswp1\r', 'monitor vlans 100000\r\u0003', 'exit\r'];
  const { code, stdout } = await run('script', ['-qec', command, '/dev/null'], '', typing);
  assert.equal(code, 0);
  assert.match(stdout, /swp1 {2}9000\r+\n/);
  assert.match(stdout, /exit\r+\n$/);
});
