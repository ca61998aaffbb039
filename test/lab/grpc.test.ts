// GRPCRoutes and gRPC-web from manifests, through the router, to gRPC's own interop programs and to grpc-js.
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { eventually } from '../fake/eventually.ts';
import { startRouter } from '../../src/l7/router.ts';
import { accepts, sleep, patienceMs } from '../fake/l7.ts';
import { serveManifests } from '../fake/l7-manifests.ts';
import { freePort } from '../fake/port.ts';

const program = (name: string): string => fileURLToPath(new URL(`../../native/build/grpc/${name}`, import.meta.url));
const skip = !existsSync(program('client')) && "gRPC's interop programs are missing: run native/setup.sh";

const manifests = (port: number): string => `
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: { name: edge }
spec: { gatewayClassName: midplane, listeners: [{ name: g, port: ${port}, protocol: HTTP }] }
---
apiVersion: gateway.networking.k8s.io/v1
kind: GRPCRoute
metadata: { name: interop }
spec:
  parentRefs: [{ name: edge }]
  rules:
    - matches: [{ method: { service: grpc.testing.TestService, method: EmptyCall } }]
      backendRefs: [{ name: go, port: 80 }]
    - matches: [{ method: { service: grpc.testing.TestService }, headers: [{ name: x-grpc-test-echo-initial, value: test_initial_metadata_value }] }]
      filters: [{ type: ResponseHeaderModifier, responseHeaderModifier: { add: [{ name: x-by, value: route }] } }]
      backendRefs: [{ name: go, port: 80, weight: 1 }]
    - matches: [{ method: { type: RegularExpression, method: "Streaming.*" } }]
      backendRefs: [{ name: go, port: 80 }]
`;

test(
  'GRPCRoutes: method, header, expression; what none takes is UNIMPLEMENTED; gRPC-web by appProtocol',
  { skip },
  async () => {
    const [port, behind] = [await freePort(), await freePort()];
    const server = spawn(program('server'), ['-port', String(behind)], { stdio: 'ignore' });
    await using router = startRouter({ workers: 1, ackMs: patienceMs });
    try {
      for (let i = 0; i < 200 && !(await accepts(behind)); i += 1) await sleep(20);
      assert.ok(await router.started());
      const go = { port: 80, 'app-protocol': 'grpc-web', endpoints: { one: { address: '127.0.0.1', port: behind } } };
      await serveManifests(router, manifests(port), { go });
      const run = (name: string): Promise<string> =>
        new Promise((resolve) => {
          const args = ['-server_host', '127.0.0.1', '-server_port', String(port), '-test_case', name];
          execFile(program('client'), args, { timeout: 10_000 }, (error, _, err) =>
            resolve(error === null ? 'ok' : err),
          );
        });
      assert.equal(await run('empty_unary'), 'ok');
      assert.equal(await run('server_streaming'), 'ok', 'by an expression');
      assert.equal(await run('custom_metadata'), 'ok', 'by a header');
      assert.match(await run('large_unary'), /Unimplemented desc = Not Found/, 'no route');
      const called = await fetch(`http://127.0.0.1:${port}/grpc.testing.TestService/EmptyCall`, {
        method: 'POST',
        headers: { 'content-type': 'application/grpc-web+proto' },
        body: Buffer.alloc(5),
      });
      const body = Buffer.from(await called.arrayBuffer());
      assert.equal(called.headers.get('content-type'), 'application/grpc-web+proto');
      assert.deepEqual([...body.subarray(0, 6)], [0, 0, 0, 0, 0, 0x80]);
      assert.match(body.subarray(10).toString(), /^grpc-status: 0\r\n/m);
      // What an answer was is counted behind it.
      await eventually(() => {
        const stats = router.routeStats().find((row) => row.route === 'grpcroute/default/interop/0/0');
        assert.equal(stats?.requests, 2);
      });
    } finally {
      server.kill();
    }
  },
);
