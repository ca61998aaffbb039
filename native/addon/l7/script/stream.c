// Streams: connections whose peer is JavaScript. What it sends is read as if it had come from a socket; what is written
// to it is laid out as OUTPUT, and stays until JavaScript has said how much of it is taken.
#include "../l7.h"
#include "../tls/tls.h"

#include <limits.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

// Stands for a descriptor: nothing is ever asked of the kernel by it.
#define NO_FD INT_MAX

struct stream {
	struct conn conn;
	struct script script;
};

struct conn *stream_open(struct engine *e, struct conn *parent)
{
	struct stream *stream = calloc(1, sizeof(*stream));
	if (!stream)
		return NULL;
	struct conn *c = &stream->conn;
	stream->script.engine = e;
	c->s = (struct sock){ .fd = NO_FD, .role = CLIENT, .script = &stream->script };
	c->parent = parent->id;
	c->peer = parent->peer;
	c->local = parent->local;
	c->mark = parent->mark;
	if (!conn_enter(e, c, parent->listener)) {
		free(stream);
		return NULL;
	}
	parent->streams += 1;
	e->stats.streams += 1;
	return c;
}

void stream_gone(struct engine *e, const struct conn *c)
{
	struct conn *parent = conn_find(e, c->parent);
	e->stats.streams -= 1;
	if (!parent)
		return;
	parent->streams -= 1;
	if (parent->phase == RAWMODE)
		touch(e, parent);
}

void output(struct engine *e, struct conn *c)
{
	push(e, c, OUTPUT, OF_CLIENT);
}

void output_up(struct engine *e, struct conn *c)
{
	push(e, c, OUTPUT, OF_UPSTREAM);
}

void script_news(struct engine *e, struct sock *s)
{
	struct conn *c = s->role == CLIENT ? (struct conn *)s : ((struct up *)s)->conn;
	if (c)
		push(e, c, OUTPUT, s->role == CLIENT ? OF_CLIENT : OF_UPSTREAM);
}

size_t script_read(struct sock *s, void *to, size_t size)
{
	struct script *script = s->script;
	size_t have = queue_length(&script->fed), take = have < size ? have : size;
	if (take == 0) {
		s->readable = false;
		s->ended = script->ended;
		return 0;
	}
	memcpy(to, script->fed.data + script->fed.start, take);
	queue_skip(script->engine, &script->fed, take);
	if (take == have && script->waits) {
		script->waits = false;
		script_news(script->engine, s);
	}
	return take;
}

// False: no memory.
bool script_send(struct engine *e, struct sock *s, const struct iovec *pieces, int count)
{
	bool ok = true;
	for (int i = 0; ok && i < count; i++)
		ok = queue_put(e, &s->out, pieces[i].iov_base, pieces[i].iov_len);
	script_news(e, s);
	return ok;
}

// Puts the lines of trailers behind the body, their empty line too; that alone is none.
void script_trailers(struct engine *e, struct sock *s, struct queue *lines)
{
	size_t size = queue_length(lines);
	if (size > 2 && queue_put(e, &s->out, lines->data + lines->start, size))
		s->script->trailers = (uint32_t)size;
	else if (size > 2)
		sock_starved(e, s);
	queue_free(e, lines);
	script_news(e, s);
}

void script_close(struct engine *e, struct sock *s)
{
	queue_free(e, &s->script->fed);
	// They went with `out`.
	s->script->trailers = 0;
	if (!s->shut || !s->ended)
		script_news(e, s);
}

uint32_t script_feed(struct engine *e, struct sock *s, const uint8_t *bytes, size_t size)
{
	struct script *script = s->script;
	if (script->ended)
		return 0;
	if (!queue_put(e, &script->fed, bytes, size))
		sock_starved(e, s);
	script->waits = queue_length(&script->fed) > 0;
	s->readable = true;
	look_at(e, s);
	return (uint32_t)queue_length(&script->fed);
}

void script_end(struct engine *e, struct sock *s)
{
	s->script->ended = s->readable = true;
	look_at(e, s);
}

static const struct sock *socket_of(const struct conn *c, uint8_t whose)
{
	if (whose == OF_CLIENT)
		return &c->s;
	return c->up && c->up->s.script ? &c->up->s : NULL;
}

// Bytes of the peer's next row: the body first, then its trailers as one piece.
static size_t next_size(const struct sock *s)
{
	size_t all = queue_length(&s->out), body = all - s->script->trailers;
	if (body == 0)
		return all;
	return body < ROW_BYTES ? body : ROW_BYTES;
}

static int32_t client_flags(const struct conn *c, size_t size)
{
	const struct script *script = c->s.script;
	bool whole = c->s.shut && c->s.ended;
	bool gone = script ? c->phase == GONE && !whole : c->phase != RAWMODE;
	bool drained = queue_length(script ? &script->fed : &c->s.out) == 0;
	bool end = script && c->s.ending && queue_length(&c->s.out) == size;
	return (drained ? IN_DRAINED : 0) | (gone ? IN_GONE : 0) | (end ? IN_EOF : 0);
}

static int32_t upstream_flags(const struct conn *c, const struct sock *s, size_t size)
{
	if (!s)
		return IN_UPSTREAM | IN_GONE;
	bool tunnel = c->phase == TUNNELED;
	bool end = (tunnel ? s->ending : c->request.done) && queue_length(&s->out) == size;
	return IN_UPSTREAM | (queue_length(&s->script->fed) == 0 ? IN_DRAINED : 0) | (end ? IN_EOF : 0) |
	       (tunnel ? IN_TUNNEL : 0) | (s->script->begun ? 0 : IN_FIRST);
}

// Lays out what waits for JavaScript, at most ROW_BYTES; of a connection in bytes mode only how it stands.
uint32_t output_fill(struct engine *e, struct conn *c, uint8_t whose, int32_t *row, uint8_t *to)
{
	const struct sock *s = socket_of(c, whose);
	size_t size = s && s->script ? next_size(s) : 0;
	if (size > 0)
		memcpy(to, s->out.data + s->out.start, size);
	row[W_OFF] = (int32_t)(to - e->arena);
	row[W_LEN] = (int32_t)size;
	row[W_REASON] = c->phase == GONE ? c->end : WHY_NONE;
	row[W_IN] &= IN_DRAINING;
	row[W_IN] |= whose == OF_CLIENT ? client_flags(c, size) : upstream_flags(c, s, size);
	if (size > 0 && s->script->trailers > 0 && queue_length(&s->out) == size && size == s->script->trailers)
		row[W_IN] |= IN_TRAILERS;
	if (s && whose == OF_UPSTREAM)
		row[W_ENDPOINT] = (int32_t)c->up->endpoint->id;
	return (uint32_t)size;
}

void output_taken(struct engine *e, struct conn *c, uint8_t whose, const int32_t *row, struct given g)
{
	struct sock *s = (struct sock *)socket_of(c, whose);
	if (c->phase == GONE || !s || !s->script || g.size > queue_length(&s->out))
		return;
	if (row[W_HEAD] < 0 || (uint32_t)row[W_HEAD] > g.size) {
		e->stats.faults += 1;
		return abort_conn(e, c, WHY_CLOSED);
	}
	queue_skip(e, &s->out, (uint32_t)row[W_HEAD]);
	s->script->begun = s->script->begun || row[W_HEAD] > 0;
	if (s->script->trailers > queue_length(&s->out))
		s->script->trailers = (uint32_t)queue_length(&s->out);
	if (sock_blocked(s)) {
		if ((uint32_t)row[W_HEAD] == g.size)
			script_news(e, s);
		return;
	}
	// Nothing comes behind the end of an answer, so nobody waits for the peer's.
	if (whose == OF_CLIENT && s->ending && c->phase != TUNNELED)
		s->ended = true;
	if (whose == OF_UPSTREAM && c->phase == EXCHANGE)
		await_body(e, c);
	look_at(e, s);
}

struct scripted_up {
	struct up up;
	struct script script;
};

struct up *up_script(struct engine *e, struct endpoint *p)
{
	struct scripted_up *scripted = calloc(1, sizeof(*scripted));
	if (!scripted)
		return NULL;
	struct up *up = &scripted->up;
	scripted->script.engine = e;
	up->s = (struct sock){ .fd = NO_FD, .role = UPSTREAM, .script = &scripted->script };
	up->endpoint = p;
	up->timer.kind = TIMER_UP;
	up->connected = true;
	p->open += 1;
	e->stats.upstreams += 1;
	return up;
}

// A socket on its way there, or -1.
static int stream_connect(const union address *to)
{
	int on = 1;
	int fd = socket(to->any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	socklen_t size = to->any.sa_family == AF_INET ? sizeof(to->in) : sizeof(to->in6);
	if (fd < 0)
		return -1;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (connect(fd, &to->any, size) == 0 || errno == EINPROGRESS)
		return fd;
	close(fd);
	return -1;
}

struct conn *dial(struct engine *e, struct endpoint *p)
{
	struct conn *c = calloc(1, sizeof(*c));
	int fd = c ? stream_connect(&p->address) : -1;
	if (fd < 0 || !conn_enter(e, c, NULL)) {
		if (fd >= 0)
			close(fd);
		free(c);
		return NULL;
	}
	c->s = (struct sock){ .fd = fd, .role = CLIENT };
	c->peer = p->address;
	c->phase = RAWMODE;
	c->dialled = p;
	p->open += 1;
	e->stats.upstreams += 1;
	e->stats.connects += 1;
	wheel_set(&e->wheel, &c->idle, e->now_us / 1000 + p->connect_ms);
	c->greeting = p->context != NULL;
	if (p->context && !tls_connect(e, &c->s, p->context, p->expected))
		abort_conn(e, c, WHY_NONE);
	else if (!sock_watch(e, &c->s, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET))
		abort_conn(e, c, WHY_NONE);
	return c;
}

// Goes on with the handshake of a connection that was dialled. False: it is not done.
bool dial_greet(struct engine *e, struct conn *c)
{
	if (c->s.broken && !c->s.tls->begun)
		abort_conn(e, c, WHY_CONNECT);
	if (c->phase == GONE)
		return false;
	enum shake shake = c->s.writable ? tls_shake(&c->s) : SHAKE_MORE;
	if (shake == SHAKE_FAILED || (shake == SHAKE_DONE && !tls_agreed(&c->s)))
		abort_conn(e, c, WHY_TLS);
	if (shake != SHAKE_DONE || c->phase == GONE)
		return false;
	c->greeting = false;
	c->s.readable = true;
	return true;
}
