// node carrier.ts HOST:PORT...: runs in the switch's namespace, takes connections on descriptors 3, 4, ... that the lab
// has opened in the machine's namespace, and carries each to its address.
import { connect, createServer } from 'node:net';

for (const [i, target] of process.argv.slice(2).entries()) {
  const colon = target.lastIndexOf(':');
  const at = { host: target.slice(0, colon), port: Number(target.slice(colon + 1)) };
  createServer({ allowHalfOpen: true }, (client) => {
    const inner = connect({ ...at, allowHalfOpen: true });
    client.on('error', () => inner.destroy()).pipe(inner);
    inner.on('error', () => client.destroy()).pipe(client);
  }).listen({ fd: 3 + i });
}
