// Connections to upstreams: one pool an endpoint, the last used taken first, so that few stay warm and the rest time
// out.
#include "l7.h"
#include "tls/tls.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>

// An endpoint's id: place in the table, plus a generation above, so that an id of one that is gone names nothing.
#define PLACE_BITS 20
#define PLACES (1u << PLACE_BITS)

struct endpoint *endpoint_find(const struct engine *e, uint32_t id)
{
	uint32_t place = id & (PLACES - 1);
	struct endpoint *p = place < e->endpoints.size ? e->endpoints.entries[place] : NULL;
	return p && p->id == id && !p->dropped ? p : NULL;
}

struct endpoint *endpoint_open(struct engine *e, const union address *address, uint32_t connect_ms)
{
	uint32_t place = e->free_endpoint;
	while (place < e->endpoints.size && e->endpoints.entries[place])
		place += 1;
	if (place >= PLACES || !table_reach(&e->endpoints, place))
		return NULL;
	struct endpoint *p = calloc(1, sizeof(*p));
	if (!p)
		return NULL;
	e->free_endpoint = place + 1;
	e->endpoint_count += 1;
	p->address = *address;
	// Never 0, and at most 31 bits: it travels in a word with a sign.
	p->id = place | (e->endpoint_count % 0x7ff + 1) << PLACE_BITS;
	p->connect_ms = connect_ms;
	p->idle_ms = e->times.upstream_idle_ms;
	e->endpoints.entries[place] = p;
	return p;
}

static void free_endpoint(struct engine *e, struct endpoint *p)
{
	uint32_t place = p->id & (PLACES - 1);
	e->endpoints.entries[place] = NULL;
	if (place < e->free_endpoint)
		e->free_endpoint = place;
	endpoint_plain(p);
	free(p);
}

void endpoint_drop(struct engine *e, struct endpoint *p)
{
	p->dropped = true;
	p->open += 1;
	while (p->idle)
		up_destroy(e, p->idle);
	p->open -= 1;
	if (p->open == 0)
		free_endpoint(e, p);
}

void endpoint_left(struct engine *e, struct endpoint *p)
{
	p->open -= 1;
	if (p->dropped && p->open == 0)
		free_endpoint(e, p);
}

static void unpool(struct engine *e, struct up *up)
{
	if (!up->link)
		return;
	*up->link = up->next;
	if (up->next)
		up->next->link = up->link;
	up->link = NULL;
	e->stats.upstreams_idle -= 1;
}

void up_destroy(struct engine *e, struct up *up)
{
	struct endpoint *p = up->endpoint;
	if (up->dead)
		return;
	up->dead = true;
	if (up->s.script && up->conn)
		output_up(e, up->conn);
	up->conn = NULL;
	if (up->link)
		sock_end(e, &up->s);
	unpool(e, up);
	wheel_forget(&up->timer);
	sock_close(e, &up->s, false);
	sock_bury(e, &up->s);
	e->stats.upstreams -= 1;
	endpoint_left(e, p);
	if (!e->in_turn)
		turn_soon(e);
}

static struct up *up_connect(struct engine *e, struct endpoint *p, uint8_t *why)
{
	int on = 1;
	struct up *up = calloc(1, sizeof(*up));
	int fd = up ? socket(p->address.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0) : -1;
	*why = WHY_CONNECT;
	if (fd < 0) {
		free(up);
		return NULL;
	}
	up->s = (struct sock){ .fd = fd, .role = UPSTREAM };
	up->endpoint = p;
	up->timer.kind = TIMER_UP;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	e->stats.connects += 1;
	socklen_t size = p->address.any.sa_family == AF_INET ? sizeof(p->address.in) : sizeof(p->address.in6);
	if ((connect(fd, &p->address.any, size) != 0 && errno != EINPROGRESS) ||
	    (p->context && !tls_connect(e, &up->s, p->context, p->expected)) ||
	    !sock_watch(e, &up->s, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET)) {
		sock_close(e, &up->s, false);
		free(up);
		return NULL;
	}
	p->open += 1;
	e->stats.upstreams += 1;
	wheel_set(&e->wheel, &up->timer, e->now_us / 1000 + p->connect_ms);
	return up;
}

struct up *up_acquire(struct engine *e, struct endpoint *p, bool fresh, bool tunnel, uint8_t *why)
{
	struct up *up = fresh ? NULL : p->idle;
	if (up) {
		unpool(e, up);
		wheel_clear(&up->timer);
		up->reused = true;
		return up;
	}
	*why = WHY_OVERFLOW;
	// Who has to have a new one need not wait for those that nobody uses.
	if (p->open >= e->max_per_endpoint && p->idle)
		up_destroy(e, p->idle);
	if (p->open >= e->max_per_endpoint)
		return NULL;
	return p->script && !tunnel ? up_script(e, p) : up_connect(e, p, why);
}

// Something came that no request asked for. A read that was filled to the brim says nothing of what is behind it, and
// TLS has things of its own to say.
static bool said(struct up *up)
{
	uint8_t byte;
	return up->s.readable && (sock_read(&up->s, &byte, 1) > 0 || up->s.ended || up->s.lost);
}

void up_release(struct engine *e, struct up *up)
{
	struct endpoint *p = up->endpoint;
	if (p->dropped || p->script || up->dirty || up->s.hup || up->s.ended || up->s.lost || up->s.deaf ||
	    sock_blocked(&up->s) ||
	    queue_length(&up->s.in) > 0 || said(up))
		return up_destroy(e, up);
	up->conn = NULL;
	up->in_body = false;
	up->next = p->idle;
	up->link = &p->idle;
	if (up->next)
		up->next->link = &up->next;
	p->idle = up;
	e->stats.upstreams_idle += 1;
	wheel_set(&e->wheel, &up->timer, e->now_us / 1000 + p->idle_ms);
}

static bool connected(struct up *up)
{
	int error = 0;
	socklen_t size = sizeof(error);
	return getsockopt(up->s.fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 && error == 0;
}

static void exchange_event(struct engine *e, struct conn *c, struct up *up)
{
	if (c->phase == TUNNELED) {
		tunnel_down(e, c);
		if (c->phase == TUNNELED)
			tunnel_up(e, c);
	} else if (c->phase == EXCHANGE) {
		if (up->in_body)
			response_more(e, c, up);
		else if (up->s.readable)
			push(e, c, RESPONSE, WHY_NONE);
		if (c->up == up && !c->request.done && !sock_blocked(&up->s))
			request_more(e, c);
	}
}

void up_event(struct engine *e, struct up *up)
{
	struct conn *c = up->conn;
	if (up->dead)
		return;
	if (!up->connected) {
		if (!up->s.writable)
			return;
		if (up->s.broken || !connected(up))
			return c ? fail(e, c, WHY_CONNECT) : up_destroy(e, up);
		enum shake shake = up->s.tls ? tls_shake(&up->s) : SHAKE_DONE;
		if (shake == SHAKE_FAILED)
			return c ? fail(e, c, WHY_TLS) : up_destroy(e, up);
		if (shake == SHAKE_MORE)
			return;
		up->connected = true;
		wheel_clear(&up->timer);
		sock_flush(e, &up->s);
		if (c && c->opening)
			tunnel_begin(e, c, up);
		else if (c)
			upstream_ready(e, c);
	}
	if (up->dead || up->conn != c)
		return;
	bool waited = sock_blocked(&up->s);
	sock_flush(e, &up->s);
	if (!c) {
		if (said(up))
			up_destroy(e, up);
		return;
	}
	if (waited && !sock_blocked(&up->s))
		await_body(e, c);
	// A server that answers early and closes sends a reset behind its answer: the answer counts.
	if (up->s.deaf)
		up->s.readable = true;
	exchange_event(e, c, up);
}

void up_timer(struct engine *e, struct up *up)
{
	if (up->conn && !up->connected)
		fail(e, up->conn, WHY_CONNECT_TIMEOUT);
	else if (!up->conn)
		up_destroy(e, up);
}
