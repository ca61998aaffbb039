// HTTP servers in the namespace that this is started in, one for each NAME=PORT: each answers with who it is and what
// it was asked. "slow..." answers after ten seconds. Who upgrades gets back what it says.
import { createServer } from 'node:http';

const servers = process.argv.slice(2).map((word) => {
  const [name = '', port = ''] = word.split('=');
  const server = createServer((request, response) => {
    const { method, url, rawHeaders } = request;
    request.resume();
    response.setHeaders(
      new Map([
        ['x-backend', name],
        ['x-up', '1'],
        ['server', 'up'],
      ]),
    );
    const body = JSON.stringify({ name, method, url, rawHeaders });
    const answer = () => response.end(body);
    if (name.startsWith('slow')) setTimeout(answer, 10_000).unref();
    else request.once('end', answer);
  });
  server.on('upgrade', (_, socket) => {
    socket.on('error', () => undefined);
    socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n');
    socket.pipe(socket);
  });
  // Longer than the routers keep an idle connection, so that no request meets a closing one.
  server.keepAliveTimeout = 300_000;
  return new Promise<void>((done) => server.listen(Number(port), '0.0.0.0', done));
});
await Promise.all(servers);
process.stdout.write('listening\n');
