// node attack.ts HOST:PORT SECONDS SOURCE...: every attack on an SSH server, each from the next source address, and
// at the same time clients that fall silent. Prints { attack: milliseconds until the server closed, or null }.
import { attacks, send, stages } from '../../fake/ssh-raw.ts';

const [, , target = '', seconds = '', ...sources] = process.argv;
const colon = target.lastIndexOf(':');
const at = { host: target.slice(0, colon), port: Number(target.slice(colon + 1)) };
const waitMs = Number(seconds) * 1000;
const from = (index: number): { localAddress: string } => ({ localAddress: sources[index % sources.length] ?? '' });

// Six at each stage: more than the door has room for.
const silent = Object.values(stages).flatMap((piece) => Array.from({ length: 12 }, () => piece));
const held = silent.map((piece, i) => send({ ...at, ...from(i) }, [piece], waitMs));
const closed: Record<string, number | null> = {};
for (const [i, [name, pieces]] of Object.entries(attacks).entries()) {
  const { closedMs } = await send({ ...at, ...from(i) }, pieces, waitMs);
  closed[name] = closedMs ?? null;
}
process.stdout.write(`${JSON.stringify(closed)}\n`);
const ends = (await Promise.all(held)).map(({ closedMs }) => closedMs ?? null);
process.stdout.write(`${JSON.stringify(ends)}\n`);
