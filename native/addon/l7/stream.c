// Streams: connections whose peer is JavaScript. What it sends is read as if it had come from a socket; what is written
// to it is laid out as OUTPUT, and stays until JavaScript has said how much of it is taken.
#include "l7.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

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
	push(e, c, OUTPUT, WHY_NONE);
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
		output(script->engine, (struct conn *)s);
	}
	return take;
}

// False: no memory.
bool script_send(struct engine *e, struct sock *s, const struct iovec *pieces, int count)
{
	bool ok = true;
	for (int i = 0; ok && i < count; i++)
		ok = queue_put(e, &s->out, pieces[i].iov_base, pieces[i].iov_len);
	output(e, (struct conn *)s);
	return ok;
}

void script_close(struct engine *e, struct sock *s)
{
	queue_free(e, &s->script->fed);
	if (!s->shut)
		output(e, (struct conn *)s);
}

uint32_t stream_feed(struct engine *e, struct conn *c, const uint8_t *bytes, size_t size)
{
	struct script *script = c->s.script;
	if (script->ended)
		return 0;
	if (!queue_put(e, &script->fed, bytes, size)) {
		abort_conn(e, c, WHY_CLIENT);
		return 0;
	}
	script->waits = queue_length(&script->fed) > 0;
	c->s.readable = true;
	look_at(e, &c->s);
	return (uint32_t)queue_length(&script->fed);
}

void stream_end(struct engine *e, struct conn *c)
{
	c->s.script->ended = c->s.readable = true;
	look_at(e, &c->s);
}

// Lays out what waits for the stream's peer, at most ROW_BYTES; of a connection in bytes mode only how it stands.
uint32_t output_fill(struct engine *e, struct conn *c, int32_t *row, uint8_t *to)
{
	const struct script *script = c->s.script;
	size_t size = script ? queue_length(&c->s.out) : 0;
	if (size > ROW_BYTES)
		size = ROW_BYTES;
	if (size > 0)
		memcpy(to, c->s.out.data + c->s.out.start, size);
	row[W_OFF] = (int32_t)(to - e->arena);
	row[W_LEN] = (int32_t)size;
	bool drained = queue_length(script ? &script->fed : &c->s.out) == 0;
	bool gone = script ? c->phase == GONE && !c->s.shut : c->phase != RAWMODE;
	bool end = script && c->s.ending && queue_length(&c->s.out) == size;
	row[W_IN] = (row[W_IN] & IN_DRAINING) | (drained ? IN_DRAINED : 0) | (gone ? IN_GONE : 0) | (end ? IN_EOF : 0);
	return (uint32_t)size;
}

void output_taken(struct engine *e, struct conn *c, const int32_t *row, struct given g)
{
	if (c->phase == GONE || !c->s.script)
		return;
	if (row[W_HEAD] < 0 || (uint32_t)row[W_HEAD] > g.size) {
		e->stats.faults += 1;
		return abort_conn(e, c, WHY_CLOSED);
	}
	queue_skip(e, &c->s.out, (uint32_t)row[W_HEAD]);
	if (sock_blocked(&c->s)) {
		if ((uint32_t)row[W_HEAD] == g.size)
			output(e, c);
		return;
	}
	// Nothing comes behind its end, so nobody waits for the peer's.
	if (c->s.ending)
		c->s.ended = true;
	look_at(e, &c->s);
}
