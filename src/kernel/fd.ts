import { addon } from './addon.ts';
import { KernelError } from './errno.ts';

const leaks = new FinalizationRegistry<{ fd: number; what: string }>((held) => {
  addon().fdClose(held.fd);
  process.emitWarning(`${held.what} was not closed`, { code: 'MIDPLANE_LEAK' });
});

/** A descriptor of the addon's that is closed once. One that is forgotten is closed when it is collected, with a
 * warning, and at the latest when its thread ends. */
export class Descriptor implements Disposable {
  readonly #what: string;
  #fd: number;

  constructor(fd: number, what: string) {
    this.#fd = fd;
    this.#what = what;
    addon().fdOwn(fd);
    leaks.register(this, { fd, what }, this);
  }

  /** The number; throws KernelError EBADF after close. */
  get fd(): number {
    if (this.#fd < 0) throw new KernelError('EBADF', this.#what, 'used after close');
    return this.#fd;
  }

  close(): void {
    if (this.#fd < 0) return;
    const fd = this.#fd;
    this.#fd = -1;
    leaks.unregister(this);
    addon().fdClose(fd);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
