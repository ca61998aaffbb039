// What JavaScript may ask of an engine. Every number is checked; one that names nothing is ignored.
#include "l7.h"
#include "tls/tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MAX_TEMPLATE 65536
#define MAX_TEMPLATES 65536

struct engine *engine_of(const struct call *c)
{
	void *e = NULL;
	if (napi_get_value_external(c->env, c->args[0], &e) != napi_ok) {
		throw_type(c->env, "engine");
		return NULL;
	}
	return ((struct engine *)e)->closed ? NULL : e;
}

static void on_engine_finalized(napi_env env, void *data, void *hint)
{
	(void)env;
	(void)hint;
	engine_shut(data);
	engine_release(data);
}

static void on_memory_finalized(napi_env env, void *data, void *hint)
{
	(void)env;
	(void)data;
	engine_release(hint);
}

static napi_value memory_of(napi_env env, struct engine *e, void *data, size_t size, napi_typedarray_type type,
			    size_t count)
{
	napi_value buffer = NULL, view = NULL;
	e->holders += 1;
	if (napi_create_external_arraybuffer(env, data, size, on_memory_finalized, e, &buffer) != napi_ok) {
		e->holders -= 1;
		return NULL;
	}
	napi_create_typedarray(env, type, count, buffer, 0, &view);
	return view;
}

// l7Open(onBatch, times: 6 words, tickMs, maxConnections, maxPerEndpoint, maxHeldBytes,
// maxStreams, home): { engine, arena, rows, known }.
static napi_value l7_open(napi_env env, napi_callback_info info)
{
	struct call c = call_of(env, info);
	struct bytes words;
	struct times times;
	uint32_t tick, connections, per_endpoint, held, streams, home;
	napi_value on_batch, result = NULL, handle = NULL;
	if (!arg_function(&c, 0, "onBatch", &on_batch) || !arg_bytes(&c, 1, "times", &words) ||
	    !arg_u32(&c, 2, "tickMs", 1000, &tick) || !arg_u32(&c, 3, "maxConnections", SLOTS - 1, &connections) ||
	    !arg_u32(&c, 4, "maxPerEndpoint", SLOTS, &per_endpoint) || !arg_u32(&c, 5, "maxHeldBytes", INT32_MAX, &held) ||
	    !arg_u32(&c, 6, "maxStreams", SLOTS - 1 - connections, &streams) ||
	    !arg_u32(&c, 7, "home", UINT32_MAX, &home))
		return NULL;
	if (words.size != sizeof(times) || tick == 0 || connections == 0)
		return throw_range(env, "times");
	memcpy(&times, words.data, sizeof(times));
	struct engine *e = engine_new(&times, tick, connections, streams, per_endpoint, held);
	if (!e)
		return throw_errno(env, ENOMEM, NULL, "l7 engine");
	e->home = home;
	int error = engine_start(e, env, on_batch);
	if (error) {
		engine_release(e);
		return throw_errno(env, error, NULL, "l7 engine");
	}
	napi_create_external(env, e, on_engine_finalized, NULL, &handle);
	napi_create_object(env, &result);
	set_value(env, result, "engine", handle);
	set_value(env, result, "arena", memory_of(env, e, e->arena, ARENA_BYTES, napi_uint8_array, ARENA_BYTES));
	set_value(env, result, "rows",
		  memory_of(env, e, e->rows, ROWS * ROW_WORDS * 4, napi_int32_array, ROWS * ROW_WORDS));
	set_value(env, result, "known", memory_of(env, e, e->known, SLOTS * 4, napi_int32_array, SLOTS));
	return result;
}

// l7Listener(engine, hello: LISTEN_*, tag): id. It accepts from nowhere yet.
static napi_value l7_listener(napi_env env, napi_callback_info info)
{
	struct call c = call_of(env, info);
	struct engine *e = engine_of(&c);
	uint32_t hello, tag;
	if (!e || !arg_u32(&c, 1, "hello", LISTEN_AT_ONCE, &hello) || !arg_u32(&c, 2, "tag", UINT32_MAX, &tag))
		return NULL;
	struct listener *l = listener_open(e, (uint8_t)hello, tag);
	return l ? u32_value(env, l->id) : throw_errno(env, ENOMEM, NULL, "listener");
}

// NULL: it names nothing, or an exception is pending.
static struct listener *listener_of(const struct call *c, struct engine *e)
{
	uint32_t id;
	return e && arg_u32(c, 1, "listener", UINT32_MAX, &id) ? listener_find(e, id) : NULL;
}

// l7Accept(engine, listener, fd): also from that bound socket. The descriptor stays the caller's.
static napi_value l7_accept(napi_env env, napi_callback_info info)
{
	struct call c = call_of(env, info);
	int fd;
	struct engine *e = engine_of(&c);
	struct listener *l = listener_of(&c, e);
	if (!l || !arg_fd(&c, 2, &fd))
		return NULL;
	if (!gate_open(e, l, fd))
		return throw_errno(env, errno, NULL, "listen");
	return NULL;
}

// l7Decline(engine, listener, fd): no more from that one.
static napi_value l7_decline(napi_env env, napi_callback_info info)
{
	struct call c = call_of(env, info);
	int fd;
	struct engine *e = engine_of(&c);
	struct listener *l = listener_of(&c, e);
	if (l && arg_fd(&c, 2, &fd))
		gate_close(e, l, fd);
	return NULL;
}

// l7Unlisten(engine, listener): its connections hear that they are to go.
static napi_value l7_unlisten(napi_env env, napi_callback_info info)
{
	struct call c = call_of(env, info);
	struct engine *e = engine_of(&c);
	struct listener *l = listener_of(&c, e);
	if (l)
		listener_close(e, l);
	return NULL;
}

// l7Endpoint(engine, address: 4 or 16 bytes, port, connectTimeoutMs): id.
static napi_value l7_endpoint(napi_env env, napi_callback_info info)
{
	struct call c = call_of(env, info);
	struct bytes bytes;
	uint32_t port, connect_ms;
	union address address = { 0 };
	struct sockaddr_storage to;
	struct engine *e = engine_of(&c);
	if (!e || !arg_bytes(&c, 1, "address", &bytes) || !arg_u32(&c, 2, "port", 65535, &port) ||
	    !arg_u32(&c, 3, "connectTimeoutMs", INT32_MAX, &connect_ms))
		return NULL;
	socklen_t size = internet_address(&to, bytes, port);
	if (size == 0)
		return throw_range(env, "address");
	memcpy(&address, &to, size);
	struct endpoint *p = endpoint_open(e, &address, connect_ms);
	return p ? u32_value(env, p->id) : throw_errno(env, ENOSPC, NULL, "endpoint");
}

// l7DropEndpoint(engine, id)
static napi_value l7_drop_endpoint(napi_env env, napi_callback_info info)
{
	struct call c = call_of(env, info);
	uint32_t id;
	struct engine *e = engine_of(&c);
	if (!e || !arg_u32(&c, 1, "endpoint", UINT32_MAX, &id))
		return NULL;
	struct endpoint *p = endpoint_find(e, id);
	if (p)
		endpoint_drop(e, p);
	return NULL;
}

// l7EndpointIdle(engine, id, ms): how long a connection to it is kept without a request, from the next one on.
static napi_value l7_endpoint_idle(napi_env env, napi_callback_info info)
{
	struct call c = call_of(env, info);
	uint32_t id, ms;
	struct engine *e = engine_of(&c);
	if (!e || !arg_u32(&c, 1, "endpoint", UINT32_MAX, &id) || !arg_u32(&c, 2, "ms", INT32_MAX, &ms))
		return NULL;
	struct endpoint *p = endpoint_find(e, id);
	if (p)
		p->idle_ms = ms < e->times.upstream_idle_ms ? ms : e->times.upstream_idle_ms;
	return NULL;
}

// l7Template(engine, id, bytes)
static napi_value l7_template(napi_env env, napi_callback_info info)
{
	struct call c = call_of(env, info);
	uint32_t id;
	struct bytes bytes;
	struct engine *e = engine_of(&c);
	if (!e || !arg_u32(&c, 1, "template", MAX_TEMPLATES, &id) || !arg_bytes(&c, 2, "bytes", &bytes))
		return NULL;
	if (id == 0 || bytes.size > MAX_TEMPLATE)
		return throw_range(env, "template");
	uint8_t *copy = malloc(bytes.size + 1);
	if (!copy || !table_reach(&e->templates, id)) {
		free(copy);
		return throw_errno(env, ENOMEM, NULL, "template");
	}
	if (bytes.size > 0)
		memcpy(copy, bytes.data, bytes.size);
	struct template *t = e->templates.entries[id];
	if (!t)
		t = calloc(1, sizeof(*t));
	if (!t) {
		free(copy);
		return throw_errno(env, ENOMEM, NULL, "template");
	}
	free(t->bytes);
	*t = (struct template){ copy, bytes.size };
	e->templates.entries[id] = t;
	return NULL;
}

static void set_address(napi_env env, napi_value to, const char *name, const char *port_name, const union address *a)
{
	char text[INET6_ADDRSTRLEN] = "";
	uint32_t port = ntohs(a->any.sa_family == AF_INET ? a->in.sin_port : a->in6.sin6_port);
	if (a->any.sa_family == AF_INET)
		inet_ntop(AF_INET, &a->in.sin_addr, text, sizeof(text));
	else if (IN6_IS_ADDR_V4MAPPED(&a->in6.sin6_addr))
		inet_ntop(AF_INET, (const uint8_t *)&a->in6.sin6_addr + 12, text, sizeof(text));
	else
		inet_ntop(AF_INET6, &a->in6.sin6_addr, text, sizeof(text));
	set_string(env, to, name, text);
	set_u32(env, to, port_name, port);
}

// One whose rows are not all said is found too, `open` or not.
static struct conn *conn_of(const struct call *c, struct engine *e, bool open)
{
	double number = -1;
	if (napi_get_value_double(c->env, c->args[1], &number) != napi_ok)
		throw_type(c->env, "conn");
	struct conn *found = number >= 0 && number <= UINT32_MAX ? conn_find(e, (uint32_t)number) : NULL;
	return found && (!open || found->phase != GONE) ? found : NULL;
}

// l7Peer(engine, conn): { mark, address, port, localAddress, localPort }, undefined for one that is gone.
static napi_value l7_peer(napi_env env, napi_callback_info info)
{
	struct call call = call_of(env, info);
	struct engine *e = engine_of(&call);
	struct conn *c = e ? conn_of(&call, e, false) : NULL;
	napi_value peer = NULL;
	if (!c)
		return NULL;
	napi_create_object(env, &peer);
	set_u32(env, peer, "mark", c->mark);
	set_address(env, peer, "address", "port", &c->peer);
	set_address(env, peer, "localAddress", "localPort", &c->local);
	if (c->greeting)
		set_u32(env, peer, "greeting", 1);
	const struct conn *beneath = c->s.script ? conn_find(e, c->parent) : c;
	if (beneath && beneath->s.tls)
		set_value(env, peer, "tls", tls_describe(env, beneath->s.tls));
	return peer;
}

// l7Resume(engine, conn)
static napi_value l7_resume(napi_env env, napi_callback_info info)
{
	struct call call = call_of(env, info);
	struct engine *e = engine_of(&call);
	struct conn *c = e ? conn_of(&call, e, true) : NULL;
	if (c && c->s.script && sock_blocked(&c->s)) {
		output(e, c);
		return NULL;
	}
	if (c)
		resume(e, c);
	return NULL;
}

// l7Send(engine, conn, off, len): bytes that wait.
static napi_value l7_send(napi_env env, napi_callback_info info)
{
	struct call call = call_of(env, info);
	uint32_t off, len;
	struct engine *e = engine_of(&call);
	struct conn *c = e ? conn_of(&call, e, true) : NULL;
	if (!c || !arg_u32(&call, 2, "off", ARENA_BYTES, &off) || !arg_u32(&call, 3, "len", ARENA_BYTES - off, &len))
		return NULL;
	if (c->s.script)
		return u32_value(env, script_feed(e, &c->s, e->arena + off, len));
	if (c->phase != RAWMODE)
		return NULL;
	queue_free(e, &c->label);
	sock_send_bytes(e, &c->s, e->arena + off, len);
	return u32_value(env, (uint32_t)queue_length(&c->s.out));
}

// l7Close(engine, conn, reset)
static napi_value l7_close(napi_env env, napi_callback_info info)
{
	struct call call = call_of(env, info);
	bool reset;
	struct engine *e = engine_of(&call);
	struct conn *c = e ? conn_of(&call, e, true) : NULL;
	if (!c || !arg_bool(&call, 2, "reset", &reset))
		return NULL;
	if (reset)
		abort_conn(e, c, c->s.script ? WHY_CLIENT : WHY_NONE);
	else if (c->s.script)
		script_end(e, &c->s);
	else
		close_soon(e, c);
	return NULL;
}

// Nothing is under way that an end would cut short.
static bool idle(const struct conn *c)
{
	return (c->phase == AWAIT || c->phase == GREETING) && queue_length(&c->s.in) == 0 && !c->queued && !c->s.readable;
}

// l7End(engine, all): connections between two requests, or all; an answer that is cut ends in a reset.
static napi_value l7_end(napi_env env, napi_callback_info info)
{
	struct call call = call_of(env, info);
	bool all;
	struct engine *e = engine_of(&call);
	if (!e || !arg_bool(&call, 1, "all", &all))
		return NULL;
	for (struct conn *c = e->oldest, *after; c; c = after) {
		after = c->newer;
		bool cut = c->phase == DECIDING || c->phase == EXCHANGE || c->phase == DISCARD;
		if (all && cut)
			abort_conn(e, c, WHY_CLOSED);
		else if (all || idle(c))
			close_soon(e, c);
	}
	return NULL;
}

// l7Stats(engine, into: bytes of a word a counter)
static napi_value l7_stats(napi_env env, napi_callback_info info)
{
	struct call call = call_of(env, info);
	struct bytes into;
	struct engine *e = engine_of(&call);
	if (!e || !arg_bytes(&call, 1, "into", &into))
		return NULL;
	if (into.size != sizeof(e->stats))
		return throw_range(env, "into");
	e->stats.held = (uint32_t)e->held;
	memcpy(into.data, &e->stats, sizeof(e->stats));
	return NULL;
}

// l7Shut(engine)
static napi_value l7_shut(napi_env env, napi_callback_info info)
{
	struct call call = call_of(env, info);
	struct engine *e = engine_of(&call);
	if (e)
		engine_shut(e);
	return NULL;
}

void register_l7(napi_env env, napi_value exports)
{
	export_function(env, exports, "l7Open", l7_open);
	export_function(env, exports, "l7Listener", l7_listener);
	export_function(env, exports, "l7Accept", l7_accept);
	export_function(env, exports, "l7Decline", l7_decline);
	export_function(env, exports, "l7Unlisten", l7_unlisten);
	export_function(env, exports, "l7Endpoint", l7_endpoint);
	export_function(env, exports, "l7DropEndpoint", l7_drop_endpoint);
	export_function(env, exports, "l7EndpointIdle", l7_endpoint_idle);
	export_function(env, exports, "l7Template", l7_template);
	export_function(env, exports, "l7Peer", l7_peer);
	export_function(env, exports, "l7Resume", l7_resume);
	export_function(env, exports, "l7Send", l7_send);
	export_function(env, exports, "l7Close", l7_close);
	export_function(env, exports, "l7End", l7_end);
	export_function(env, exports, "l7Stats", l7_stats);
	export_function(env, exports, "l7Shut", l7_shut);
	register_l7_tls(env, exports);
	register_l7_move(env, exports);
	register_l7_limit(env, exports);
	register_l7_script(env, exports);
}
