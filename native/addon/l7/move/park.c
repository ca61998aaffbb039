// Connections leave an engine, and enter one.
#include "../tls/tls.h"
#include "move.h"

#include <stdlib.h>
#include <sys/socket.h>

static struct queue pass_queue(struct engine *e, struct queue *q)
{
	struct queue passed = *q;
	e->held -= q->size;
	*q = (struct queue){ 0 };
	return passed;
}

static struct side pass_side(struct engine *e, struct sock *s)
{
	struct side side = { .fd = s->fd, .ended = s->ended, .ending = s->ending, .shut = s->shut };
	side.in = pass_queue(e, &s->in);
	side.out = pass_queue(e, &s->out);
	side.tls = s->tls ? tls_leave(e, s) : NULL;
	epoll_ctl(e->epoll, EPOLL_CTL_DEL, s->fd, NULL);
	s->fd = -1;
	return side;
}

static bool sound(const struct sock *s)
{
	return s->fd >= 0 && !s->script && !s->lost && !s->deaf && !s->broken && (!s->tls || tls_moves(s->tls));
}

// In bytes mode JavaScript's label says all that it knows; without one it is not to be moved.
static bool told(const struct conn *c)
{
	return c->listener && c->streams == 0 && queue_length(&c->label) > 0;
}

// Whether nothing is under way on it but bytes as they come.
static bool can_move(const struct conn *c)
{
	if (!sound(&c->s) || c->rows > 0)
		return false;
	if (c->phase == TUNNELED)
		return c->up && sound(&c->up->s);
	bool waits = c->phase == AWAIT || (c->phase == GREETING && c->asked) || (c->phase == RAWMODE && told(c));
	return waits && !c->s.ended && !c->s.ending && !sock_blocked(&c->s);
}

// Whether another process could go on with it.
static bool can_pass(const struct conn *c)
{
	return c->phase == TUNNELED && can_move(c) && !c->s.tls && !c->up->s.tls;
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
	p->label = pass_queue(e, &c->label);
	if (c->phase == TUNNELED) {
		p->up = pass_side(e, &up->s);
		// Its DONE is said by who has it then.
		c->active = false;
	}
	abort_conn(e, c, WHY_NONE);
	depot_put(p);
}

uint32_t park_all(struct engine *e, bool tunnels, uint32_t most)
{
	uint32_t count = 0;
	for (struct conn *c = e->oldest, *after; c && count < most; c = after) {
		after = c->newer;
		if (!(tunnels ? can_pass(c) : can_move(c)))
			continue;
		park(e, c);
		count += 1;
	}
	return count;
}

// False: its TLS can't go on here.
static bool unpack_side(struct engine *e, struct sock *s, struct side *side, uint8_t role)
{
	*s = (struct sock){ .fd = side->fd, .role = role, .readable = true, .writable = true };
	s->ended = side->ended;
	s->ending = side->ending;
	s->shut = side->shut;
	s->in = side->in;
	s->out = side->out;
	e->held += s->in.size + s->out.size;
	struct session *tls = side->tls;
	*side = (struct side){ .fd = -1 };
	return !tls || tls_arrive(e, s, tls);
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
	e->stats.upstreams += 1;
	if (unpack_side(e, &up->s, &p->up, UPSTREAM))
		return up;
	up_destroy(e, up);
	return NULL;
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
	if (c->phase == RAWMODE) {
		touch(e, c);
		return push(e, c, BYTES, WHY_NONE);
	}
	bool part = queue_length(&c->s.in) > 0 || (c->s.tls && tls_shaking(c->s.tls));
	c->greeting = c->phase == GREETING;
	c->asked = true;
	c->head_timed = part;
	wheel_set(&e->wheel, &c->idle, now + (part || c->greeting ? e->times.head_ms : e->times.idle_ms));
	push(e, c, c->greeting ? HELLO : REQUEST, WHY_NONE);
}

static struct listener *listener_tagged(const struct engine *e, uint32_t tag)
{
	for (uint32_t i = 0; i < e->listeners.size; i++) {
		struct listener *l = e->listeners.entries[i];
		if (l && l->tag == tag)
			return l;
	}
	return NULL;
}

// Who it is that stands behind a tunnel does not matter to it.
static struct listener *listener_of(const struct engine *e, const struct parcel *p)
{
	struct listener *l = listener_tagged(e, p->tag);
	return l || p->phase != TUNNELED ? l : listener_tagged(e, ORPHANS);
}

struct conn *unpack(struct engine *e, struct parcel *p)
{
	const uint32_t edges = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
	struct listener *l = listener_of(e, p);
	struct conn *c = l ? calloc(1, sizeof(*c)) : NULL;
	if (!c || !conn_enter(e, c, l)) {
		free(c);
		return NULL;
	}
	e->stats.connections += 1;
	bool secure = unpack_side(e, &c->s, &p->client, CLIENT);
	c->peer = p->peer;
	crowd_take(c);
	c->local = p->local;
	c->mark = p->mark;
	c->stall_ms = p->stall_ms;
	c->bytes_in = p->bytes_in;
	c->bytes_out = p->bytes_out;
	c->began_us = p->began_us;
	c->label = p->label;
	e->held += c->label.size;
	p->label = (struct queue){ 0 };
	if (p->phase == TUNNELED)
		c->up = unpack_up(e, p);
	if (!secure || (p->phase == TUNNELED && !c->up) || !sock_watch(e, &c->s, edges) ||
	    (c->up && !sock_watch(e, &c->up->s, edges))) {
		abort_conn(e, c, WHY_NONE);
		return NULL;
	}
	go_on(e, c, p);
	return c;
}
