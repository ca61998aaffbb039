// What JavaScript may ask of connections that move.
#include "move.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MAX_LABEL 65536

static bool arg_number(const struct call *c, size_t i, uint64_t *out)
{
	double number = -1;
	const double beyond = 9007199254740992.0;
	if (napi_get_value_double(c->env, c->args[i], &number) != napi_ok || !(number >= 0 && number < beyond)) {
		throw_type(c->env, "parcel");
		return false;
	}
	*out = (uint64_t)number;
	return true;
}

// l7Label(engine, conn, bytes): what goes with the connection when it moves.
static napi_value l7_label(napi_env env, napi_callback_info info)
{
	struct call call = call_of(env, info);
	struct bytes bytes;
	uint32_t id;
	struct engine *e = engine_of(&call);
	if (!e || !arg_u32(&call, 1, "conn", UINT32_MAX, &id) || !arg_bytes(&call, 2, "bytes", &bytes))
		return NULL;
	struct conn *c = conn_find(e, id);
	if (bytes.size > MAX_LABEL)
		return throw_range(env, "label");
	if (!c || c->phase == GONE)
		return NULL;
	uint8_t *copy = malloc(bytes.size + 1);
	if (!copy)
		return throw_errno(env, ENOMEM, NULL, "label");
	if (bytes.size > 0)
		memcpy(copy, bytes.data, bytes.size);
	queue_free(e, &c->label);
	c->label = (struct queue){ .data = copy, .end = (uint32_t)bytes.size, .size = (uint32_t)bytes.size };
	e->held += c->label.size;
	return NULL;
}

// l7Park(engine, tunnels, most): parks what can be, so many at most, all or only tunnels that another process could
// have. Gives how many.
static napi_value l7_park(napi_env env, napi_callback_info info)
{
	struct call call = call_of(env, info);
	bool tunnels;
	uint32_t most;
	struct engine *e = engine_of(&call);
	if (!e || !arg_bool(&call, 1, "tunnels", &tunnels) || !arg_u32(&call, 2, "most", UINT32_MAX, &most))
		return NULL;
	return u32_value(env, park_all(e, tunnels, most));
}

// l7Take(engine, parcel): { conn, greeting, label }, undefined where it is none, or there is no place for it: then it
// ends.
static napi_value l7_take(napi_env env, napi_callback_info info)
{
	struct call call = call_of(env, info);
	uint64_t number;
	struct engine *e = engine_of(&call);
	if (!e || !arg_number(&call, 1, &number))
		return NULL;
	struct parcel *p = depot_take(number);
	if (!p)
		return NULL;
	struct conn *c = unpack(e, p);
	parcel_free(p);
	if (!c)
		return NULL;
	napi_value result = NULL;
	napi_create_object(env, &result);
	set_u32(env, result, "conn", c->id);
	if (c->greeting)
		set_u32(env, result, "greeting", 1);
	set_value(env, result, "label", bytes_value(env, c->label.data, queue_length(&c->label)));
	return result;
}

// l7Parked(home): the numbers of its parcels.
static napi_value l7_parked(napi_env env, napi_callback_info info)
{
	struct call call = call_of(env, info);
	uint32_t home;
	return arg_u32(&call, 0, "home", UINT32_MAX, &home) ? parcels_list(env, home) : NULL;
}

// l7Discard(home): ends what is parked.
static napi_value l7_discard(napi_env env, napi_callback_info info)
{
	struct call call = call_of(env, info);
	uint32_t home;
	if (arg_u32(&call, 0, "home", UINT32_MAX, &home))
		parcels_discard(home);
	return NULL;
}

// l7Pack(parcel): { label, memory, client, up }, the last three descriptors, the caller's; undefined where there is no
// such parcel.
static napi_value l7_pack(napi_env env, napi_callback_info info)
{
	struct call call = call_of(env, info);
	uint64_t number;
	if (!arg_number(&call, 0, &number))
		return NULL;
	struct parcel *p = depot_take(number);
	if (!p)
		return NULL;
	int memory = parcel_write(p);
	if (memory < 0) {
		int error = errno;
		depot_put(p);
		return throw_errno(env, error, NULL, "pack a connection");
	}
	napi_value result = NULL;
	napi_create_object(env, &result);
	set_u32(env, result, "memory", (uint32_t)memory);
	set_u32(env, result, "client", (uint32_t)p->client.fd);
	set_u32(env, result, "up", (uint32_t)p->up.fd);
	set_value(env, result, "label", bytes_value(env, p->label.data, queue_length(&p->label)));
	p->client.fd = p->up.fd = -1;
	parcel_free(p);
	return result;
}

// l7Unpack(home, tag, memory, client, up): parks what l7Pack gave; the two sockets are the depot's then, the memory
// stays the caller's. False: these are nothing of the kind.
static napi_value l7_unpack(napi_env env, napi_callback_info info)
{
	struct call call = call_of(env, info);
	uint32_t home, tag;
	int memory, client, up;
	napi_value good = NULL;
	if (!arg_u32(&call, 0, "home", UINT32_MAX, &home) || !arg_u32(&call, 1, "tag", UINT32_MAX, &tag) ||
	    !arg_fd(&call, 2, &memory) || !arg_fd(&call, 3, &client) || !arg_fd(&call, 4, &up))
		return NULL;
	struct parcel *p = parcel_read(memory, client, up);
	napi_get_boolean(env, p != NULL, &good);
	if (!p)
		return good;
	p->home = home;
	p->tag = tag;
	depot_put(p);
	return good;
}

void register_l7_move(napi_env env, napi_value exports)
{
	export_function(env, exports, "l7Label", l7_label);
	export_function(env, exports, "l7Park", l7_park);
	export_function(env, exports, "l7Take", l7_take);
	export_function(env, exports, "l7Parked", l7_parked);
	export_function(env, exports, "l7Discard", l7_discard);
	export_function(env, exports, "l7Pack", l7_pack);
	export_function(env, exports, "l7Unpack", l7_unpack);
}
