/** The service that a host of a manifest in `namespace` names: "reviews" in that namespace, "reviews.ns",
 * "reviews.ns.svc" and "reviews.ns.svc.cluster.local" anywhere; undefined for hosts outside the mesh. */
export function serviceOfHost(
  host: string,
  namespace: string,
): { readonly namespace: string; readonly name: string } | undefined {
  const [name = '', ns = namespace, ...rest] = host.replace(/\.svc(\.cluster\.local)?$/, '').split('.');
  return rest.length > 0 || name.includes('*') ? undefined : { namespace: ns, name };
}
