// A change given to workers in two steps: all prepare what is new to them, then all switch.
import { inTurns } from '../../lib/work/turns.ts';
import type { Snapshot } from '../../mesh/snapshot.ts';
import { stepsTo } from './change.ts';
import type { RowOf } from './change.ts';
import type { Hand } from './hand.ts';
import type { Sockets } from './places.ts';
import { pack } from './steps.ts';
import type { Packed } from './steps.ts';
import type { ToWorker } from './worker.ts';

/** Of work on a change between two turns of the main thread. */
const CHANGE_MS = 5;

export interface Gift {
  readonly seq: number;
  readonly snapshot: Snapshot;
  /** What is in force. */
  readonly before: Snapshot | undefined;
  readonly rowOf: RowOf;
  /** Rows of counters that are given to other routes now; asked when all have rows. */
  readonly reused: () => readonly number[];
  /** What a worker accepts from; asked when it is known who serves. */
  readonly sockets: (worker: number) => Sockets;
  readonly ackMs: number;
}

/** Gives why it failed; then nothing has changed, unless a worker does not answer. A worker that ends on the way is not
 * waited for. */
export async function give(to: readonly Hand[], gift: Gift): Promise<string | undefined> {
  const { seq, snapshot, ackMs } = gift;
  const late = `no answer in ${ackMs} ms`;
  let asked: readonly (readonly [Hand, Prepare])[];
  try {
    asked = await prepareFor(to, gift);
  } catch (error) {
    return (error as Error).message;
  }
  const answers = await Promise.all(
    asked.map(async ([hand, prepare]) => {
      const { life } = hand;
      const answer = await hand.ask(prepare, 'prepared', ackMs);
      return { hand, gone: () => hand.life !== life || !hand.alive, why: answer === undefined ? late : answer.why };
    }),
  );
  const there = answers.filter(({ gone }) => !gone());
  const why = there.length === 0 ? 'no worker is running' : there.find((each) => each.why !== undefined)?.why;
  if (why !== undefined) {
    for (const { hand } of there) hand.say({ type: 'abort', seq });
    return why;
  }
  for (const { hand } of there) {
    hand.serves = !hand.leaving;
    hand.has = undefined;
  }
  const committed = await Promise.all(
    there.map(async ({ hand, gone }) => {
      const commit = { type: 'commit', seq, sockets: hand.leaving ? new Map() : gift.sockets(hand.index) } as const;
      const answer = await hand.ask(commit, 'committed', ackMs);
      if (answer !== undefined) hand.has = snapshot;
      return answer !== undefined || gone();
    }),
  );
  return committed.includes(false) ? late : undefined;
}

type Prepare = Extract<ToWorker, { type: 'prepare' }>;

/** Whoever has what is in force gets the steps from there, others all of it. */
async function prepareFor(to: readonly Hand[], gift: Gift): Promise<readonly (readonly [Hand, Prepare])[]> {
  const { snapshot, before, rowOf, seq } = gift;
  const packed = (from: Snapshot | undefined): Promise<Packed> =>
    inTurns(pack(stepsTo(snapshot, from, rowOf)), CHANGE_MS);
  const knows = (hand: Hand): boolean => before !== undefined && hand.has === before;
  const all = to.every(knows) ? undefined : await packed(undefined);
  const steps = to.some(knows) ? await packed(before) : undefined;
  const clear = gift.reused();
  return to.flatMap((hand) => {
    if (!hand.alive) return [];
    const some = knows(hand) ? steps : all;
    // It was lost meanwhile: it gets what is in force when it is back.
    if (some === undefined) return [];
    return [[hand, { type: 'prepare', seq, steps: some, anew: some === all, clear }] as const];
  });
}
