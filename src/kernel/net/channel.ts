import { addon, Descriptor } from '../addon.ts';
import { KernelError } from '../errno.ts';
import { inNetns } from '../netns.ts';
import { concatBytes, decodeMessages, encodeMessage, NLM_F_ACK, NLM_F_DUMP } from '../../wire/netlink/message.ts';
import type { Message, Request } from '../../wire/netlink/message.ts';

const NETLINK_ROUTE = 0;
const maxBatch = 128;
const maxBatchBytes = 64 * 1024;
const dumpAttempts = 8;

/** The kernel's answer to one request of a batch: 0, or an errno with its words. */
export interface Outcome {
  readonly errno: number;
  readonly text: string;
}

/** An rtnetlink socket in a namespace: it stays there wherever the thread goes. */
export class Channel implements Disposable {
  readonly #socket: Descriptor;
  #seq = 0;

  constructor(netns: string | undefined) {
    const fd = inNetns(netns, () => addon().netlinkOpen(NETLINK_ROUTE));
    this.#socket = new Descriptor(fd, `netlink socket in ${netns ?? 'the own namespace'}`);
  }

  get fd(): number {
    return this.#socket.fd;
  }

  #take(count: number): number {
    if (this.#seq > 0xffff_0000) this.#seq = 0;
    const first = this.#seq + 1;
    this.#seq += count;
    return first;
  }

  /** The messages of the answer. A dump that the kernel says changed meanwhile is read again, eight times at most (on a
   * table that never stands still the last reading is as good as any). KernelError for a refusal. */
  query(request: Request): readonly Message[] {
    const dump = (request.flags & NLM_F_DUMP) === NLM_F_DUMP;
    const flags = dump ? request.flags : request.flags | NLM_F_ACK;
    for (let attempt = 1; ; attempt++) {
      const seq = this.#take(1);
      const { bytes, interrupted } = addon().netlinkQuery(this.fd, encodeMessage({ ...request, flags }, seq), seq);
      if (!interrupted || attempt === dumpAttempts) return [...decodeMessages(bytes)];
    }
  }

  /** As `query`, but undefined where the kernel answers with this errno. */
  queryUnless(code: string, request: Request): readonly Message[] | undefined {
    try {
      return this.query(request);
    } catch (error) {
      if (error instanceof KernelError && error.code === code) return undefined;
      throw error;
    }
  }

  /** Sends all in as few system calls as their sizes allow, in order; one outcome each. */
  batch(requests: readonly Request[]): readonly Outcome[] {
    const outcomes: Outcome[] = [];
    let chunk: Uint8Array[] = [];
    let bytes = 0;
    const flush = (): void => {
      if (chunk.length > 0) outcomes.push(...this.#exchange(chunk));
      chunk = [];
      bytes = 0;
    };
    for (const request of requests) {
      const encoded = encodeMessage({ ...request, flags: request.flags | NLM_F_ACK }, this.#take(1));
      if (chunk.length === maxBatch || bytes + encoded.length > maxBatchBytes) flush();
      chunk.push(encoded);
      bytes += encoded.length;
    }
    flush();
    return outcomes;
  }

  #exchange(chunk: readonly Uint8Array[]): Outcome[] {
    const results = new Int32Array(chunk.length);
    const texts: string[] = [];
    const messages = concatBytes(chunk);
    const firstSeq = new DataView(messages.buffer).getUint32(8, true);
    addon().netlinkBatch(this.fd, messages, firstSeq, results, texts);
    return Array.from(results, (errno, i) => ({ errno, text: texts[i] ?? '' }));
  }

  close(): void {
    this.#socket.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
