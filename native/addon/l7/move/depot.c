// What is parked, of all engines of the process.
#include "../tls/tls.h"
#include "move.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

#define KEPT_MS 10000

// Guarded by its lock.
static struct {
	pthread_mutex_t lock;
	struct parcel *first;
} depot = { .lock = PTHREAD_MUTEX_INITIALIZER };

static void side_free(struct side *s)
{
	if (s->fd >= 0)
		close(s->fd);
	if (s->tls)
		tls_forget(s->tls);
	free(s->in.data);
	free(s->out.data);
}

void parcel_free(struct parcel *p)
{
	side_free(&p->client);
	side_free(&p->up);
	free(p->label.data);
	free(p);
}

void depot_put(struct parcel *p)
{
	p->parked_ms = uv_hrtime() / 1000000;
	if (getrandom(&p->number, sizeof(p->number), 0) != sizeof(p->number))
		abort();
	// What a number of JavaScript holds.
	p->number >>= 11;
	pthread_mutex_lock(&depot.lock);
	p->next = depot.first;
	depot.first = p;
	pthread_mutex_unlock(&depot.lock);
}

// Takes those out of the depot that `wanted` is true of.
static struct parcel *take_all(bool (*wanted)(const struct parcel *p, uint64_t hint), uint64_t hint)
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

struct parcel *depot_take(uint64_t number)
{
	return take_all(has_number, number);
}

void parcels_expire(void)
{
	free_all(take_all(too_old, uv_hrtime() / 1000000));
}

void parcels_discard(uint32_t home)
{
	free_all(take_all(of_home, home));
}

napi_value parcels_list(napi_env env, uint32_t home)
{
	uint32_t count = 0;
	napi_value list = NULL, number = NULL;
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
