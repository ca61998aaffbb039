// What Istio's own validation asks beyond the shape of the fields.
import { covers } from '../hostname.ts';
import type { Rules } from '../read.ts';
import type { DestinationRuleSpec, IstioHeaders, VirtualServiceSpec } from './schema.ts';

/** Rules of a VirtualService. */
export const virtualServiceRules: Rules<VirtualServiceSpec> = (spec, complain) => {
  for (const [i, http] of spec.http.entries()) {
    const path = ['http', i];
    const actions = [http.route.length > 0, http.redirect !== undefined, http.directResponse !== undefined];
    if (actions.filter(Boolean).length !== 1) complain(path, 'has exactly one of route, redirect and directResponse');
    if (http.rewrite !== undefined && http.route.length === 0) complain([...path, 'rewrite'], 'needs a route');
    if (http.rewrite?.uri !== undefined && http.match.some((m) => m.uri?.regex !== undefined)) {
      complain([...path, 'rewrite', 'uri'], 'with a regex match the whole path would be replaced: write two rules');
    }
    if (http.redirect?.port !== undefined && http.redirect.derivePort !== undefined) {
      complain([...path, 'redirect'], 'has one of port and derivePort');
    }
    if (http.route.length > 1 && http.route.every((r) => (r.weight ?? 0) === 0)) {
      complain([...path, 'route'], 'the weights add up to nothing');
    }
    if (editsHost(http.headers)) complain([...path, 'headers'], 'the Host header can be set, not added or removed');
    for (const [r, { headers }] of http.route.entries()) {
      const set = Object.keys(headers?.request?.set ?? {}).some(isHost);
      if (set || editsHost(headers)) {
        complain([...path, 'route', r, 'headers'], 'the Host header is set for a whole rule only');
      }
    }
  }
  streamRules(spec, complain);
};

const streamRules: Rules<VirtualServiceSpec> = (spec, complain) => {
  if (spec.tls.length > 0 && spec.gateways.includes('mesh')) {
    complain(['tls'], 'is supported for Gateways, not for the mesh');
  }
  for (const kind of ['tcp', 'tls'] as const) {
    for (const [i, { route }] of spec[kind].entries()) {
      if (route.length > 1 && route.every((r) => (r.weight ?? 0) === 0)) {
        complain([kind, i, 'route'], 'the weights add up to nothing');
      }
    }
  }
  for (const [i, { match }] of spec.tls.entries()) {
    for (const [m, { sniHosts }] of match.entries()) {
      const strange = sniHosts.find((name) => !spec.hosts.some((host) => covers(host, name)));
      if (strange !== undefined) complain(['tls', i, 'match', m, 'sniHosts'], `"${strange}" is none of the hosts`);
    }
  }
};

/** Whether the name, lower case, is that of the Host header. */
export function isHost(name: string): boolean {
  return name === 'host' || name === ':authority';
}

function editsHost(headers: IstioHeaders | undefined): boolean {
  const { add = {}, remove = [] } = headers?.request ?? {};
  const response = Object.keys(headers?.response?.set ?? {}).includes(':authority');
  return response || [...Object.keys(add), ...remove].some(isHost);
}

/** Rules of a DestinationRule. */
export const destinationRuleRules: Rules<DestinationRuleSpec> = (spec, complain) => {
  for (const [i, { name }] of spec.subsets.entries()) {
    if (spec.subsets.findIndex((other) => other.name === name) !== i) {
      complain(['subsets', i, 'name'], `"${name}" is the name of another subset`);
    }
  }
};
