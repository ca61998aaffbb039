// What happens between two rows: bodies move, ends meet, failures become rows.
#include "l7.h"

#include <stdlib.h>
#include <string.h>

#define PIECES 48
#define LINE 24
// Rest of a request that is read after an early answer, so that the connection can go on.
#define DISCARD_LIMIT (64 * 1024)

// Pieces on their way into one write, and the chunk size lines among them.
struct gather {
	struct engine *engine;
	struct sock *to;
	int count;
	struct iovec pieces[PIECES];
	char lines[PIECES / 3][LINE];
	int line;
	struct queue *trailers; // for a receiver that takes them
};

static void gather_flush(struct gather *g)
{
	if (g->count > 0)
		sock_send(g->engine, g->to, g->pieces, g->count);
	g->count = g->line = 0;
}

static void gather_add(struct gather *g, const void *bytes, size_t size)
{
	g->pieces[g->count++] = (struct iovec){ (void *)bytes, size };
}

static void gather_data(struct gather *g, const uint8_t *bytes, size_t size, bool chunk)
{
	if (g->count + 3 > PIECES - 1 || g->line == PIECES / 3)
		gather_flush(g);
	if (!chunk)
		return gather_add(g, bytes, size);
	char *line = g->lines[g->line++];
	int length = snprintf(line, LINE, "%zx\r\n", size);
	gather_add(g, line, (size_t)length);
	gather_add(g, bytes, size);
	gather_add(g, "\r\n", 2);
}

// Gives how many of the bytes belong to the body, or -1.
static ptrdiff_t gather_body(struct gather *g, struct body *b, const uint8_t *bytes, size_t size, bool chunk,
			     uint64_t *moved)
{
	size_t p = 0;
	while (p < size && !b->done) {
		size_t start, end;
		bool behind = body_behind(b);
		ptrdiff_t used = body_next(b, bytes + p, size - p, &start, &end);
		if (used < 0)
			return -1;
		if (behind && g->trailers && !queue_put(g->engine, g->trailers, bytes + p, (size_t)used))
			sock_starved(g->engine, g->to);
		if (end > start)
			gather_data(g, bytes + p + start, end - start, chunk);
		*moved += end - start;
		p += (size_t)used;
	}
	if (b->done && chunk)
		gather_add(g, "0\r\n\r\n", 5);
	if (b->done && g->trailers) {
		gather_flush(g);
		script_trailers(g->engine, g->to, g->trailers);
	}
	return (ptrdiff_t)p;
}

static struct gather gather_for(struct engine *e, struct sock *to, const struct head *head)
{
	struct gather g;
	g.engine = e;
	g.to = to;
	g.count = g.line = 0;
	g.trailers = NULL;
	if (head) {
		memcpy(g.pieces, head->pieces, (size_t)head->count * sizeof(*g.pieces));
		g.count = head->count;
	}
	return g;
}

static uint64_t now_ms(const struct engine *e)
{
	return e->now_us / 1000;
}

static uint32_t stall_ms(const struct engine *e, const struct conn *c)
{
	return c->stall_ms ? c->stall_ms : e->times.stall_ms;
}

void touch(struct engine *e, struct conn *c)
{
	uint64_t ms = stall_ms(e, c);
	bool held = !c->request.done && !c->started && c->phase == EXCHANGE && !(c->up && c->up->s.script);
	if (held) {
		uint64_t earned = e->times.body_ms + (c->bytes_in - c->body_from) * 1000 / BODY_RATE;
		uint64_t spent = now_ms(e) - c->body_at_ms;
		uint64_t left = earned > spent ? earned - spent : 0;
		ms = left < ms ? left : ms;
	}
	if (c->phase == RAWMODE && !c->listener)
		return wheel_clear(&c->idle);
	if (c->phase == RAWMODE && c->streams == 0)
		ms = e->times.idle_ms;
	wheel_set(&e->wheel, &c->idle, now_ms(e) + ms);
}

// From now on the client is held to its rate, as far as its body is not complete.
void await_body(struct engine *e, struct conn *c)
{
	if (!c->request.done) {
		c->body_at_ms = now_ms(e);
		c->body_from = c->bytes_in;
	}
	touch(e, c);
}

void begin(struct engine *e, struct conn *c, uint32_t head)
{
	c->active = true;
	c->started = false;
	c->body_sent = false;
	c->bytes_in = head;
	c->bytes_out = 0;
	c->began_us = e->now_us;
}

void settle(struct engine *e, struct conn *c, uint8_t why)
{
	wheel_clear(&c->deadline);
	c->stall_ms = 0;
	queue_free(e, &c->sent);
	queue_free(e, &c->request_trailers);
	queue_free(e, &c->response_trailers);
	if (!c->active)
		return;
	c->active = false;
	c->done_us = e->now_us - c->began_us;
	c->done_in = c->bytes_in;
	c->done_out = c->bytes_out;
	push(e, c, DONE, why);
}

// The DONE of a row that would have begun an exchange, had its connection not ended meanwhile.
void missed(struct engine *e, struct conn *c, const int32_t *row, uint8_t kind)
{
	int32_t action = row[W_ACTION];
	if ((kind != REQUEST && kind != HELLO) || (action != FORWARD && action != REPLY && action != TUNNEL))
		return;
	begin(e, c, 0);
	settle(e, c, WHY_CLOSED);
}

// Lays out a held row again. It may be asked for before that is held: promises are kept at the end of onBatch.
void resume(struct engine *e, struct conn *c)
{
	if (c->phase != DECIDING || c->held == 0) {
		c->resumed = true;
		return;
	}
	c->phase = c->held == HELLO ? GREETING : AWAIT;
	push(e, c, c->held, WHY_NONE);
	c->held = 0;
}

void hold(struct engine *e, struct conn *c, uint8_t kind)
{
	c->held = kind;
	c->phase = DECIDING;
	// Who is asked takes time that is not the client's.
	wheel_set(&e->wheel, &c->idle, e->now_us / 1000 + e->times.stall_ms);
	if (c->resumed)
		resume(e, c);
}

static void next(struct engine *e, struct conn *c)
{
	bool kept = queue_length(&c->s.in) > 0;
	if (!c->keep || c->s.script || (c->s.ended && !kept))
		return close_soon(e, c);
	c->phase = AWAIT;
	wheel_set(&e->wheel, &c->idle, now_ms(e) + (kept ? e->times.head_ms : e->times.idle_ms));
	c->head_timed = kept;
	if (kept || c->s.readable)
		push(e, c, REQUEST, WHY_NONE);
}

// The response is written whole.
void finish(struct engine *e, struct conn *c)
{
	struct up *up = c->up;
	c->up = NULL;
	if (up && c->request.done && c->keep_upstream && up->connected)
		up_release(e, up);
	else if (up)
		up_destroy(e, up);
	settle(e, c, WHY_NONE);
	if (c->request.done)
		return next(e, c);
	if (!c->keep || c->s.script)
		return close_soon(e, c);
	c->phase = DISCARD;
	c->discarded = 0;
	// Not put off by what comes: who sends its rest too slowly is closed.
	wheel_set(&e->wheel, &c->idle, now_ms(e) + e->times.head_ms);
	discard(e, c);
}

// Bytes of the client: kept ones first. Taken out of the queue.
static size_t take_bytes(struct engine *e, struct sock *s, size_t most)
{
	size_t kept = queue_length(&s->in);
	if (kept == 0)
		return sock_read(s, e->scratch, most);
	if (kept > most)
		kept = most;
	memcpy(e->scratch, s->in.data + s->in.start, kept);
	queue_skip(e, &s->in, kept);
	return kept;
}

void discard(struct engine *e, struct conn *c)
{
	size_t size = take_bytes(e, &c->s, bite(e));
	size_t p = 0;
	while (p < size && !c->request.done) {
		size_t start, end;
		ptrdiff_t used = body_next(&c->request, e->scratch + p, size - p, &start, &end);
		if (used < 0)
			return close_soon(e, c);
		c->discarded += end - start;
		p += (size_t)used;
	}
	if (c->discarded > DISCARD_LIMIT)
		return close_soon(e, c);
	sock_keep(e, &c->s, 0, e->scratch + p, size - p);
	if (c->request.done)
		next(e, c);
	else if (c->s.ended)
		close_soon(e, c);
	else if (c->s.lost)
		abort_conn(e, c, WHY_CLIENT);
	else if (c->s.readable || queue_length(&c->s.in) > 0)
		look_at(e, &c->s);
}

void fail(struct engine *e, struct conn *c, uint8_t why)
{
	struct up *up = c->up;
	c->fail_flags = 0;
	why = up && up->s.starved ? WHY_MEMORY : why;
	c->up = NULL;
	if (up) {
		c->fail_flags = (up->connected && !up->refused ? IN_SENT : 0) | (up->reused ? IN_REUSED : 0) |
				(!c->body_sent && queue_length(&up->s.in) == 0 ? IN_REPLAYABLE : 0);
		up_destroy(e, up);
	}
	c->phase = DECIDING;
	push(e, c, FAILED, why);
}

// The client's body broke its framing: nothing more goes up, and what can be said is said.
static void broken(struct engine *e, struct conn *c)
{
	c->keep = false;
	if (c->started)
		return abort_conn(e, c, WHY_FRAMING);
	fail(e, c, WHY_FRAMING);
}

void pump_request(struct engine *e, struct conn *c, struct head *head, const uint8_t *bytes, size_t size)
{
	struct up *up = c->up;
	struct gather g = gather_for(e, &up->s, head);
	if (up->s.script)
		g.trailers = &c->request_trailers;
	ptrdiff_t used = 0;
	if (!c->request.done)
		used = gather_body(&g, &c->request, bytes, size, c->request_chunk && !up->s.script, &c->bytes_in);
	gather_flush(&g);
	// Also where that is but the end of an empty one: it is not kept to be sent again.
	c->body_sent = c->body_sent || used != 0;
	if (used < 0)
		return broken(e, c);
	sock_keep(e, &c->s, 0, bytes + used, size - (size_t)used);
	if (c->request.done && up->s.script)
		output_up(e, c);
	if (c->request.done)
		return;
	if (sock_blocked(&up->s))
		// What the upstream does not take is not held against the client.
		wheel_set(&e->wheel, &c->idle, now_ms(e) + stall_ms(e, c));
	else if (c->s.readable || queue_length(&c->s.in) > 0)
		look_at(e, &c->s);
	else if (c->s.ended || c->s.lost)
		abort_conn(e, c, WHY_CLIENT);
}

// Moves what has come of the request's body.
void request_more(struct engine *e, struct conn *c)
{
	struct up *up = c->up;
	if (c->request.done || !up || !up->connected || sock_blocked(&up->s))
		return;
	size_t size = take_bytes(e, &c->s, bite(e));
	if (size > 0) {
		touch(e, c);
		return pump_request(e, c, NULL, e->scratch, size);
	}
	if (c->s.ended || c->s.lost)
		abort_conn(e, c, WHY_CLIENT);
}

void upstream_ready(struct engine *e, struct conn *c)
{
	await_body(e, c);
	request_more(e, c);
}

void pump_response(struct engine *e, struct conn *c, struct up *up, struct head *head, const uint8_t *bytes,
		   size_t size)
{
	struct gather g = gather_for(e, &c->s, head);
	ptrdiff_t used = 0;
	if (c->s.script)
		g.trailers = &c->response_trailers;
	if (!c->response.done)
		used = gather_body(&g, &c->response, bytes, size, c->response_chunk, &c->bytes_out);
	gather_flush(&g);
	if (used < 0)
		return abort_conn(e, c, WHY_FRAMING);
	if ((size_t)used < size)
		up->dirty = true;
	if (c->response.done)
		finish(e, c);
	else if (up->s.readable || up->s.ended || up->s.lost || queue_length(&up->s.in) > 0)
		look_at(e, &up->s);
}

static void response_ended(struct engine *e, struct conn *c, struct up *up)
{
	if (c->response.mode != BODY_CLOSE || up->s.lost)
		return abort_conn(e, c, up->s.lost ? WHY_RESET : WHY_EOF);
	c->response.done = true;
	if (c->response_chunk)
		sock_send_bytes(e, &c->s, "0\r\n\r\n", 5);
	finish(e, c);
}

void response_more(struct engine *e, struct conn *c, struct up *up)
{
	if (sock_blocked(&c->s))
		return;
	size_t size = take_bytes(e, &up->s, c->s.script ? STREAM_SCRATCH : bite(e));
	if (size > 0) {
		touch(e, c);
		return pump_response(e, c, up, NULL, e->scratch, size);
	}
	if (up->s.ended || up->s.lost)
		response_ended(e, c, up);
}
