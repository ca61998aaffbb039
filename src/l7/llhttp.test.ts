// llhttp, as Node has it and with nothing lenient, judges what this router's parser takes: request heads of the
// smuggling corpus, changed at random. What is taken here and refused there has a name, or the test is red.
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { test } from 'node:test';
import { cases } from '../../test/lab/smuggling/cases.ts';
import { parseRequest } from './http1.ts';
import { createRandom } from './upstream/pick.ts';

interface Llhttp {
  initialize(type: number, resource: object): void;
  /** An Error with llhttp's code, or how many bytes it took. */
  execute(bytes: Uint8Array): number | (Error & { code: string });
}
const load = createRequire(import.meta.url);
const { HTTPParser } = load('node:_http_common') as { HTTPParser: { new (): Llhttp; REQUEST: number } };
const { METHODS } = load('node:http') as { METHODS: readonly string[] };

/** One for all: what it holds outside of the heap would be freed only between turns. */
const parser = new HTTPParser();

/** What llhttp says of a whole head: "" where it takes it. */
function refusal(bytes: Uint8Array): string {
  parser.initialize(HTTPParser.REQUEST, {});
  const got = parser.execute(bytes);
  return typeof got === 'number' ? '' : got.code;
}

/** Why it is right to take what llhttp refuses; undefined: no reason is known. */
function reason(text: string, code: string): string | undefined {
  const [method = ''] = text.replace(/^\r\n/, '').split(' ', 1);
  if (code === 'HPE_INVALID_METHOD' && /^[!#$%&'*+\-.^_`|~\w]+$/.test(method) && !METHODS.includes(method)) {
    return 'a method that llhttp does not know: RFC 9110 9.1 lets any token be one';
  }
  if (code === 'HPE_INVALID_TRANSFER_ENCODING' && /^transfer-encoding:[ \t]*chunked *\t[ \t]*\r$/im.test(text)) {
    return 'a tab behind "chunked" is blank space (RFC 9110 5.6.3), and the field goes on without it';
  }
  return undefined;
}

const bits = '\r\n\t\u0000 :;,="\'\\/?#%@[]{}()<>-_.~0aZ\u007f\u0080\u00ff';

/** Some bytes other, more, less, twice. */
function change(text: string, random: () => number): string {
  let all = text;
  for (let i = 1 + (random() % 3); i > 0; i -= 1) {
    const at = random() % (all.length + 1);
    const bit = bits[random() % bits.length]!;
    const how = random() % 4;
    if (how === 0) all = all.slice(0, at) + bit + all.slice(at);
    else if (how === 1) all = all.slice(0, at) + bit + all.slice(at + 1);
    else if (how === 2) all = all.slice(0, at) + all.slice(at + 1);
    else all = all.slice(0, at) + all.slice(Math.max(0, at - (random() % 20)), at) + all.slice(at);
  }
  return all;
}

test('what llhttp refuses is not taken, but for what has a name', (t) => {
  const seed = Date.now() % 1_000_000;
  t.diagnostic(`seed ${seed}`);
  const random = createRandom(seed);
  const corpus = cases.flatMap(({ bytes, sibling }) => [bytes, sibling]);
  const named = new Map<string, number>();
  const unnamed: string[] = [];
  let taken = 0;
  const judge = (text: string): void => {
    const bytes = Buffer.from(text, 'latin1');
    const length = parseRequest(Buffer.from(bytes), 0, bytes.length);
    if (length <= 0) return;
    taken += 1;
    const head = text.slice(0, length);
    const code = refusal(Buffer.from(head, 'latin1'));
    if (code === '') return;
    const why = reason(head, code);
    if (why === undefined) unnamed.push(`${code}: ${JSON.stringify(head)}`);
    else named.set(why, (named.get(why) ?? 0) + 1);
  };
  corpus.forEach(judge);
  const until = performance.now() + (process.env['MIDPLANE_TEST_LONG'] === '1' ? 600_000 : 3_000);
  let tries = 0;
  // On a machine that has no time for us, until it is enough.
  for (; performance.now() < until || (taken <= 1000 && tries < 100_000); tries += 1)
    judge(change(corpus[random() % corpus.length]!, random));
  for (const [why, count] of named) t.diagnostic(`${count} x ${why}`);
  t.diagnostic(`${tries} changed requests, ${taken} taken`);
  assert.deepEqual(unnamed.slice(0, 10), []);
  assert.ok(taken > 1000);
});

test('llhttp is asked, and not lenient', () => {
  assert.equal(refusal(Buffer.from('GET / HTTP/1.1\r\nHost: a\r\n\r\n')), '');
  assert.notEqual(refusal(Buffer.from('GET / HTTP/1.1\nHost: a\n\n')), '');
  assert.notEqual(
    refusal(Buffer.from('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n')),
    '',
  );
});
