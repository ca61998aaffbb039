// What JavaScript may ask of an engine as the peer of its connections: streams of clients, and the server that requests
// go to. Every number is checked; one that names nothing is ignored.
#include "../l7.h"

static struct conn *conn_arg(const struct call *call, struct engine *e)
{
	double number = -1;
	if (napi_get_value_double(call->env, call->args[1], &number) != napi_ok)
		throw_type(call->env, "conn");
	struct conn *c = number >= 0 && number <= UINT32_MAX ? conn_find(e, (uint32_t)number) : NULL;
	return c && c->phase != GONE ? c : NULL;
}

static napi_value id_or_none(napi_env env, const struct conn *c)
{
	napi_value id = NULL;
	napi_create_int32(env, c ? (int32_t)c->id : -1, &id);
	return id;
}

// l7Stream(engine, parent): conn, or -1 where there is no slot. The parent is in bytes mode.
static napi_value l7_stream(napi_env env, napi_callback_info info)
{
	struct call call = call_of(env, info);
	struct engine *e = engine_of(&call);
	struct conn *parent = e ? conn_arg(&call, e) : NULL;
	bool carries = parent && parent->phase == RAWMODE && parent->listener;
	return id_or_none(env, carries ? stream_open(e, parent) : NULL);
}

static struct endpoint *endpoint_arg(const struct call *call, struct engine *e)
{
	uint32_t id;
	return e && arg_u32(call, 1, "endpoint", UINT32_MAX, &id) ? endpoint_find(e, id) : NULL;
}

// l7Script(engine, endpoint): its requests come as OUTPUT.
static napi_value l7_script(napi_env env, napi_callback_info info)
{
	struct call call = call_of(env, info);
	struct endpoint *p = endpoint_arg(&call, engine_of(&call));
	if (p)
		p->script = true;
	return NULL;
}

// l7Dial(engine, endpoint): conn, or -1.
static napi_value l7_dial(napi_env env, napi_callback_info info)
{
	struct call call = call_of(env, info);
	struct engine *e = engine_of(&call);
	struct endpoint *p = endpoint_arg(&call, e);
	return id_or_none(env, p ? dial(e, p) : NULL);
}

// The scripted upstream of the connection in argument 1.
static struct up *up_arg(const struct call *call, struct engine *e)
{
	struct conn *c = e ? conn_arg(call, e) : NULL;
	return c && c->up && c->up->s.script ? c->up : NULL;
}

// l7SendUp(engine, conn, off, len): bytes that wait.
static napi_value l7_send_up(napi_env env, napi_callback_info info)
{
	struct call call = call_of(env, info);
	uint32_t off, len;
	struct engine *e = engine_of(&call);
	struct up *up = up_arg(&call, e);
	if (!up || !arg_u32(&call, 2, "off", ARENA_BYTES, &off) || !arg_u32(&call, 3, "len", ARENA_BYTES - off, &len))
		return NULL;
	return u32_value(env, script_feed(e, &up->s, e->arena + off, len));
}

// l7ResumeUp(engine, conn)
static napi_value l7_resume_up(napi_env env, napi_callback_info info)
{
	struct call call = call_of(env, info);
	struct engine *e = engine_of(&call);
	struct up *up = up_arg(&call, e);
	if (up)
		output_up(e, up->conn);
	return NULL;
}

// l7CloseUp(engine, conn, how: 0 end, 1 reset, 2 refused, 3 untrusted)
static napi_value l7_close_up(napi_env env, napi_callback_info info)
{
	struct call call = call_of(env, info);
	uint32_t how;
	struct engine *e = engine_of(&call);
	struct up *up = up_arg(&call, e);
	if (!up || !arg_u32(&call, 2, "how", 3, &how))
		return NULL;
	if (how == 0) {
		script_end(e, &up->s);
	} else if (how >= 2 && up->conn->phase == EXCHANGE && !up->in_body) {
		up->refused = true;
		fail(e, up->conn, how == 2 ? WHY_CONNECT : WHY_TLS);
	} else {
		up->s.lost = up->s.readable = true;
		look_at(e, &up->s);
	}
	return NULL;
}

void register_l7_script(napi_env env, napi_value exports)
{
	export_function(env, exports, "l7Stream", l7_stream);
	export_function(env, exports, "l7Script", l7_script);
	export_function(env, exports, "l7Dial", l7_dial);
	export_function(env, exports, "l7SendUp", l7_send_up);
	export_function(env, exports, "l7ResumeUp", l7_resume_up);
	export_function(env, exports, "l7CloseUp", l7_close_up);
}
