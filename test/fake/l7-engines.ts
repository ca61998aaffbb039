// Tests that every engine of the router must pass: each is run once an engine, and rig() finds the one of its test.
import { AsyncLocalStorage } from 'node:async_hooks';
import { closeSync } from 'node:fs';
import { test as nodeTest } from 'node:test';
import { openNetEngine } from '../../src/l7/net/engine.ts';
import { openEngine as openNative } from '../../src/l7/transport-native.ts';
import { tcpBind } from '../../src/kernel/socket.ts';
import type { Engine, EngineOptions, HelloMode } from '../../src/l7/transport.ts';

type Open = (o: EngineOptions) => Engine;

const current = new AsyncLocalStorage<Open>();
const engines: Readonly<Record<string, Open>> = { native: openNative, 'node:net': (o) => openNetEngine(o) };
export const engineNames = Object.keys(engines);

/** Runs the body with the engine of that name for each that it opens. */
export function onEngine<T>(name: string, body: () => T): T {
  return current.run(engines[name]!, body);
}

/** A test an engine. */
export function test(name: string, body: () => Promise<void>): void {
  for (const engine of engineNames) nodeTest(`${name} (${engine})`, () => onEngine(engine, body));
}

/** Opens the engine that the running test is about; outside of such a test, the product's. */
export function openEngine(o: EngineOptions): Engine {
  return (current.getStore() ?? openNative)(o);
}

/** Listens on a port of loopback: the engine alone has the socket. Gives the listener. */
export function listenAt(engine: Engine, port: number, hello?: HelloMode): number {
  const fd = tcpBind({ address: '127.0.0.1', port, reusePort: true, nonBlocking: true });
  const listener = engine.listener(hello);
  engine.accept(listener, fd);
  closeSync(fd);
  return listener;
}
