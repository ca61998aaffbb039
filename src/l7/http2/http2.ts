// HTTP/2 of one worker: of its clients and to its upstreams.
import type { Engine } from '../transport.ts';
import { Outbox } from './frames.ts';
import { Http2Server } from './server.ts';
import type { Http2Options } from './server.ts';
import { Http2Upstream } from './upstream.ts';

export class Http2 {
  readonly server: Http2Server;
  readonly upstream: Http2Upstream;
  private readonly box: Outbox;
  private readonly o: Http2Options;

  constructor(engine: Engine, o: Http2Options) {
    this.o = o;
    this.box = new Outbox(engine);
    this.server = new Http2Server(engine, this.box, o);
    this.upstream = new Http2Upstream(engine, this.box, o);
  }

  /** Before the first row of a batch. */
  batch(): void {
    this.box.nowMs = this.o.clock.monotonic();
  }

  /** A row of kind BYTES or OUTPUT. */
  row(base: number): void {
    if (this.upstream.takes(base)) this.upstream.row(base);
    else this.server.row(base);
  }

  /** After the last row. */
  flush(): void {
    this.box.flush();
  }
}
