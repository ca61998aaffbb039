// What Gateway API's own validation (CEL in its CRDs) asks beyond the shape of the fields.
import type { Path } from '../../../config/path.ts';
import type { Rules } from '../read.ts';
import type { GatewaySpec, GrpcRouteSpec, HttpRouteFilter, HttpRouteRule, HttpRouteSpec } from './schema.ts';
import type { StreamRouteSpec } from './schema.ts';

type Complain = Parameters<Rules<unknown>>[1];

/** Rules of an HTTPRoute. */
export const httpRouteRules: Rules<HttpRouteSpec> = (spec, complain) => {
  for (const [r, rule] of spec.rules.entries()) {
    filterRules(rule.filters, ['rules', r, 'filters'], complain);
    actionRules(rule, ['rules', r], complain);
    backendRules(rule.backendRefs, ['rules', r, 'backendRefs'], complain);
  }
};

/** Rules of a GRPCRoute. */
export const grpcRouteRules: Rules<GrpcRouteSpec> = (spec, complain) => {
  for (const [r, rule] of spec.rules.entries()) {
    filterRules(rule.filters, ['rules', r, 'filters'], complain);
    backendRules(rule.backendRefs, ['rules', r, 'backendRefs'], complain);
  }
};

function backendRules(refs: HttpRouteRule['backendRefs'], at: Path, complain: Complain): void {
  for (const [b, ref] of refs.entries()) {
    const path = [...at, b];
    filterRules(ref.filters, [...path, 'filters'], complain);
    if (ref.group === '' && ref.kind === 'Service' && ref.port === undefined) {
      complain(path, 'port is missing', 'a Service needs one');
    }
    const host = ref.filters.some(
      (f) => f.type === 'RequestHeaderModifier' && f.requestHeaderModifier.set.some((h) => h.name === 'host'),
    );
    if (host) complain([...path, 'filters'], 'the Host header is set for a whole rule only');
  }
}

/** Rules of a TCPRoute or TLSRoute. */
export const streamRouteRules: Rules<StreamRouteSpec> = (spec, complain) => {
  for (const [r, rule] of spec.rules.entries()) {
    for (const [b, ref] of rule.backendRefs.entries()) {
      if (ref.group !== '' || ref.kind !== 'Service' || ref.port !== undefined) continue;
      complain(['rules', r, 'backendRefs', b], 'port is missing', 'a Service needs one');
    }
  }
};

function filterRules(filters: readonly HttpRouteFilter[], path: Path, complain: Complain): void {
  for (const [i, filter] of filters.entries()) {
    if (filters.findIndex((other) => other.type === filter.type) !== i) {
      complain([...path, i], `${filter.type} can't be repeated in one rule`);
    }
    if (filter.type !== 'RequestHeaderModifier') continue;
    const { add, remove } = filter.requestHeaderModifier;
    if (add.some((h) => h.name === 'host') || remove.includes('host')) {
      complain([...path, i], 'the Host header can be set, not added or removed');
    }
  }
}

function actionRules(rule: HttpRouteRule, path: Path, complain: Complain): void {
  const redirect = rule.filters.findIndex((f) => f.type === 'RequestRedirect');
  const rewrite = rule.filters.findIndex((f) => f.type === 'URLRewrite');
  if (redirect >= 0 && rewrite >= 0)
    complain([...path, 'filters'], 'RequestRedirect and URLRewrite exclude each other');
  if (redirect >= 0 && rule.backendRefs.length > 0) {
    complain([...path, 'backendRefs'], 'a rule with RequestRedirect has no backends');
  }
  for (const [i, filter] of rule.filters.entries()) {
    const modifier =
      filter.type === 'RequestRedirect'
        ? filter.requestRedirect.path
        : filter.type === 'URLRewrite'
          ? filter.urlRewrite.path
          : undefined;
    if (modifier?.type !== 'ReplacePrefixMatch') continue;
    if (rule.matches.every((match) => match.path.type === 'PathPrefix')) continue;
    complain([...path, 'filters', i], 'ReplacePrefixMatch needs matches with a PathPrefix');
  }
  const { request = 0, backendRequest = 0 } = rule.timeouts;
  if (request > 0 && backendRequest > request) {
    complain([...path, 'timeouts', 'backendRequest'], 'is longer than the whole request may take');
  }
}

/** Rules of a Gateway. */
export const gatewayRules: Rules<GatewaySpec> = (spec, complain) => {
  for (const [i, listener] of spec.listeners.entries()) {
    if (spec.listeners.findIndex((other) => other.name === listener.name) !== i) {
      complain(['listeners', i, 'name'], `"${listener.name}" is the name of another listener`);
    }
    if ((listener.protocol === 'HTTP' || listener.protocol === 'TCP') && listener.tls !== undefined) {
      complain(['listeners', i, 'tls'], `has no meaning with protocol ${listener.protocol}`);
    }
    if (listener.protocol === 'HTTPS' && listener.tls?.mode === 'Passthrough') {
      complain(
        ['listeners', i, 'tls', 'mode'],
        'is Terminate with protocol HTTPS',
        'TLS is passed through with protocol TLS',
      );
    } else if (listener.protocol === 'HTTPS' && (listener.tls?.certificateRefs ?? []).length === 0) {
      complain(['listeners', i], 'tls.certificateRefs is missing: HTTPS needs a certificate');
    }
    if (listener.protocol === 'TCP' && listener.hostname !== undefined) {
      complain(['listeners', i, 'hostname'], 'has no meaning with protocol TCP');
    }
    const { from, selector } = listener.allowedRoutes.namespaces;
    if (from === 'Selector' && selector === undefined) {
      complain(['listeners', i, 'allowedRoutes', 'namespaces'], 'selector is missing');
    }
  }
};
