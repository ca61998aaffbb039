// Host names with a leading wildcard, as Gateway API, Istio and Envoy all have them: "*.example.com" stands for one or
// more labels before the suffix, "*" for any host.

/** Whether every host that `narrow` stands for is among those of `wide`. */
export function covers(wide: string, narrow: string): boolean {
  if (wide === '*' || wide === narrow) return true;
  return wide.startsWith('*.') && narrow.length > wide.length - 1 && narrow.endsWith(wide.slice(1));
}

/** All names that cover a host, the most specific first. */
export function coveringNames(host: string): readonly string[] {
  const names = [host];
  for (let dot = host.indexOf('.'); dot > 0; dot = host.indexOf('.', dot + 1)) names.push(`*${host.slice(dot)}`);
  return [...new Set(names), ...(host === '*' ? [] : ['*'])];
}

/** The hosts in both, or undefined where there are none. */
export function intersect(a: string, b: string): string | undefined {
  if (covers(a, b)) return b;
  return covers(b, a) ? a : undefined;
}

/** Less than 0 where `a` is more specific: an exact name, then the longer wildcard, then "*"
 * (HTTPRouteSpec.hostnames). */
export function compareHosts(a: string, b: string): number {
  const rank = (host: string): number => (host.startsWith('*') ? host.length : 1000 + host.length);
  return rank(b) - rank(a);
}
