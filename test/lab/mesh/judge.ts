// Whether a router does what a handwritten case expects of it.
import assert from 'node:assert/strict';
import type { Case } from './cases/case.ts';
import { backendOf, echoOf } from './compare.ts';
import type { Site, Which } from './site.ts';
import type { Given, Header } from './talk.ts';

/** Asks until every backend that may answer has; throws where something else comes. */
export async function judge(site: Site, which: Which, one: Case, most = 60): Promise<void> {
  const wanted = new Set(one.backends ?? ['-']);
  const given: Given[] = [];
  const missing = new Set(wanted);
  while (given.length < most && (missing.size > 0 || (wanted.size > 1 && given.length < 6))) {
    const got = await site.ask(which, one.port, one.ask);
    given.push(got);
    const backend = backendOf(got);
    assert.ok(wanted.has(backend), `${backend} answered ${got.status} ${got.body.slice(0, 200)}`);
    missing.delete(backend);
  }
  assert.deepEqual([...missing], [], `who never answered in ${given.length} requests`);
  const statuses = [...new Set(given.map((g) => g.status))].toSorted((a, b) => a - b);
  assert.deepEqual(statuses, [one.status].flat(), 'status');
  const last = given.at(-1);
  if (one.body !== undefined) assert.equal(last?.body, one.body, 'body');
  const echoes = given.flatMap((g) => echoOf(g) ?? []);
  if (one.url !== undefined) assert.deepEqual([...new Set(echoes.map((e) => e.url))], [one.url], 'request target');
  for (const [name, value] of Object.entries(one.seen ?? {})) {
    assert.equal(
      all(
        echoes.map((e) => e.headers),
        name,
      ),
      value,
      `${name} at the backend`,
    );
  }
  for (const [name, value] of Object.entries(one.answer ?? {})) {
    assert.equal(
      all(
        given.map((g) => g.headers),
        name,
      ),
      value,
      `${name} of the answer`,
    );
  }
}

/** The header's values, joined by ","; where answers differ, all of them in order, "|" between, "-" for none. */
function all(lists: readonly (readonly Header[])[], name: string): string | undefined {
  const values = lists.map((headers) => {
    const own = headers.filter(([key]) => key.toLowerCase() === name).map(([, value]) => value.replaceAll(/, */g, ','));
    return own.length === 0 ? undefined : own.join(',');
  });
  const different = [...new Set(values)];
  if (different.length < 2) return different[0];
  return different
    .map((value) => value ?? '-')
    .toSorted((a, b) => (a < b ? -1 : 1))
    .join('|');
}
