// How long the certificates that the router shows are good for: for "show http certificates", and for the log.
import { X509Certificate } from 'node:crypto';
import { z } from 'zod';
import { type Clock, every } from '../../lib/clock.ts';
import { table } from '../../lib/table.ts';
import type { Secret, Snapshot } from '../../mesh/snapshot.ts';

const DAY_MS = 86_400_000;
/** That near to its end a certificate is about to expire; one that lives less than thrice that, in its last third. */
const SOON_MS = 14 * DAY_MS;

export const certificatesData = z.array(
  z.object({
    secret: z.string(),
    subject: z.string(),
    names: z.string(),
    from: z.iso.datetime(),
    until: z.iso.datetime(),
    state: z.enum(['good', 'expires soon', 'expired', 'not yet valid']),
  }),
);

export type Certificates = z.infer<typeof certificatesData>;

const parsed = new WeakMap<Secret, X509Certificate>();

/** The certificate of a secret, without those of its chain. */
function leafOf(secret: Secret): X509Certificate {
  const leaf = parsed.get(secret) ?? new X509Certificate(secret.chain ?? '');
  parsed.set(secret, leaf);
  return leaf;
}

/** Those of listeners, and those that are shown to upstreams. */
export function certificates(snapshot: Snapshot | undefined, nowMs: number): Certificates {
  return (snapshot?.secrets ?? [])
    .filter((secret) => secret.chain !== undefined)
    .map((secret) => {
      const leaf = leafOf(secret);
      const [from, until] = [Date.parse(leaf.validFrom), Date.parse(leaf.validTo)];
      return {
        secret: secret.name,
        subject: leaf.subject?.replaceAll('\n', ', ') ?? '',
        names: leaf.subjectAltName ?? '',
        from: new Date(from).toISOString(),
        until: new Date(until).toISOString(),
        state: stateOf(from, until, nowMs),
      };
    });
}

function stateOf(from: number, until: number, now: number): Certificates[number]['state'] {
  if (now >= until) return 'expired';
  if (now < from) return 'not yet valid';
  return until - now < Math.min(SOON_MS, (until - from) / 3) ? 'expires soon' : 'good';
}

/** "default/shop (CN=shop) expired 2026-01-01T00:00:00.000Z", of one that is not good. */
export function complaint({ secret, subject, from, until, state }: Certificates[number]): string | undefined {
  if (state === 'good') return undefined;
  const what = {
    expired: `expired ${until}`,
    'expires soon': `expires ${until}`,
    'not yet valid': `is valid from ${from}`,
  };
  return `the certificate in ${secret} (${subject}) ${what[state]}`;
}

/** One line each. */
export function renderCertificates(data: Certificates, columns: number): string {
  if (data.length === 0) return 'no certificates\n';
  const heads = [
    { title: 'Secret', flex: true },
    { title: 'Names', flex: true },
    { title: 'Until' },
    { title: 'State' },
  ];
  return table(
    heads,
    data.map((c) => [c.secret, c.names || c.subject, c.until.slice(0, 16).replace('T', ' '), c.state]),
    columns,
  );
}

const LOOK_MS = 60_000;
const AGAIN_MS = 86_400_000;

interface Running {
  running(): Snapshot | undefined;
}

interface Warnings {
  warn(what: object, text: string): void;
}

/** Says in the log which certificates are about to expire: when one comes, and once a day. Looks every minute, until it
 * is disposed of. */
export function watchCertificates(router: Running, log: Warnings, clock: Clock): Disposable {
  /** When each complaint was last said. */
  let said = new Map<string, number>();
  const look = (): void => {
    const now = clock.now();
    const still = new Map<string, number>();
    for (const one of certificates(router.running(), now)) {
      const text = complaint(one);
      if (text === undefined) continue;
      const last = said.get(text);
      const again = last === undefined || now - last >= AGAIN_MS;
      if (again) log.warn({ secret: one.secret, until: one.until }, text);
      still.set(text, again ? now : last);
    }
    said = still;
  };
  const timers = new DisposableStack();
  timers.use(clock.after(0, look));
  timers.use(every(clock, LOOK_MS, look));
  return timers;
}
