// A client in the namespace that this is started in: asks come in as JSON lines, answers go out as JSON lines.
import { Agent, request } from 'node:http';
import { createInterface } from 'node:readline';
import type { Ask, Given, Load, Loaded } from './talk.ts';

const agent = new Agent({ keepAlive: true, maxSockets: 16 });

function answer(ask: Ask, through: Agent): Promise<Given> {
  const { address, port, method, path, headers, from, timeoutMs = 15_000 } = ask;
  const begun = performance.now();
  return new Promise((resolve) => {
    const failed = (error: Error): void => resolve({ status: 0, headers: [], body: error.message, ms: 0 });
    const flat = headers.flat();
    const way = from === undefined ? { agent: through } : { agent: false, localAddress: from };
    const sent = request({ host: address, port, method, path, headers: flat, ...way }, (got) => {
      let body = '';
      got.setEncoding('utf8').on('data', (text: string) => (body += text));
      got.once('error', failed);
      got.once('end', () => {
        const pairs = got.rawHeaders.flatMap((name, i) =>
          i % 2 === 0 ? [[name.toLowerCase(), got.rawHeaders[i + 1] ?? ''] as const] : [],
        );
        resolve({ status: got.statusCode ?? 0, headers: pairs, body, ms: performance.now() - begun });
      });
    });
    // Not the request's own timeout, which waits for the connection first.
    const timer = setTimeout(() => sent.destroy(new Error('no answer in time')), timeoutMs);
    sent.once('close', () => clearTimeout(timer));
    sent.once('error', failed).end();
  });
}

/** Asks again and again on connections of its own until it is told to stop. */
function load({ ask, connections }: Load): { stop(): Promise<Loaded> } {
  let going = true;
  const counts: Record<string, number> = {};
  const bad: Given[] = [];
  const agents = Array.from({ length: connections }, () => new Agent({ keepAlive: true, maxSockets: 1 }));
  const loops = agents.map(async (own) => {
    while (going) {
      const given = await answer(ask, own);
      const name = given.headers.find(([key]) => key === 'x-backend')?.[1] ?? '-';
      counts[`${given.status} ${name}`] = (counts[`${given.status} ${name}`] ?? 0) + 1;
      if (given.status !== 200) bad.push(given);
      await new Promise((done) => setTimeout(done, 2));
    }
    own.destroy();
  });
  return {
    async stop() {
      going = false;
      await Promise.all(loops);
      return { counts, bad: bad.slice(0, 5) };
    },
  };
}

const loads = new Map<number, ReturnType<typeof load>>();
const say = (id: number, value: unknown): void => void process.stdout.write(`${JSON.stringify({ id, value })}\n`);

for await (const line of createInterface({ input: process.stdin })) {
  const { id, ask, begin, end } = JSON.parse(line) as { id: number; ask?: Ask; begin?: Load; end?: number };
  if (ask !== undefined) void answer(ask, agent).then((given) => say(id, given));
  if (begin !== undefined) {
    loads.set(id, load(begin));
    say(id, id);
  }
  if (end !== undefined)
    void loads
      .get(end)
      ?.stop()
      .then((counts) => say(id, counts));
}
agent.destroy();
