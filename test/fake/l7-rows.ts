// Rows in, rows out, without the chain: an engine whose rows a test answers itself.
import * as t from '../../src/l7/transport.ts';
import { listenAt, openEngine } from './l7-engines.ts';
import { freePort } from './port.ts';

/** A row as it was laid out. */
export interface Seen {
  readonly kind: number;
  readonly text: string;
  readonly reason: number;
  readonly flags: number;
}

/** An engine whose rows are answered by `decide`; everything that was laid out is kept. */
export async function engineWith(
  decide: (engine: t.Engine, base: number, seen: Seen) => void,
  times: Partial<t.EngineTimes> = {},
  hello?: t.HelloMode,
  o: Partial<t.EngineOptions> = {},
) {
  const seen: Seen[] = [];
  const engine: t.Engine = openEngine({
    ...o,
    times,
    onBatch(n) {
      for (let i = 0; i < n; i += 1) {
        const base = i * t.ROW_WORDS;
        const word = (w: number) => engine.rows[base + w]!;
        const bytes = engine.arena.subarray(word(t.W_OFF), word(t.W_OFF) + word(t.W_LEN));
        const row = {
          kind: word(t.W_KIND),
          text: word(t.W_KIND) === t.DONE ? '' : Buffer.from(bytes).toString('latin1'),
          reason: word(t.W_REASON),
          flags: word(t.W_IN),
        };
        seen.push(row);
        decide(engine, base, row);
      }
    },
  });
  const port = await freePort();
  const listener = listenAt(engine, port, hello);
  return { engine, port, listener, seen, [Symbol.dispose]: () => engine.shut() };
}

/** The row's answer: these words, and a head that lies in scratch. */
export function say(engine: t.Engine, base: number, words: Record<number, number>, head = ''): void {
  for (const [word, value] of Object.entries(words)) engine.rows[base + Number(word)] = value;
  const at = t.READ_BYTES + base * 64;
  engine.arena.set(Buffer.from(head, 'latin1'), at);
  engine.rows[base + t.W_RUNS] = at;
  engine.rows[base + t.W_RUNS + 1] = head.length;
  engine.rows[base + t.W_TAIL] = head === '' ? 0 : 1;
}

/** The connection of a row. */
export const connOf = (engine: t.Engine, base: number): number => engine.rows[base + t.W_CONN]!;
