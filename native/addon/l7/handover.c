// Connections on their way from one engine of the process to another. An engine parks those that nothing is under way
// on, also when its thread ends; whoever says a parcel's number takes it. The parcels are the only thing that engines
// share.
#include "l7.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#define KEPT_MS 10000
#define MAX_LABEL 65536

struct side {
	int fd; // -1: there is none
	bool ended, ending, shut;
	struct queue in, out;
};

struct parcel {
	struct parcel *next;
	uint64_t number;
	uint32_t home, tag;
	uint8_t phase;
	uint32_t mark, stall_ms;
	union address peer, local;
	uint64_t bytes_in, bytes_out, began_us, until_ms, parked_ms;
	struct side client, up;
	struct queue label;
};

// Guarded by its lock.
static struct {
	pthread_mutex_t lock;
	struct parcel *first;
} depot = { .lock = PTHREAD_MUTEX_INITIALIZER };

static void side_free(struct side *s)
{
	if (s->fd >= 0)
		close(s->fd);
	free(s->in.data);
	free(s->out.data);
}

static void parcel_free(struct parcel *p)
{
	side_free(&p->client);
	side_free(&p->up);
	free(p->label.data);
	free(p);
}

// Takes those out of the depot that `wanted` is true of.
static struct parcel *depot_take(bool (*wanted)(const struct parcel *p, uint64_t hint), uint64_t hint)
{
	struct parcel *taken = NULL;
	pthread_mutex_lock(&depot.lock);
	for (struct parcel **link = &depot.first; *link;) {
		struct parcel *p = *link;
		if (!wanted(p, hint)) {
			link = &p->next;
			continue;
		}
		*link = p->next;
		p->next = taken;
		taken = p;
	}
	pthread_mutex_unlock(&depot.lock);
	return taken;
}

static void free_all(struct parcel *p)
{
	while (p) {
		struct parcel *next = p->next;
		parcel_free(p);
		p = next;
	}
}

static bool has_number(const struct parcel *p, uint64_t number)
{
	return p->number == number;
}

static bool of_home(const struct parcel *p, uint64_t home)
{
	return p->home == home;
}

static bool too_old(const struct parcel *p, uint64_t now)
{
	return now > p->parked_ms + KEPT_MS;
}

void parcels_expire(void)
{
	free_all(depot_take(too_old, uv_hrtime() / 1000000));
}

static struct queue pass_queue(struct engine *e, struct queue *q)
{
	struct queue passed = *q;
	e->held -= q->size;
	*q = (struct queue){ 0 };
	return passed;
}

static struct side pass_side(struct engine *e, struct sock *s)
{
	struct side side = { s->fd, s->ended, s->ending, s->shut, pass_queue(e, &s->in), pass_queue(e, &s->out) };
	epoll_ctl(e->epoll, EPOLL_CTL_DEL, s->fd, NULL);
	s->fd = -1;
	return side;
}

static bool sound(const struct sock *s)
{
	return s->fd >= 0 && !s->script && !s->tls && !s->lost && !s->deaf && !s->broken;
}

// Whether nothing is under way on it but bytes as they come.
static bool can_move(const struct conn *c)
{
	if (!sound(&c->s) || c->rows > 0)
		return false;
	if (c->phase == TUNNELED)
		return c->up && sound(&c->up->s);
	return (c->phase == AWAIT || (c->phase == GREETING && c->asked)) && !c->s.ended && !c->s.ending &&
	       !sock_blocked(&c->s);
}

// May move once what it is at is over.
bool conn_moves(const struct conn *c)
{
	bool scripted = c->s.script || (c->up && c->up->s.script);
	return !scripted && !c->s.tls && c->phase != RAWMODE;
}

static void park(struct engine *e, struct conn *c)
{
	struct parcel *p = calloc(1, sizeof(*p));
	struct up *up = c->up;
	if (!p)
		return;
	p->home = e->home;
	p->tag = c->listener->tag;
	p->phase = c->phase;
	p->mark = c->mark;
	p->stall_ms = c->stall_ms;
	p->peer = c->peer;
	p->local = c->local;
	p->bytes_in = c->bytes_in;
	p->bytes_out = c->bytes_out;
	p->began_us = c->began_us;
	p->until_ms = c->phase == TUNNELED ? c->deadline.due_ms : 0;
	p->client = pass_side(e, &c->s);
	p->up.fd = -1;
	p->label = c->label;
	c->label = (struct queue){ 0 };
	if (c->phase == TUNNELED) {
		p->up = pass_side(e, &up->s);
		// Its DONE is said by who has it then.
		c->active = false;
	}
	p->parked_ms = uv_hrtime() / 1000000;
	if (getrandom(&p->number, sizeof(p->number), 0) != sizeof(p->number))
		abort();
	// What a number of JavaScript holds.
	p->number >>= 11;
	abort_conn(e, c, WHY_NONE);
	pthread_mutex_lock(&depot.lock);
	p->next = depot.first;
	depot.first = p;
	pthread_mutex_unlock(&depot.lock);
}

uint32_t park_all(struct engine *e, bool tunnels, uint32_t most)
{
	uint32_t count = 0;
	for (struct conn *c = e->oldest, *after; c; c = after) {
		after = c->newer;
		if (!can_move(c) || (tunnels && c->phase != TUNNELED) || conn_kept(c) > most)
			continue;
		park(e, c);
		count += 1;
	}
	return count;
}

static struct sock sock_of(struct engine *e, struct side *side, uint8_t role)
{
	struct sock s = { .fd = side->fd, .role = role, .readable = true, .writable = true };
	s.ended = side->ended;
	s.ending = side->ending;
	s.shut = side->shut;
	s.in = side->in;
	s.out = side->out;
	e->held += s.in.size + s.out.size;
	*side = (struct side){ .fd = -1 };
	return s;
}

// An upstream of a tunnel: nobody else uses the endpoint that stands for it.
static struct up *unpack_up(struct engine *e, struct parcel *p)
{
	union address address = { 0 };
	socklen_t size = sizeof(address);
	struct up *up = calloc(1, sizeof(*up));
	getpeername(p->up.fd, &address.any, &size);
	struct endpoint *endpoint = up ? endpoint_open(e, &address, 0) : NULL;
	if (!endpoint) {
		free(up);
		return NULL;
	}
	endpoint->open = 1;
	endpoint->dropped = true;
	up->endpoint = endpoint;
	up->timer.kind = TIMER_UP;
	up->connected = true;
	up->s = sock_of(e, &p->up, UPSTREAM);
	e->stats.upstreams += 1;
	return up;
}

static void go_on(struct engine *e, struct conn *c, const struct parcel *p)
{
	uint64_t now = e->now_us / 1000;
	c->phase = p->phase;
	if (c->phase == TUNNELED) {
		c->active = c->started = true;
		c->up->conn = c;
		if (p->until_ms > 0)
			wheel_set(&e->wheel, &c->deadline, p->until_ms > now ? p->until_ms : now);
		touch(e, c);
		look_at(e, &c->up->s);
		return look_at(e, &c->s);
	}
	bool part = queue_length(&c->s.in) > 0;
	c->greeting = c->phase == GREETING;
	c->asked = true;
	c->head_timed = part;
	wheel_set(&e->wheel, &c->idle, now + (part || c->greeting ? e->times.head_ms : e->times.idle_ms));
	push(e, c, c->greeting ? HELLO : REQUEST, WHY_NONE);
}

// NULL: there is no room, or no such listener any more.
static struct conn *unpack(struct engine *e, struct parcel *p)
{
	const uint32_t edges = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
	struct listener *l = NULL;
	for (uint32_t i = 0; i < e->listeners.size && !l; i++) {
		struct listener *one = e->listeners.entries[i];
		l = one && one->tag == p->tag ? one : NULL;
	}
	struct conn *c = l ? calloc(1, sizeof(*c)) : NULL;
	if (!c || !conn_enter(e, c, l)) {
		free(c);
		return NULL;
	}
	e->stats.connections += 1;
	c->s = sock_of(e, &p->client, CLIENT);
	c->peer = p->peer;
	crowd_take(c);
	c->local = p->local;
	c->mark = p->mark;
	c->stall_ms = p->stall_ms;
	c->bytes_in = p->bytes_in;
	c->bytes_out = p->bytes_out;
	c->began_us = p->began_us;
	c->label = p->label;
	p->label = (struct queue){ 0 };
	if (p->phase == TUNNELED)
		c->up = unpack_up(e, p);
	if ((p->phase == TUNNELED && !c->up) || !sock_watch(e, &c->s, edges) ||
	    (c->up && !sock_watch(e, &c->up->s, edges))) {
		abort_conn(e, c, WHY_NONE);
		return NULL;
	}
	go_on(e, c, p);
	return c;
}

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
	memcpy(copy, bytes.data, bytes.size);
	free(c->label.data);
	c->label = (struct queue){ .data = copy, .end = (uint32_t)bytes.size, .size = (uint32_t)bytes.size };
	return NULL;
}

// l7Park(engine, tunnels, most): parks what can be, tunnels alone or all, of those that keep no more bytes than that.
// Gives how many.
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

// l7Take(engine, parcel): { conn, label }, undefined where it is none, or there is no place for it: then it ends.
static napi_value l7_take(napi_env env, napi_callback_info info)
{
	struct call call = call_of(env, info);
	uint64_t number;
	struct engine *e = engine_of(&call);
	if (!e || !arg_number(&call, 1, &number))
		return NULL;
	struct parcel *p = depot_take(has_number, number);
	if (!p)
		return NULL;
	struct conn *c = unpack(e, p);
	parcel_free(p);
	if (!c)
		return NULL;
	napi_value result = NULL;
	napi_create_object(env, &result);
	set_u32(env, result, "conn", c->id);
	set_value(env, result, "label", bytes_value(env, c->label.data, queue_length(&c->label)));
	return result;
}

// l7Parked(home): the numbers of its parcels.
static napi_value l7_parked(napi_env env, napi_callback_info info)
{
	struct call call = call_of(env, info);
	uint32_t home, count = 0;
	napi_value list = NULL, number = NULL;
	if (!arg_u32(&call, 0, "home", UINT32_MAX, &home))
		return NULL;
	napi_create_array(env, &list);
	pthread_mutex_lock(&depot.lock);
	for (const struct parcel *p = depot.first; p; p = p->next) {
		if (p->home != home)
			continue;
		napi_create_double(env, (double)p->number, &number);
		napi_set_element(env, list, count++, number);
	}
	pthread_mutex_unlock(&depot.lock);
	return list;
}

// l7Discard(home): ends what is parked.
static napi_value l7_discard(napi_env env, napi_callback_info info)
{
	struct call call = call_of(env, info);
	uint32_t home;
	if (arg_u32(&call, 0, "home", UINT32_MAX, &home))
		free_all(depot_take(of_home, home));
	return NULL;
}

void register_l7_handover(napi_env env, napi_value exports)
{
	export_function(env, exports, "l7Label", l7_label);
	export_function(env, exports, "l7Park", l7_park);
	export_function(env, exports, "l7Take", l7_take);
	export_function(env, exports, "l7Parked", l7_parked);
	export_function(env, exports, "l7Discard", l7_discard);
}
