// What JavaScript may ask of an engine's TLS.
#include "tls.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MAX_NAMES 64
#define MAX_NAMES_TEXT 16384

// l7TlsContext(engine, server, verify: 0 nobody, 1 who gives a certificate, 2 all, only13, alpn as it is on the wire,
// policy, ca, crl): id. Sessions are resumed only between contexts of one policy.
static napi_value l7_tls_context(napi_env env, napi_callback_info info)
{
	struct call c = call_of(env, info);
	struct engine *e = engine_of(&c);
	struct rules rules = { 0 };
	uint32_t verify;
	if (!e || !arg_bool(&c, 1, "server", &rules.server) || !arg_u32(&c, 2, "verify", 2, &verify) ||
	    !arg_bool(&c, 3, "only13", &rules.only_13) || !arg_bytes(&c, 4, "alpn", &rules.alpn) ||
	    !arg_bytes(&c, 5, "policy", &rules.policy) || !arg_optional_bytes(&c, 6, "ca", &rules.ca) ||
	    !arg_optional_bytes(&c, 7, "crl", &rules.crl))
		return NULL;
	if (rules.alpn.size > 255 || rules.policy.size > MAX_POLICY)
		return throw_range(env, "alpn");
	rules.verify = (uint8_t)verify;
	const char *why = NULL;
	struct context *context = context_open(e, &rules, &why);
	return context ? u32_value(env, context->id) : throw_errno(env, EINVAL, why, "TLS context");
}

static struct context *context_of(const struct call *c, struct engine *e)
{
	uint32_t id;
	struct context *context = e && arg_u32(c, 1, "context", UINT32_MAX, &id) ? context_find(e, id) : NULL;
	bool pending = false;
	napi_is_exception_pending(c->env, &pending);
	if (e && !context && !pending)
		throw_range(c->env, "context");
	return context;
}

// l7TlsCertificate(engine, context, chain, key): one more of another kind of key, or in place of one of the same kind.
static napi_value l7_tls_certificate(napi_env env, napi_callback_info info)
{
	struct call c = call_of(env, info);
	struct context *context = context_of(&c, engine_of(&c));
	struct bytes chain, key;
	if (!context || !arg_bytes(&c, 2, "chain", &chain) || !arg_bytes(&c, 3, "key", &key))
		return NULL;
	const char *why = context_certify(context, chain, key);
	return why ? throw_errno(env, EINVAL, why, "certificate") : NULL;
}

// l7DropTlsContext(engine, context): open connections keep what they have.
static napi_value l7_drop_tls_context(napi_env env, napi_callback_info info)
{
	struct call c = call_of(env, info);
	struct engine *e = engine_of(&c);
	uint32_t id;
	if (!e || !arg_u32(&c, 1, "context", UINT32_MAX, &id))
		return NULL;
	struct context *context = context_find(e, id);
	if (context)
		context_drop(e, context);
	return NULL;
}

// l7TicketKeys(engine, keys: of this time, then of the last)
static napi_value l7_ticket_keys(napi_env env, napi_callback_info info)
{
	struct call c = call_of(env, info);
	struct engine *e = engine_of(&c);
	struct bytes keys;
	if (!e || !arg_bytes(&c, 1, "keys", &keys))
		return NULL;
	struct tls *tls = tls_of(e);
	if (!tls || keys.size != sizeof(tls->keys))
		return tls ? throw_range(env, "keys") : throw_errno(env, ENOMEM, NULL, "ticket keys");
	memcpy(tls->keys, keys.data, sizeof(tls->keys));
	return NULL;
}

void endpoint_plain(struct endpoint *p)
{
	if (p->context)
		context_release(p->context);
	if (p->expected)
		expected_free(p->expected);
	free(p->expected);
	p->context = NULL;
	p->expected = NULL;
}

static struct expected *expected_of(const char *server_name, char *names)
{
	struct expected *x = calloc(1, sizeof(*x));
	char *rest = NULL;
	bool ok = x != NULL;
	if (ok && server_name[0])
		ok = (x->server_name = strdup(server_name)) != NULL;
	if (ok)
		ok = (x->names = calloc(MAX_NAMES, sizeof(*x->names))) != NULL;
	for (char *name = strtok_r(names, "\n", &rest); ok && name; name = strtok_r(NULL, "\n", &rest)) {
		ok = x->count < MAX_NAMES && (x->names[x->count] = strdup(name)) != NULL;
		x->count += ok;
	}
	if (ok)
		return x;
	if (x)
		expected_free(x);
	free(x);
	return NULL;
}

// l7EndpointTls(engine, context, endpoint, serverName, names): connections to it speak TLS from now on, to who has one
// of the names (a line each: hosts, addresses, URIs), if there are any.
static napi_value l7_endpoint_tls(napi_env env, napi_callback_info info)
{
	struct call c = call_of(env, info);
	struct engine *e = engine_of(&c);
	struct context *context = context_of(&c, e);
	uint32_t id;
	char server_name[256], names[MAX_NAMES_TEXT];
	if (!context || !arg_u32(&c, 2, "endpoint", UINT32_MAX, &id) ||
	    !arg_string(&c, 3, "serverName", server_name, sizeof(server_name)) ||
	    !arg_string(&c, 4, "names", names, sizeof(names)))
		return NULL;
	struct endpoint *p = endpoint_find(e, id);
	if (!p || p->open > 0 || context->server)
		return throw_range(env, "endpoint");
	endpoint_plain(p);
	p->expected = expected_of(server_name, names);
	if (!p->expected)
		return throw_range(env, "names");
	p->context = context;
	context->holders += 1;
	return NULL;
}

void register_l7_tls(napi_env env, napi_value exports)
{
	export_function(env, exports, "l7TlsContext", l7_tls_context);
	export_function(env, exports, "l7TlsCertificate", l7_tls_certificate);
	export_function(env, exports, "l7DropTlsContext", l7_drop_tls_context);
	export_function(env, exports, "l7TicketKeys", l7_ticket_keys);
	export_function(env, exports, "l7EndpointTls", l7_endpoint_tls);
}
