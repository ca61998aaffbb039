// Texts that several kinds have in common, as schemas.
import { z } from 'zod';

const label = '[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?';

/** "example.com", "*.example.com" (Gateway API Hostname). */
export const hostname = z
  .string()
  .max(253)
  .regex(new RegExp(`^(\\*\\.)?${label}(\\.${label})*$`), 'not a host name')
  .refine((text) => !/^[0-9.]+$/.test(text), 'an IP address is not a host name');

/** "example.com" without a wildcard. */
export const preciseHostname = z
  .string()
  .max(253)
  .regex(new RegExp(`^${label}(\\.${label})*$`), 'not a host name without wildcard');

/** RFC 9110 field name; pseudo headers can't be named. Lower case comes out. */
export const headerName = z
  .string()
  .max(256)
  .regex(/^[A-Za-z0-9!#$%&'*+\-.^_`|~]+$/, 'not a header name')
  .transform((name) => name.toLowerCase());

/** RFC 9110 field value: visible text, spaces and tabs inside, no line ends. */
export const headerValue = z
  .string()
  .max(4096)
  // oxlint-disable-next-line no-control-regex
  .regex(/^[^\u0000-\u0008\u000a-\u001f\u007f]*$/, 'a header value has no control characters')
  .refine((value) => value.trim() === value, 'a header value has no space at its ends');

export const portNumber = z.int().min(1).max(65535);

export const method = z.string().regex(/^[A-Z]+$/, 'not a method');

/** A regular expression that RE2 (Envoy) and JavaScript read alike: no look-around, no backreference. */
export const regex = z
  .string()
  .min(1)
  .max(1024)
  .refine((text) => !/\(\?(?!:)/.test(text), 'groups are plain or (?: here: no look-around, no flags, no names')
  .refine((text) => !/\\[1-9]/.test(text), 'a backreference is not possible')
  .refine((text) => !/\\(?![dDwWsSbBnrtfv\\/.*+?()[\]{}|^$-])/.test(text), 'an escape that engines read differently')
  .refine(isRegex, 'not a regular expression');

function isRegex(text: string): boolean {
  try {
    return new RegExp(text) instanceof RegExp;
  } catch {
    return false;
  }
}

/** Milliseconds of a duration: GEP-2257 ("1h30m", "10s", "500ms"), or Istio's decimals ("1.5s"). */
export const durationMs = z
  .string()
  .regex(/^([0-9]{1,5}(\.[0-9]{1,3})?(h|ms|m|s)){1,4}$/, 'not a duration like "10s" or "1m30s"')
  .transform((text) => {
    const unitMs: Readonly<Record<string, number>> = { h: 3_600_000, m: 60_000, s: 1000, ms: 1 };
    const parts = text.matchAll(/([0-9.]+)(h|ms|m|s)/g);
    return Math.round(parts.reduce((sum, [, n, unit]) => sum + Number(n) * (unitMs[unit ?? ''] ?? 0), 0));
  });

/** An absolute path without query or fragment. */
export const urlPath = z
  .string()
  .max(1024)
  .regex(/^\/[^?#\s]*$/, 'a path begins with "/" and has no query');
