// Clients: they come, they are heard, they go.
#include "l7.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BACKLOG 4096
#define ACCEPTS 256

static const uint32_t edges = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;

static void unlink_age(struct engine *e, struct conn *c)
{
	struct conn **oldest = c->s.script ? &e->oldest_stream : &e->oldest;
	struct conn **newest = c->s.script ? &e->newest_stream : &e->newest;
	*(c->older ? &c->older->newer : oldest) = c->newer;
	*(c->newer ? &c->newer->older : newest) = c->older;
}

static void listener_free(struct listener *l)
{
	crowd_leave(l->crowd);
	free(l);
}

static void release_listener(struct listener *l)
{
	l->clients -= 1;
	if (l->draining && l->clients == 0)
		listener_free(l);
}

static void conn_gone(struct engine *e, struct conn *c, uint8_t why, bool reset)
{
	struct up *up = c->up;
	if (c->phase == GONE)
		return;
	if (c->s.starved || (up && up->s.starved)) {
		e->stats.starved += 1;
		why = WHY_MEMORY;
		reset = true;
	}
	c->up = NULL;
	if (up)
		up_destroy(e, up);
	settle(e, c, why);
	if (c->listener)
		crowd_exit(c->listener->crowd, c);
	if (c->phase == RAWMODE)
		output(e, c);
	c->phase = GONE;
	c->end = why;
	wheel_forget(&c->idle);
	wheel_forget(&c->deadline);
	sock_close(e, &c->s, reset);
	if (c->dialled)
		endpoint_left(e, c->dialled);
	unlink_age(e, c);
	c->newer = e->gone;
	e->gone = c;
	if (c->s.script)
		stream_gone(e, c);
	else if (c->listener)
		e->stats.connections -= 1;
	else
		e->stats.upstreams -= 1;
	if (!e->in_turn)
		turn_soon(e);
}

void abort_conn(struct engine *e, struct conn *c, uint8_t why)
{
	conn_gone(e, c, why, true);
}

void conn_free(struct engine *e, struct conn *c)
{
	uint32_t slot = c->id & 0xffff;
	if (c->listener)
		release_listener(c->listener);
	e->slots.entries[slot] = NULL;
	e->free_slots[e->free_count++] = (uint16_t)slot;
	queue_free(e, &c->sent);
	queue_free(e, &c->label);
	free(c);
}

struct conn *conn_find(const struct engine *e, uint32_t id)
{
	struct conn *c = (id & 0xffff) < e->slot_count ? e->slots.entries[id & 0xffff] : NULL;
	return c && c->id == id ? c : NULL;
}

static void closing(struct engine *e, struct conn *c)
{
	sock_read(&c->s, e->scratch, SCRATCH);
	if (c->s.lost || c->s.deaf || (c->s.shut && c->s.ended))
		return conn_gone(e, c, WHY_NONE, false);
	if (c->s.shut && !c->lingering) {
		c->lingering = true;
		wheel_set(&e->wheel, &c->idle, e->now_us / 1000 + e->times.linger_ms);
	}
	if (c->s.readable)
		look_at(e, &c->s);
}

void close_soon(struct engine *e, struct conn *c)
{
	if (c->phase == GONE || c->phase == CLOSING)
		return;
	struct up *up = c->up;
	c->up = NULL;
	if (up)
		up_destroy(e, up);
	settle(e, c, WHY_CLOSED);
	if (c->phase == RAWMODE)
		output(e, c);
	c->phase = CLOSING;
	queue_free(e, &c->s.in);
	wheel_set(&e->wheel, &c->idle, e->now_us / 1000 + e->times.stall_ms);
	sock_end(e, &c->s);
	closing(e, c);
}

static int take_slot(struct engine *e)
{
	if (e->free_count > 0)
		return e->free_slots[--e->free_count];
	return e->slot_count < e->max_connections + e->max_streams ? (int)e->slot_count++ : -1;
}

bool conn_enter(struct engine *e, struct conn *c, struct listener *l)
{
	bool stream = c->s.script != NULL;
	bool room = stream ? e->stats.streams < e->max_streams : e->stats.connections < e->max_connections;
	int slot = room ? take_slot(e) : -1;
	if (slot < 0)
		return false;
	struct conn **oldest = stream ? &e->oldest_stream : &e->oldest;
	struct conn **newest = stream ? &e->newest_stream : &e->newest;
	c->listener = l;
	if (l)
		l->clients += 1;
	// No id is 0. One comes again after 32,766 others of its slot, so nothing of those before may be known by it.
	e->generations[slot] = e->generations[slot] % 0x7fff + 1;
	e->known[slot] = 0;
	c->id = (uint32_t)slot | (uint32_t)e->generations[slot] << 16;
	c->idle.kind = TIMER_IDLE;
	c->deadline.kind = TIMER_DEADLINE;
	c->phase = AWAIT;
	c->request.done = c->response.done = true;
	e->slots.entries[slot] = c;
	c->older = *newest;
	*(*newest ? &(*newest)->newer : oldest) = c;
	*newest = c;
	wheel_set(&e->wheel, &c->idle, e->now_us / 1000 + e->times.head_ms);
	return true;
}

static void admit(struct engine *e, struct listener *l, int fd, const union address *peer)
{
	socklen_t size = sizeof(union address), mark = sizeof(uint32_t);
	struct conn *c = calloc(1, sizeof(*c));
	struct sock none = { .fd = fd };
	if (c) {
		c->s = (struct sock){ .fd = fd, .role = CLIENT, .writable = true };
		c->peer = *peer;
	}
	bool room = c && crowd_admit(l, c);
	if (room && e->spare > 0 && e->stats.connections + e->spare >= e->max_connections)
		shed(e);
	if (!room || !conn_enter(e, c, l)) {
		if (c)
			crowd_exit(l->crowd, c);
		free(c);
		e->stats.refused += 1;
		return sock_close(e, &none, true);
	}
	getsockname(fd, &c->local.any, &size);
	getsockopt(fd, SOL_SOCKET, SO_MARK, &c->mark, &mark);
	e->stats.connections += 1;
	e->stats.accepted += 1;
	c->greeting = l->hello != LISTEN_PLAIN;
	c->asked = l->hello != LISTEN_AT_ONCE;
	c->phase = c->greeting ? GREETING : AWAIT;
	if (!sock_watch(e, &c->s, edges))
		abort_conn(e, c, WHY_NONE);
	else if (!c->asked)
		push(e, c, HELLO, WHY_NONE);
}

void accept_all(struct engine *e, struct gate *g)
{
	for (int i = 0; i < ACCEPTS; i++) {
		// Who comes waits in the listen queue.
		if (e->held > e->max_held) {
			e->starved = true;
			return;
		}
		union address peer = { 0 };
		socklen_t size = sizeof(peer);
		int fd = accept4(g->s.fd, &peer.any, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd >= 0) {
			admit(e, g->listener, fd, &peer);
			continue;
		}
		if (errno == ECONNABORTED || errno == EINTR || errno == EPROTO)
			continue;
		// Running out of descriptors is no reason to stop listening.
		if (errno != EAGAIN) {
			e->starved = true;
			e->stats.refused += 1;
		}
		return;
	}
	look_at(e, &g->s);
}

struct listener *listener_find(const struct engine *e, uint32_t id)
{
	for (uint32_t i = 0; i < e->listeners.size; i++) {
		struct listener *l = e->listeners.entries[i];
		if (l && l->id == id)
			return l;
	}
	return NULL;
}

struct listener *listener_open(struct engine *e, uint8_t hello, uint32_t tag)
{
	uint32_t place = 0;
	while (place < e->listeners.size && e->listeners.entries[place])
		place += 1;
	struct listener *l = table_reach(&e->listeners, place) ? calloc(1, sizeof(*l)) : NULL;
	if (l && !(l->crowd = crowd_join(e->home, tag))) {
		free(l);
		l = NULL;
	}
	if (!l)
		return NULL;
	l->id = ++e->listener_count;
	l->hello = hello;
	l->tag = tag;
	e->listeners.entries[place] = l;
	return l;
}

bool gate_open(struct engine *e, struct listener *l, int source)
{
	int on = 1;
	struct gate *g = calloc(1, sizeof(*g));
	int fd = g ? fcntl(source, F_DUPFD_CLOEXEC, 0) : -1;
	if (fd < 0) {
		free(g);
		return false;
	}
	*g = (struct gate){ .s = { .fd = fd, .role = GATE }, .listener = l, .source = source, .next = l->gates };
	// Accepted sockets inherit it.
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (listen(fd, BACKLOG) != 0 || !sock_watch(e, &g->s, EPOLLIN | EPOLLET)) {
		int error = errno;
		close(fd);
		free(g);
		errno = error;
		return false;
	}
	l->gates = g;
	return true;
}

void gate_close(struct engine *e, struct listener *l, int source)
{
	for (struct gate **link = &l->gates; *link; link = &(*link)->next) {
		struct gate *g = *link;
		if (g->source != source)
			continue;
		*link = g->next;
		sock_close(e, &g->s, false);
		return sock_bury(e, &g->s);
	}
}

void listener_close(struct engine *e, struct listener *l)
{
	l->draining = true;
	for (uint32_t i = 0; i < e->listeners.size; i++)
		if (e->listeners.entries[i] == l)
			e->listeners.entries[i] = NULL;
	while (l->gates)
		gate_close(e, l, l->gates->source);
	for (struct conn *c = e->oldest; c; c = c->newer)
		if (c->listener == l && c->phase == RAWMODE)
			output(e, c);
	if (l->clients == 0)
		listener_free(l);
}

void client_event(struct engine *e, struct conn *c)
{
	bool waited = sock_blocked(&c->s);
	if (c->phase == RAWMODE && c->greeting && !dial_greet(e, c))
		return;
	sock_flush(e, &c->s);
	if (c->phase == RAWMODE && waited && !sock_blocked(&c->s))
		output(e, c);
	if (c->phase == CLOSING)
		return closing(e, c);
	if (c->s.deaf || (c->s.broken && (c->phase == EXCHANGE || c->phase == DECIDING)))
		return conn_gone(e, c, WHY_CLIENT, false);
	struct up *up = c->up;
	if (c->phase == EXCHANGE && up) {
		if (up->in_body)
			response_more(e, c, up);
		if (c->phase == EXCHANGE && c->up == up)
			request_more(e, c);
	} else if (c->phase == DISCARD)
		discard(e, c);
	else if (c->phase == TUNNELED) {
		tunnel_up(e, c);
		if (c->phase == TUNNELED)
			tunnel_down(e, c);
	} else if (c->s.readable && c->phase == AWAIT)
		push(e, c, REQUEST, WHY_NONE);
	else if (c->s.readable && c->phase == RAWMODE)
		push(e, c, BYTES, WHY_NONE);
	else if (c->s.readable && c->phase == GREETING)
		push(e, c, HELLO, WHY_NONE);
}

static void timeout(struct engine *e, struct conn *c, uint8_t why)
{
	struct up *up = c->up;
	c->up = NULL;
	if (up)
		up_destroy(e, up);
	c->fail_flags = 0;
	c->phase = DECIDING;
	push(e, c, TIMEOUT, why);
}

void client_timer(struct engine *e, struct conn *c, bool deadline)
{
	if (deadline) {
		if (c->phase == EXCHANGE)
			timeout(e, c, WHY_DEADLINE);
		else if (c->phase == TUNNELED)
			abort_conn(e, c, WHY_DEADLINE);
		else if (c->phase == DECIDING && c->active)
			// What is decided may be one more try.
			wheel_set(&e->wheel, &c->deadline, e->now_us / 1000 + 1);
		return;
	}
	switch (c->phase) {
	case GREETING:
		return timeout(e, c, WHY_HEAD);
	case AWAIT:
		if (queue_length(&c->s.in) > 0)
			return timeout(e, c, WHY_HEAD);
		return close_soon(e, c);
	case DISCARD:
	case RAWMODE:
		return close_soon(e, c);
	case EXCHANGE:
		return timeout(e, c, WHY_STALL);
	default:
		abort_conn(e, c, WHY_STALL);
	}
}
