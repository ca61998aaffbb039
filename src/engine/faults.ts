// Every way in which the world can fail us, in one place: the same code in CLI, API and log.

/** What each fault code means. A code never changes its meaning and is never removed. */
export const faultCodes = {
  'already-exists': 'something that this instance did not make stands in the way',
  'no-device': 'the network device does not exist',
  'no-image': 'the image is not there and could not be had',
  'in-use': 'the address, port or name is taken',
  'not-permitted': 'the kernel refused for lack of a privilege',
  'not-supported': 'the kernel or a program lacks this feature',
  'table-full': 'a table has no room left',
  'disk-full': 'no room left on the disk',
  unreadable: 'a file of the state folder does not hold what was written to it',
  refused: 'the kernel or a program refused the request',
  timeout: 'no answer in time',
  'not-verified': 'the world does not show what was applied',
  'base-moved': 'the running revision changed since the candidate was made',
  busy: 'another change is under way',
  unreachable: 'no answer from the other side',
  'not-found': 'no such thing',
  cancelled: 'cancelled before it was done',
} as const;

export type FaultCode = keyof typeof faultCodes;

/** An expected failure of the world. `what` names the thing (a ref, a port), `why` the cause in words; `retry` says if
 * trying again unchanged can help. */
export interface Fault {
  readonly code: FaultCode;
  readonly what: string;
  readonly why: string;
  readonly retry: boolean;
}

/** Carries a Fault through code that can only throw: drivers throw it, the engine catches it and returns its `fault`.
 * */
export class FaultError extends Error {
  readonly fault: Fault;
  constructor(code: FaultCode, what: string, why: string, retry = false) {
    super(`${what}: ${why} (${code})`);
    this.name = 'FaultError';
    this.fault = { code, what, why, retry };
  }
}

/** The Fault in any thrown value: an unknown error is a broken invariant, so it is thrown on. */
export function faultOf(error: unknown): Fault {
  if (error instanceof FaultError) return error.fault;
  throw error;
}
