// Whether bytes begin like HTTP: a method, a space, and a target; or the preface of HTTP/2.
const MAX_METHOD = 32;

/** 1: they do; 0: they may yet; -1: they do not. */
export function likeHttp(a: Uint8Array, off: number, end: number): number {
  let p = off;
  // RFC 9112 2.2: an empty line before is passed over.
  if (p < end && a[p] === 13) {
    if (p + 1 < end && a[p + 1] !== 10) return -1;
    p += 2;
  }
  const start = p;
  while (p < end && a[p]! >= 65 && a[p]! <= 90) p += 1;
  if (p - start > MAX_METHOD) return -1;
  if (p >= end) return 0;
  if (a[p] !== 32 || p === start) return -1;
  if (p + 1 >= end) return 0;
  return a[p + 1]! > 32 && a[p + 1]! < 127 ? 1 : -1;
}
