// Does what the out words of a row say. Every number is checked: a row can be wrong, the engine may not be.
#include "l7.h"

#include <stdlib.h>
#include <string.h>

static uint64_t wide(const int32_t *row, int word)
{
	return (uint32_t)row[word] | (uint64_t)(uint32_t)row[word + 1] << 32;
}

// The runs and the template of a row. False: a run lies outside of the arena.
static bool compose(const struct engine *e, const int32_t *row, struct head *head)
{
	uint32_t tail = (uint32_t)row[W_TAIL];
	uint32_t runs = tail & 0xff, template = tail >> 8;
	*head = (struct head){ 0 };
	if (runs > MAX_RUNS)
		return false;
	for (uint32_t i = 0; i < runs; i++) {
		int64_t off = row[W_RUNS + 2 * i], size = row[W_RUNS + 2 * i + 1];
		if (off < 0 || size < 0 || off + size > ARENA_BYTES)
			return false;
		if (size > 0)
			head->pieces[head->count++] = (struct iovec){ e->arena + off, (size_t)size };
		head->size += (size_t)size;
	}
	const struct template *t = template < e->templates.size ? e->templates.entries[template] : NULL;
	if (t && t->size > 0) {
		head->pieces[head->count++] = (struct iovec){ t->bytes, t->size };
		head->size += t->size;
	}
	return true;
}

// Body and used-up words of a row within what can be. `most` is the highest BODY_ word that fits.
static bool sane(const int32_t *row, struct given g, int32_t most)
{
	return row[W_HEAD] >= 0 && (uint32_t)row[W_HEAD] <= g.size && row[W_BODY] >= BODY_NONE && row[W_BODY] <= most &&
	       row[W_BODY_HI] >= 0 && row[W_BODY_HI] < 1 << 21 && row[W_DEADLINE] >= 0;
}

// What of the row's bytes is not used up goes back before what the connection still keeps.
static void keep(struct engine *e, struct sock *s, struct given g, uint32_t used)
{
	sock_keep(e, s, g.kept, g.bytes + used, g.size - used);
}

static void refuse(struct engine *e, struct conn *c)
{
	e->stats.faults += 1;
	abort_conn(e, c, WHY_CLOSED);
}

static void reply(struct engine *e, struct conn *c, const int32_t *row)
{
	struct head head;
	if (!compose(e, row, &head))
		return refuse(e, c);
	struct up *up = c->up;
	c->up = NULL;
	if (up)
		up_destroy(e, up);
	c->bytes_out += head.size;
	c->started = true;
	c->keep = row[W_OUT] & OUT_KEEP;
	c->phase = EXCHANGE;
	c->opening = false;
	sock_send(e, &c->s, head.pieces, head.count);
	finish(e, c);
}

// Sends the request to an upstream: with what of its body lies at `bytes`, where the connection stands; else the head
// waits, and the body with the client.
static void forward(struct engine *e, struct conn *c, uint32_t endpoint, bool fresh, struct head *head,
		    const uint8_t *bytes, size_t size)
{
	struct endpoint *p = endpoint_find(e, endpoint);
	uint8_t why = WHY_OVERFLOW;
	struct up *up = p ? up_acquire(e, p, fresh, c->opening, &why) : NULL;
	if (!up) {
		if (!queue_put(e, &c->s.in, bytes, size))
			sock_starved(e, &c->s);
		c->fail_flags = IN_REPLAYABLE;
		c->phase = DECIDING;
		return push(e, c, FAILED, why);
	}
	up->conn = c;
	up->in_body = false;
	c->up = up;
	c->phase = EXCHANGE;
	c->keep_upstream = false;
	await_body(e, c);
	if (c->s.broken)
		look_at(e, &c->s);
	if (up->connected)
		return pump_request(e, c, head, bytes, size);
	sock_send(e, &up->s, head->pieces, head->count);
	if (!queue_put(e, &c->s.in, bytes, size))
		sock_starved(e, &c->s);
}

static bool remember(struct engine *e, struct conn *c, const struct head *head)
{
	uint32_t size = (uint32_t)head->size;
	uint8_t *data = malloc(size ? size : 1);
	queue_free(e, &c->sent);
	if (!data)
		return false;
	c->sent = (struct queue){ .data = data, .end = size, .size = size };
	e->held += size;
	for (int i = 0; i < head->count; i++) {
		memcpy(data, head->pieces[i].iov_base, head->pieces[i].iov_len);
		data += head->pieces[i].iov_len;
	}
	return true;
}

static void exchange(struct engine *e, struct conn *c, const int32_t *row, struct given g)
{
	struct head head;
	uint32_t used = (uint32_t)row[W_HEAD];
	if (!sane(row, g, BODY_CHUNKED) || !compose(e, row, &head) || (row[W_ACTION] == FORWARD && !remember(e, c, &head)))
		return refuse(e, c);
	begin(e, c, used);
	c->head_timed = false;
	body_begin(&c->request, (uint8_t)row[W_BODY], wide(row, W_BODY_LO));
	c->request_chunk = row[W_OUT] & OUT_CHUNK;
	if (row[W_ACTION] == REPLY) {
		keep(e, &c->s, g, used);
		return reply(e, c, row);
	}
	if (row[W_DEADLINE] > 0)
		wheel_set(&e->wheel, &c->deadline, e->now_us / 1000 + (uint32_t)row[W_DEADLINE]);
	const uint8_t *bytes = g.bytes + used;
	size_t size = g.size - used;
	// All that was kept has been laid out, so what follows in the arena is what comes next.
	if (queue_length(&c->s.in) > g.kept) {
		keep(e, &c->s, g, used);
		size = 0;
	} else
		queue_free(e, &c->s.in);
	forward(e, c, (uint32_t)row[W_ENDPOINT], false, &head, bytes, size);
}

// A tunnel to an upstream: the row's runs go before the client's bytes, its template to the client once it stands.
static void open_tunnel(struct engine *e, struct conn *c, int32_t *row)
{
	struct head head;
	c->tunnel_template = (uint32_t)row[W_TAIL] >> 8;
	row[W_TAIL] &= 0xff;
	if (!compose(e, row, &head) || row[W_DEADLINE] < 0 || !remember(e, c, &head))
		return refuse(e, c);
	if (!c->active)
		begin(e, c, 0);
	c->greeting = false;
	c->opening = true;
	c->tunnel_ms = (uint32_t)row[W_DEADLINE];
	body_begin(&c->request, BODY_NONE, 0);
	forward(e, c, (uint32_t)row[W_ENDPOINT], true, &head, NULL, 0);
}

// The connection speaks HTTP.
static void plain(struct engine *e, struct conn *c)
{
	c->greeting = false;
	c->phase = AWAIT;
	wheel_set(&e->wheel, &c->idle, e->now_us / 1000 + e->times.head_ms);
	c->head_timed = true;
	if (c->s.readable || queue_length(&c->s.in) > 0)
		push(e, c, REQUEST, WHY_NONE);
}

static void hello(struct engine *e, struct conn *c, int32_t *row, struct given g)
{
	if (!sane(row, g, BODY_NONE) || (row[W_ACTION] == WAIT && row[W_HEAD] == 0 && g.size == ROW_BYTES))
		return refuse(e, c);
	c->asked = true;
	keep(e, &c->s, g, (uint32_t)row[W_HEAD]);
	switch (row[W_ACTION]) {
	case WAIT:
		if (c->s.ended || c->s.lost)
			return close_soon(e, c);
		if (row[W_DEADLINE] > 0)
			wheel_set(&e->wheel, &c->idle, e->now_us / 1000 + (uint32_t)row[W_DEADLINE]);
		if (c->s.readable || (row[W_HEAD] > 0 && queue_length(&c->s.in) > 0))
			push(e, c, HELLO, WHY_NONE);
		return;
	case HOLD:
		// Asked again without bytes too.
		c->asked = false;
		return hold(e, c, HELLO);
	case PLAIN:
		return plain(e, c);
	case TUNNEL:
		return open_tunnel(e, c, row);
	case TLS:
		return c->s.tls ? refuse(e, c) : tls_greet(e, c, (uint32_t)row[W_ENDPOINT], row[W_OUT] & OUT_ASK);
	default:
		close_soon(e, c);
	}
}

static void wait(struct engine *e, struct conn *c, struct given g)
{
	if (g.size == ROW_BYTES)
		return refuse(e, c);
	keep(e, &c->s, g, 0);
	if (c->s.ended)
		return close_soon(e, c);
	if (c->s.lost)
		return abort_conn(e, c, WHY_CLIENT);
	if (!c->head_timed) {
		c->head_timed = true;
		wheel_set(&e->wheel, &c->idle, e->now_us / 1000 + e->times.head_ms);
	}
	if (c->s.readable)
		look_at(e, &c->s);
}

static void request(struct engine *e, struct conn *c, int32_t *row, struct given g)
{
	switch (row[W_ACTION]) {
	case WAIT:
		return wait(e, c, g);
	case FORWARD:
	case REPLY:
		return exchange(e, c, row, g);
	case HOLD:
		keep(e, &c->s, g, 0);
		return hold(e, c, REQUEST);
	case TUNNEL:
		if (!sane(row, g, BODY_NONE))
			return refuse(e, c);
		keep(e, &c->s, g, (uint32_t)row[W_HEAD]);
		return open_tunnel(e, c, row);
	case RAW:
		if (!sane(row, g, BODY_NONE))
			return refuse(e, c);
		keep(e, &c->s, g, (uint32_t)row[W_HEAD]);
		c->phase = RAWMODE;
		touch(e, c);
		if (c->s.readable || queue_length(&c->s.in) > 0)
			push(e, c, BYTES, WHY_NONE);
		return;
	default:
		close_soon(e, c);
	}
}

static void interim(struct engine *e, struct conn *c, struct up *up, const int32_t *row, struct given g)
{
	struct head head;
	if (!compose(e, row, &head))
		return refuse(e, c);
	keep(e, &up->s, g, (uint32_t)row[W_HEAD]);
	if (head.size > 0) {
		c->bytes_out += head.size;
		sock_send(e, &c->s, head.pieces, head.count);
	}
	if (queue_length(&up->s.in) > 0 || up->s.readable)
		push(e, c, RESPONSE, WHY_NONE);
	else if (up->s.ended || up->s.lost)
		fail(e, c, up->s.lost ? WHY_RESET : WHY_EOF);
}

static void respond(struct engine *e, struct conn *c, struct up *up, const int32_t *row, struct given g)
{
	struct head head;
	uint32_t used = (uint32_t)row[W_HEAD];
	if (!compose(e, row, &head))
		return refuse(e, c);
	up->in_body = true;
	c->started = true;
	queue_free(e, &c->sent);
	c->keep = row[W_OUT] & OUT_KEEP;
	c->keep_upstream = row[W_OUT] & OUT_KEEP_UPSTREAM;
	c->response_chunk = (row[W_OUT] & OUT_CHUNK) && !c->s.script;
	body_begin(&c->response, (uint8_t)row[W_BODY], wide(row, W_BODY_LO));
	c->bytes_out += head.size;
	bool more = queue_length(&up->s.in) > g.kept;
	if (more)
		keep(e, &up->s, g, used);
	else
		queue_free(e, &up->s.in);
	pump_response(e, c, up, &head, g.bytes + used, more ? 0 : g.size - used);
}

static void tunnel(struct engine *e, struct conn *c, struct up *up, const int32_t *row, struct given g)
{
	struct head head;
	if (!compose(e, row, &head))
		return refuse(e, c);
	keep(e, &up->s, g, (uint32_t)row[W_HEAD]);
	c->bytes_out += head.size;
	c->tunnel_ms = (uint32_t)row[W_DEADLINE];
	// It is part of the head already.
	c->tunnel_template = 0;
	if (head.count > 0)
		sock_send(e, &c->s, head.pieces, head.count);
	tunnel_begin(e, c, up);
}

static void response(struct engine *e, struct conn *c, const int32_t *row, struct given g)
{
	struct up *up = c->up;
	int32_t action = row[W_ACTION];
	if (action == WAIT) {
		if (g.size == ROW_BYTES)
			return refuse(e, c);
		keep(e, &up->s, g, 0);
		if (up->s.ended || up->s.lost)
			fail(e, c, up->s.lost ? WHY_RESET : WHY_EOF);
		else if (up->s.readable)
			look_at(e, &up->s);
	} else if (action == REPLY)
		reply(e, c, row);
	else if (action != FORWARD && action != TUNNEL)
		abort_conn(e, c, WHY_CLOSED);
	else if (!sane(row, g, BODY_INTERIM))
		refuse(e, c);
	else if (action == TUNNEL)
		tunnel(e, c, up, row, g);
	else if (row[W_BODY] == BODY_INTERIM)
		interim(e, c, up, row, g);
	else
		respond(e, c, up, row, g);
}

// FAILED and TIMEOUT. A timeout before any head begins an exchange of its own.
static void trouble(struct engine *e, struct conn *c, int32_t *row, uint8_t why)
{
	if (row[W_ACTION] == RETRY && c->sent.data && (c->fail_flags & IN_REPLAYABLE)) {
		const uint32_t size = c->sent.end;
		struct head head = { .pieces = { { c->sent.data, size } }, .count = size > 0, .size = size };
		return forward(e, c, (uint32_t)row[W_ENDPOINT], true, &head, NULL, 0);
	}
	if (row[W_ACTION] == TUNNEL && c->greeting)
		return open_tunnel(e, c, row);
	if (row[W_ACTION] == PLAIN && c->greeting)
		return plain(e, c);
	if (row[W_ACTION] == CLOSE && c->greeting)
		return close_soon(e, c);
	if (row[W_ACTION] != REPLY || c->started)
		return abort_conn(e, c, why);
	if (!c->active) {
		begin(e, c, (uint32_t)queue_length(&c->s.in));
		queue_free(e, &c->s.in);
		body_begin(&c->request, BODY_NONE, 0);
	}
	reply(e, c, row);
}

static void bytes(struct engine *e, struct conn *c, const int32_t *row, struct given g)
{
	if (!sane(row, g, BODY_NONE) || (row[W_HEAD] == 0 && g.size == ROW_BYTES))
		return refuse(e, c);
	keep(e, &c->s, g, (uint32_t)row[W_HEAD]);
	if (row[W_ACTION] == CLOSE)
		return close_soon(e, c);
	touch(e, c);
	if (c->s.readable || (row[W_HEAD] > 0 && g.size == ROW_BYTES))
		push(e, c, BYTES, WHY_NONE);
	else if (c->s.ended)
		close_soon(e, c);
	else if (c->s.lost)
		abort_conn(e, c, WHY_CLIENT);
}

void apply(struct engine *e, struct conn *c, int32_t *row, uint8_t kind, uint8_t why, struct given g)
{
	if (kind == HELLO)
		hello(e, c, row, g);
	else if (kind == REQUEST)
		request(e, c, row, g);
	else if (kind == RESPONSE)
		response(e, c, row, g);
	else if (kind == BYTES)
		bytes(e, c, row, g);
	else if (kind == OUTPUT)
		output_taken(e, c, why, row, g);
	else
		trouble(e, c, row, why);
}
