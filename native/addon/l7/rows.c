// Lays out what happened as rows and calls onBatch once. Bytes are read straight into the arena.
#include "l7.h"
#include "base/controls.h"
#include "tls/tls.h"

#include <stdlib.h>
#include <string.h>

#define MAX_US INT32_MAX
// So many rows of a connection are queued at once, at most: one that lays out bytes, an OUTPUT of each side, one that
// says what it is to be decided by (in DECIDING, until that is decided), and its DONE, which comes before the row that
// the next exchange begins with.
#define ROWS_OF_ONE 5

// Twice as much as can be, so that it is moved to the front only now and then; what was never used is memory by name.
bool rows_open(struct engine *e, uint32_t connections)
{
	e->queue_size = 2 * ROWS_OF_ONE * connections;
	e->queue = calloc(e->queue_size, sizeof(*e->queue));
	return e->queue != NULL;
}

static bool reads(uint8_t kind)
{
	return kind == REQUEST || kind == RESPONSE || kind == BYTES || kind == HELLO;
}

// One that only says "bytes have come" is queued once.
void push(struct engine *e, struct conn *c, uint8_t kind, uint8_t why)
{
	if (kind == OUTPUT) {
		bool *queued = why == OF_UPSTREAM ? &c->up_output_queued : &c->output_queued;
		if (*queued)
			return;
		*queued = true;
	} else if (reads(kind)) {
		if (c->queued)
			return;
		c->queued = true;
	}
	if (e->queue_last == e->queue_size) {
		e->queue_last -= e->queue_first;
		memmove(e->queue, e->queue + e->queue_first, e->queue_last * sizeof(*e->queue));
		e->queue_first = 0;
	}
	// Two times more than can be: this one's time will end it.
	if (e->queue_last == e->queue_size)
		return (void)(e->stats.faults += 1);
	e->queue[e->queue_last++] = (struct queued){ .conn = c, .kind = kind, .why = why };
	c->rows += 1;
	if (!e->in_turn)
		turn_soon(e);
}

// A row whose subject went away or moved on meanwhile says nothing; DONE and
// OUTPUT are always said.
static bool stale(const struct conn *c, uint8_t kind)
{
	switch (kind) {
	case DONE:
	case OUTPUT:
		return false;
	case HELLO:
		return c->phase != GREETING;
	case REQUEST:
		return c->phase != AWAIT;
	case RESPONSE:
		return c->phase != EXCHANGE || !c->up || c->up->in_body;
	case BYTES:
		return c->phase != RAWMODE;
	default:
		return c->phase != DECIDING;
	}
}

static void put_wide(int32_t *row, int word, uint64_t n)
{
	row[word] = (int32_t)(uint32_t)n;
	row[word + 1] = (int32_t)(uint32_t)(n >> 32);
}

static void fill_done(const struct conn *c, int32_t *row)
{
	row[W_OFF] = c->done_us < MAX_US ? (int32_t)c->done_us : MAX_US;
	put_wide(row, W_DONE_IN_LO, c->done_in);
	put_wide(row, W_DONE_OUT_LO, c->done_out);
}

// The connection's bytes: what it kept, then what the kernel has. False: there is nothing to lay out.
static bool fill_bytes(struct engine *e, struct conn *c, uint8_t kind, int32_t *row, uint32_t i, size_t used)
{
	struct sock *s = kind == RESPONSE ? &c->up->s : &c->s;
	size_t kept = queue_length(&s->in);
	if (kept > ROW_BYTES)
		kept = ROW_BYTES;
	if (kept > 0)
		memcpy(e->arena + used, s->in.data + s->in.start, kept);
	size_t more = kept < ROW_BYTES ? sock_read(s, e->arena + used + kept, ROW_BYTES - kept) : 0;
	if (kind == BYTES && kept + more > 0)
		queue_free(e, &c->label);
	e->given[i] = (struct given){ e->arena + used, (uint32_t)(kept + more), (uint32_t)kept };
	row[W_OFF] = (int32_t)used;
	row[W_LEN] = (int32_t)(kept + more);
	return kept + more > 0 || (kind == HELLO && !c->asked && !c->s.ended && !c->s.lost);
}

// Says where the row's control bytes are. `next` is the first place that is free.
static void note_controls(struct engine *e, int32_t *row, struct given given, uint32_t *next)
{
	uint32_t most = CONTROLS - *next < ROW_CONTROLS ? CONTROLS - *next : ROW_CONTROLS;
	int32_t *places = (int32_t *)(e->arena + CONTROLS_AT) + *next;
	row[W_CONTROLS] = (int32_t)*next;
	*next += controls_of(given.bytes, given.size, (int32_t)(given.bytes - e->arena), places, most);
	row[W_CONTROLS_END] = (int32_t)*next;
}

// What it means that a connection has no bytes to lay out: its end, its loss, or nothing.
static void nothing(struct engine *e, struct conn *c, uint8_t kind)
{
	if (kind == RESPONSE) {
		if (c->up->s.lost)
			fail(e, c, WHY_RESET);
		else if (c->up->s.ended)
			fail(e, c, WHY_EOF);
	} else if (c->s.lost)
		abort_conn(e, c, WHY_CLIENT);
	else if (c->s.ended || tls_failed(&c->s))
		close_soon(e, c);
}

static int32_t flags_of(const struct conn *c, uint8_t kind)
{
	int32_t flags = kind == FAILED ? c->fail_flags : 0;
	if (c->s.ended)
		flags |= IN_EOF;
	if (c->listener && c->listener->draining)
		flags |= IN_DRAINING;
	if (c->started)
		flags |= IN_STARTED;
	if (!c->request.done)
		flags |= IN_REQUEST_OPEN;
	return flags;
}

// Lays out row i. False: the row says nothing after all.
static bool lay_out(struct engine *e, struct queued q, uint32_t i, size_t used, uint32_t *controls)
{
	struct conn *c = q.conn;
	int32_t *row = row_at(e, i);
	if (reads(q.kind))
		c->queued = false;
	if (stale(c, q.kind))
		return false;
	memset(row, 0, W_RUNS * sizeof(*row));
	if (reads(q.kind) && !fill_bytes(e, c, q.kind, row, i, used)) {
		nothing(e, c, q.kind);
		return false;
	}
	if (q.kind == REQUEST || q.kind == RESPONSE)
		note_controls(e, row, e->given[i], controls);
	c->resumed = false;
	row[W_CONN] = (int32_t)c->id;
	row[W_KIND] = q.kind;
	row[W_REASON] = q.why;
	row[W_LISTENER] = c->listener ? (int32_t)c->listener->id : 0;
	row[W_IN] = flags_of(c, q.kind);
	if (q.kind == DONE)
		fill_done(c, row);
	if (q.kind == OUTPUT) {
		*(q.why == OF_UPSTREAM ? &c->up_output_queued : &c->output_queued) = false;
		e->given[i] = (struct given){ e->arena + used, output_fill(e, c, q.why, row, e->arena + used), 0 };
	}
	return true;
}

static void call(struct engine *e, uint32_t n)
{
	napi_env env = e->env;
	napi_handle_scope scope;
	napi_value receiver = NULL, function = NULL, count = NULL, error = NULL;
	if (napi_open_handle_scope(env, &scope) != napi_ok)
		return;
	napi_get_global(env, &receiver);
	napi_get_reference_value(env, e->on_batch, &function);
	napi_create_uint32(env, n, &count);
	if (napi_make_callback(env, e->context, receiver, function, 1, &count, NULL) == napi_pending_exception) {
		e->stats.faults += 1;
		if (napi_get_and_clear_last_exception(env, &error) == napi_ok)
			napi_fatal_exception(env, error);
	}
	napi_close_handle_scope(env, scope);
}

void batch(struct engine *e)
{
	uint8_t kinds[ROWS], whys[ROWS];
	uint32_t n = 0, controls = 0;
	size_t used = 0;
	// What is queued while rows are laid out is for the next batch: no bytes are laid out twice before they are taken.
	for (uint32_t left = e->queue_last - e->queue_first; left > 0 && n < ROWS; left--) {
		if (used + ROW_BYTES > READ_BYTES)
			break;
		struct queued q = e->queue[e->queue_first++];
		if (!lay_out(e, q, n, used, &controls)) {
			q.conn->rows -= 1;
			continue;
		}
		if (reads(q.kind) || q.kind == OUTPUT)
			used += e->given[n].size;
		kinds[n] = q.kind;
		whys[n] = q.why;
		e->batch[n++] = q.conn;
	}
	if (e->queue_first == e->queue_last)
		e->queue_first = e->queue_last = 0;
	if (n == 0)
		return;
	e->stats.batches += 1;
	e->stats.rows += n;
	call(e, n);
	for (uint32_t i = 0; i < n; i++) {
		struct conn *c = e->batch[i];
		int32_t row[ROW_WORDS];
		c->rows -= 1;
		// An earlier row of this batch, or a call from within it, can have ended it.
		if (kinds[i] == DONE || e->closed)
			continue;
		memcpy(row, row_at(e, i), sizeof(row));
		if (stale(c, kinds[i]))
			missed(e, c, row, kinds[i]);
		else
			apply(e, c, row, kinds[i], whys[i], e->given[i]);
	}
}
