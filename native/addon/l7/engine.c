// An engine's life: memory, its place in the event loop, its end.
#include "l7.h"
#include "tls/tls.h"

#include <errno.h>
#include <linux/sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SPARE 64
#define SLICE_NS 100000

bool table_reach(struct table *t, uint32_t place)
{
	uint32_t size = t->size ? t->size : 64;
	while (size <= place)
		size *= 2;
	if (size == t->size)
		return true;
	void **entries = realloc(t->entries, size * sizeof(*entries));
	if (!entries)
		return false;
	memset(entries + t->size, 0, (size - t->size) * sizeof(*entries));
	t->entries = entries;
	t->size = size;
	return true;
}

static void free_table(struct table *t, bool entries)
{
	for (uint32_t i = 0; entries && i < t->size; i++)
		free(t->entries[i]);
	free(t->entries);
}

static void engine_free(struct engine *e)
{
	// No turn comes that would look at them.
	for (struct sock *s = e->ready; s; s = s->next)
		s->listed = false;
	dig(e);
	while (e->gone) {
		struct conn *c = e->gone;
		e->gone = c->newer;
		conn_free(e, c);
	}
	dig(e);
	for (uint32_t i = 0; i < e->templates.size; i++) {
		struct template *t = e->templates.entries[i];
		if (t)
			free(t->bytes);
	}
	free_table(&e->templates, true);
	for (uint32_t i = 0; i < e->endpoints.size; i++)
		if (e->endpoints.entries[i])
			endpoint_plain(e->endpoints.entries[i]);
	free_table(&e->endpoints, true);
	tls_close(e);
	free_table(&e->listeners, false);
	free_table(&e->slots, false);
	free(e->generations);
	free(e->known);
	free(e->free_slots);
	free(e->queue);
	free(e->scratch);
	free(e->arena);
	free(e->rows);
	if (e->epoll >= 0)
		close(e->epoll);
	free(e);
}

void engine_release(struct engine *e)
{
	if (--e->holders == 0)
		engine_free(e);
}

struct engine *engine_new(const struct times *times, uint32_t tick_ms, uint32_t max_connections,
			  uint32_t max_streams, uint32_t max_per_endpoint, uint32_t max_held)
{
	struct engine *e = calloc(1, sizeof(*e));
	if (!e)
		return NULL;
	e->holders = 1;
	e->times = *times;
	e->max_connections = max_connections;
	e->max_streams = max_streams;
	e->spare = max_connections / 8 < SPARE ? max_connections / 8 : SPARE;
	e->max_per_endpoint = max_per_endpoint;
	e->max_held = max_held;
	e->ready_end = &e->ready;
	e->arena = calloc(1, ARENA_BYTES);
	e->rows = calloc(ROWS * ROW_WORDS, sizeof(*e->rows));
	e->scratch = malloc(SCRATCH);
	e->generations = calloc(SLOTS, sizeof(*e->generations));
	e->known = calloc(SLOTS, sizeof(*e->known));
	e->free_slots = calloc(SLOTS, sizeof(*e->free_slots));
	e->epoll = epoll_create1(EPOLL_CLOEXEC);
	e->now_us = uv_hrtime() / 1000;
	wheel_open(&e->wheel, tick_ms, e->now_us / 1000);
	if (!e->arena || !e->rows || !e->scratch || !e->generations || !e->known || !e->free_slots ||
	    !rows_open(e, max_connections + max_streams) || e->epoll < 0 ||
	    !table_reach(&e->slots, max_connections + max_streams)) {
		engine_free(e);
		return NULL;
	}
	return e;
}

static void on_closed(uv_handle_t *handle)
{
	struct engine *e = handle->data;
	if (--e->handles > 0)
		return;
	napi_remove_async_cleanup_hook(e->hook);
	engine_release(e);
}

static void on_teardown(napi_async_cleanup_hook_handle hook, void *data)
{
	(void)hook;
	struct engine *e = data;
	// Its thread ends, and not by a wish: what can be goes over to another.
	if (!e->closed && e->home)
		park_all(e, false, UINT32_MAX);
	engine_shut(e);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
	(void)status;
	(void)events;
	turn(poll->data);
}

static void fire(struct timer *t, void *hint)
{
	struct engine *e = hint;
	if (t->kind == TIMER_UP)
		up_timer(e, (struct up *)((char *)t - offsetof(struct up, timer)));
	else if (t->kind == TIMER_IDLE)
		client_timer(e, (struct conn *)((char *)t - offsetof(struct conn, idle)), false);
	else
		client_timer(e, (struct conn *)((char *)t - offsetof(struct conn, deadline)), true);
}

static void on_tick(uv_timer_t *tick)
{
	struct engine *e = tick->data;
	e->now_us = uv_hrtime() / 1000;
	wheel_advance(&e->wheel, e->now_us / 1000, fire, e);
	parcels_expire();
	if (e->held > e->max_held)
		shed_held(e);
	for (uint32_t i = 0; e->starved && i < e->listeners.size; i++) {
		const struct listener *l = e->listeners.entries[i];
		for (struct gate *g = l ? l->gates : NULL; g; g = g->next)
			look_at(e, &g->s);
	}
	e->starved = false;
}

// Who wakes with a shorter slice than the one that runs goes first, without waiting for the end of that one's (EEVDF;
// Linux 6.12, commit 85e511df3cec; older kernels take no notice). Programs that the thread starts don't inherit it.
// The kernel's struct sched_attr, whose header and glibc's stand in each other's way.
static void take_short_slices(void)
{
	struct {
		uint32_t size, policy;
		uint64_t flags;
		int32_t nice;
		uint32_t priority;
		uint64_t runtime_ns, deadline, period;
	} attr = { .size = sizeof(attr), .flags = SCHED_FLAG_RESET_ON_FORK, .runtime_ns = SLICE_NS };
	syscall(SYS_sched_setattr, 0, &attr, 0);
}

int engine_start(struct engine *e, napi_env env, napi_value on_batch)
{
	uv_loop_t *loop = NULL;
	napi_value name = string_value(env, "midplane:l7");
	napi_get_uv_event_loop(env, &loop);
	int rc = uv_poll_init(loop, &e->poll, e->epoll);
	if (rc != 0)
		return -rc;
	uv_timer_init(loop, &e->tick);
	uv_idle_init(loop, &e->again);
	e->poll.data = e->tick.data = e->again.data = e;
	e->handles = 3;
	e->holders += 1;
	e->env = env;
	napi_create_reference(env, on_batch, 1, &e->on_batch);
	napi_async_init(env, NULL, name, &e->context);
	napi_add_async_cleanup_hook(env, on_teardown, e, &e->hook);
	uv_poll_start(&e->poll, UV_READABLE, on_poll);
	uv_timer_start(&e->tick, on_tick, e->wheel.tick_ms, e->wheel.tick_ms);
	take_short_slices();
	return 0;
}

static void close_connections(struct engine *e)
{
	for (uint32_t i = 0; i < e->listeners.size; i++)
		if (e->listeners.entries[i])
			listener_close(e, e->listeners.entries[i]);
	while (e->oldest_stream)
		abort_conn(e, e->oldest_stream, WHY_CLOSED);
	while (e->oldest)
		abort_conn(e, e->oldest, WHY_CLOSED);
	for (uint32_t i = 0; i < e->endpoints.size; i++) {
		struct endpoint *p = e->endpoints.entries[i];
		while (p && p->idle)
			up_destroy(e, p->idle);
	}
}

void engine_shut(struct engine *e)
{
	if (e->closed)
		return;
	e->closed = true;
	close_connections(e);
	napi_delete_reference(e->env, e->on_batch);
	napi_async_destroy(e->env, e->context);
	uv_poll_stop(&e->poll);
	uv_close((uv_handle_t *)&e->poll, on_closed);
	uv_close((uv_handle_t *)&e->tick, on_closed);
	uv_close((uv_handle_t *)&e->again, on_closed);
}
