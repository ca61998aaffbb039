/** A system call's failure: `code` is the errno's name ("EEXIST"), `what` the call and its subject. */
export class KernelError extends Error {
  readonly code: string;
  readonly what: string;
  constructor(code: string, what: string, detail = '') {
    super(`${what}: ${code}${detail === '' ? '' : `: ${detail}`}`);
    this.name = 'KernelError';
    this.code = code;
    this.what = what;
  }
}
