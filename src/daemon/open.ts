// What `midplane run` is: the lock, the L7 router, and control, which is everything else. A planned upgrade
// (takeover.ts) gives lock and control to a new daemon at once, while the routers of both accept; then this one's
// answers what it has.
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { OpenEngine } from '../engine/open.ts';
import { FaultError } from '../engine/faults.ts';
import { type Router, startRouter } from '../l7/router.ts';
import { drainTimeoutOf } from '../mesh/workers.ts';
import { type Control, type ControlInput, openControl } from './control.ts';
import { version } from './doors.ts';
import { holderOf, takeLock } from './lock.ts';
import { privateFolder, runFolder } from './places.ts';
import { askForPlace, type Giver, offerTakeover } from './takeover/takeover.ts';

export interface DaemonInput extends Omit<ControlInput, 'run' | 'router' | 'healthy'> {
  /** Takes the place of the daemon that runs, which goes on with its L7 connections for at most so long. */
  readonly takeover?: {
    /** Default: the document's drain timeout. */
    readonly drainMs?: number;
  };
}

export interface Daemon extends AsyncDisposable {
  readonly engine: OpenEngine;
  /** Resolves when another daemon has this one's place, and no L7 connection is left here. */
  readonly retired: Promise<void>;
}

/** Brings the switch up. Throws ProblemsError for a document that nothing can run with. */
export async function openDaemon(input: DaemonInput): Promise<Daemon> {
  await using stack = new AsyncDisposableStack();
  const { log } = input.log;
  const run = privateFolder(runFolder(input.instance));
  const accessLog = join(privateFolder(input.state), 'access.log');
  const takes = input.takeover !== undefined && holderOf(run) !== undefined;
  if (!takes) stack.use(takeLock(run));
  const onFault = (what: string): void => log.error({ what, part: 'l7' }, 'router');
  const router = stack.use(startRouter({ accessLog, onFault }));
  const giver = Promise.withResolvers<Giver>();
  const offer = (): Promise<AsyncDisposable> => offerTakeover(run, log, giver.promise);
  if (takes) await beReady(router, run);
  const before = takes ? await askForPlace(run, version, log) : undefined;
  if (takes) stack.use(takeLock(run, before?.process));
  if (before === undefined) stack.use(await offer());
  else router.places.adopt(await before.sockets());
  const held: Held = { input: { ...input, run, router, healthy: before?.healthy ?? [] }, control: undefined };
  stack.defer(() => held.control?.[Symbol.asyncDispose]());
  held.control = await openControl(held.input);
  const { engine } = held.control;
  if (before !== undefined) {
    await accepting(engine, input);
    await before.tunnels((tunnels) => router.receive(tunnels));
    await before.serving(input.takeover?.drainMs ?? drainTimeoutOf(engine.read.look()));
    log.info({ from: before.process.pid }, 'took over');
    stack.use(await offer());
  }
  const { promise: retired, resolve: retire } = Promise.withResolvers<void>();
  giver.resolve(giverOf(held, (drainMs, pass) => void router.stop(drainMs, pass).then(retire)));
  const kept = stack.move();
  return { engine, retired, [Symbol.asyncDispose]: () => kept.disposeAsync() };
}

interface Held {
  readonly input: ControlInput;
  /** Undefined while another daemon has it. */
  control: Control | undefined;
}

function giverOf(held: Held, retire: Giver['retire']): Giver {
  let healthy: readonly string[] = [];
  return {
    async release() {
      healthy = held.control?.healthyGuests() ?? [];
      await held.control?.[Symbol.asyncDispose]();
      held.control = undefined;
      return healthy;
    },
    async resume() {
      try {
        takeLock(held.input.run);
      } catch (error) {
        // A third one was quicker: this one's connections are answered, and it is over.
        if (!(error instanceof FaultError)) throw error;
        retire();
        return false;
      }
      held.control = await openControl({ ...held.input, healthy });
      return true;
    },
    sockets: () => held.input.router.places.all(),
    retire,
  };
}

/** All that takes time and changes nothing, done while the old daemon still runs. */
async function beReady(router: Router, run: string): Promise<void> {
  await import('../mesh/xds/server.ts');
  if (!(await router.started())) throw new FaultError('timeout', run, 'the threads of the L7 router do not start');
}

const acceptMs = 10_000;

/** Until the router serves the running revision; not for ever, since the old one's may be as ill. */
async function accepting({ read }: OpenEngine, { log }: DaemonInput): Promise<void> {
  const isIll = (): boolean => read.failures().some(({ ref }) => ref === 'snapshot/router');
  for (let waited = 0; isIll() && waited < acceptMs; waited += 50) await sleep(50);
  if (isIll()) log.log.error({ fault: read.failures() }, 'the L7 router does not serve the running revision');
}
