#include "../l7.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define MEMBER_BUCKETS 4096
// An IPv6 client is a network of so many bytes: whoever has one address of it has all.
#define CLIENT_V6 8

struct member {
	struct member *next;
	uint32_t count;
	uint8_t address[16];
};

struct crowd {
	struct crowd *next;
	uint32_t home, tag, holders;
	uint32_t most, per_client; // 0: any number
	uint32_t count, over, over_client;
	uint32_t seed;
	struct member **members; // NULL: nobody asked for a bound of one client yet
};

// Guarded by its lock, as is what it leads to.
static struct {
	pthread_mutex_t lock;
	struct crowd *first;
} crowds = { .lock = PTHREAD_MUTEX_INITIALIZER };

static struct crowd *find(uint32_t home, uint32_t tag)
{
	struct crowd *k = home ? crowds.first : NULL;
	while (k && (k->home != home || k->tag != tag))
		k = k->next;
	return k;
}

struct crowd *crowd_join(uint32_t home, uint32_t tag)
{
	pthread_mutex_lock(&crowds.lock);
	struct crowd *k = find(home, tag);
	if (!k && (k = calloc(1, sizeof(*k)))) {
		k->home = home;
		k->tag = tag;
		k->next = crowds.first;
		crowds.first = k;
	}
	if (k)
		k->holders += 1;
	pthread_mutex_unlock(&crowds.lock);
	return k;
}

static void crowd_free(struct crowd *k)
{
	for (int i = 0; k->members && i < MEMBER_BUCKETS; i++)
		while (k->members[i]) {
			struct member *m = k->members[i];
			k->members[i] = m->next;
			free(m);
		}
	free(k->members);
	free(k);
}

void crowd_leave(struct crowd *k)
{
	pthread_mutex_lock(&crowds.lock);
	if (--k->holders == 0) {
		struct crowd **link = &crowds.first;
		while (*link != k)
			link = &(*link)->next;
		*link = k->next;
		crowd_free(k);
	}
	pthread_mutex_unlock(&crowds.lock);
}

// A client as 16 bytes: IPv4 as mapped into IPv6, IPv6 its network.
static void client_of(uint8_t *to, const uint8_t *address, size_t size)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	memset(to, 0, 16);
	if (size == 4) {
		memcpy(to, mapped, sizeof(mapped));
		memcpy(to + 12, address, 4);
	} else if (memcmp(address, mapped, sizeof(mapped)) == 0)
		memcpy(to, address, 16);
	else
		memcpy(to, address, CLIENT_V6);
}

static struct member **bucket(const struct crowd *k, const uint8_t *address)
{
	uint64_t words[2];
	memcpy(words, address, sizeof(words));
	uint64_t hash = (words[0] ^ k->seed) * 0x9e3779b97f4a7c15u;
	hash = (hash ^ (hash >> 29) ^ words[1]) * 0xbf58476d1ce4e5b9u;
	return &k->members[(hash >> 40) % MEMBER_BUCKETS];
}

// Counts the connection for that client, within the bound unless `always`. No memory is no reason to turn one away.
static bool enter_client(struct crowd *k, struct conn *c, const uint8_t *address, size_t size, bool always)
{
	uint8_t client[16];
	if (k->per_client == 0 || !k->members || c->member)
		return true;
	client_of(client, address, size);
	struct member **head = bucket(k, client), *m = *head;
	while (m && memcmp(m->address, client, sizeof(client)) != 0)
		m = m->next;
	if (m && !always && m->count >= k->per_client) {
		k->over_client += 1;
		return false;
	}
	if (!m && (m = calloc(1, sizeof(*m)))) {
		memcpy(m->address, client, sizeof(client));
		m->next = *head;
		*head = m;
	}
	if (m)
		m->count += 1;
	c->member = m;
	return true;
}

static bool enter_peer(struct crowd *k, struct conn *c, bool always)
{
	const union address *a = &c->peer;
	if (c->later)
		return true;
	if (a->any.sa_family == AF_INET)
		return enter_client(k, c, (const uint8_t *)&a->in.sin_addr, 4, always);
	return enter_client(k, c, (const uint8_t *)&a->in6.sin6_addr, 16, always);
}

bool crowd_admit(struct listener *l, struct conn *c)
{
	struct crowd *k = l->crowd;
	c->later = l->later;
	pthread_mutex_lock(&crowds.lock);
	bool room = k->most == 0 || k->count < k->most;
	if (!room)
		k->over += 1;
	room = room && enter_peer(k, c, false);
	if (room)
		k->count += 1;
	c->counted = room;
	pthread_mutex_unlock(&crowds.lock);
	return room;
}

void crowd_take(struct conn *c)
{
	struct crowd *k = c->listener->crowd;
	c->later = c->listener->later;
	pthread_mutex_lock(&crowds.lock);
	enter_peer(k, c, true);
	k->count += 1;
	c->counted = true;
	pthread_mutex_unlock(&crowds.lock);
}

void crowd_exit(struct crowd *k, struct conn *c)
{
	if (!c->counted && !c->member)
		return;
	pthread_mutex_lock(&crowds.lock);
	k->count -= c->counted;
	if (c->member && --c->member->count == 0) {
		struct member **link = bucket(k, c->member->address);
		while (*link != c->member)
			link = &(*link)->next;
		*link = c->member->next;
		free(c->member);
	}
	c->member = NULL;
	c->counted = false;
	pthread_mutex_unlock(&crowds.lock);
}

// l7Limit(engine, listener, most, perClient, later): bounds of its connections, 0: none. With `later` JavaScript says
// who a client is. Those that are there are counted, and stay.
static napi_value l7_limit(napi_env env, napi_callback_info info)
{
	struct call call = call_of(env, info);
	uint32_t id, most, per_client;
	bool later;
	struct engine *e = engine_of(&call);
	if (!e || !arg_u32(&call, 1, "listener", UINT32_MAX, &id) || !arg_u32(&call, 2, "most", UINT32_MAX, &most) ||
	    !arg_u32(&call, 3, "perClient", UINT32_MAX, &per_client) || !arg_bool(&call, 4, "later", &later))
		return NULL;
	struct listener *l = listener_find(e, id);
	if (!l)
		return NULL;
	l->later = later;
	pthread_mutex_lock(&crowds.lock);
	struct crowd *k = l->crowd;
	k->most = most;
	k->per_client = per_client;
	if (per_client > 0 && !k->members) {
		k->members = calloc(MEMBER_BUCKETS, sizeof(*k->members));
		if (getrandom(&k->seed, sizeof(k->seed), 0) != sizeof(k->seed))
			abort();
	}
	for (struct conn *c = per_client > 0 ? e->oldest : NULL; c; c = c->newer)
		if (c->listener == l && c->counted)
			enter_peer(k, c, true);
	pthread_mutex_unlock(&crowds.lock);
	return NULL;
}

// l7Admits(engine, conn, address: 4 or 16 bytes): whether one more of that client may be; then it is counted.
static napi_value l7_admits(napi_env env, napi_callback_info info)
{
	struct call call = call_of(env, info);
	struct bytes address;
	uint32_t id;
	napi_value result = NULL;
	struct engine *e = engine_of(&call);
	if (!e || !arg_u32(&call, 1, "conn", UINT32_MAX, &id) || !arg_bytes(&call, 2, "address", &address))
		return NULL;
	if (address.size != 4 && address.size != 16)
		return throw_range(env, "address");
	struct conn *c = conn_find(e, id);
	bool room = true;
	if (c && c->counted) {
		pthread_mutex_lock(&crowds.lock);
		room = enter_client(c->listener->crowd, c, address.data, address.size, false);
		pthread_mutex_unlock(&crowds.lock);
	}
	napi_get_boolean(env, room, &result);
	return result;
}

// l7Crowds(home): for each listener { tag, connections, over, overClient }.
static napi_value l7_crowds(napi_env env, napi_callback_info info)
{
	struct call call = call_of(env, info);
	uint32_t home, count = 0;
	napi_value list = NULL, one = NULL;
	if (!arg_u32(&call, 0, "home", UINT32_MAX, &home))
		return NULL;
	napi_create_array(env, &list);
	pthread_mutex_lock(&crowds.lock);
	for (const struct crowd *k = crowds.first; k; k = k->next) {
		if (k->home != home)
			continue;
		napi_create_object(env, &one);
		set_u32(env, one, "tag", k->tag);
		set_u32(env, one, "connections", k->count);
		set_u32(env, one, "over", k->over);
		set_u32(env, one, "overClient", k->over_client);
		napi_set_element(env, list, count++, one);
	}
	pthread_mutex_unlock(&crowds.lock);
	return list;
}

// l7Stall(engine, conn, ms): how long what the row begins may be without a byte. 0: as long as any.
static napi_value l7_stall(napi_env env, napi_callback_info info)
{
	struct call call = call_of(env, info);
	uint32_t id, ms;
	struct engine *e = engine_of(&call);
	if (!e || !arg_u32(&call, 1, "conn", UINT32_MAX, &id) || !arg_u32(&call, 2, "ms", INT32_MAX, &ms))
		return NULL;
	struct conn *c = conn_find(e, id);
	if (c)
		c->stall_ms = ms;
	return NULL;
}

void register_l7_limit(napi_env env, napi_value exports)
{
	export_function(env, exports, "l7Limit", l7_limit);
	export_function(env, exports, "l7Admits", l7_admits);
	export_function(env, exports, "l7Crowds", l7_crowds);
	export_function(env, exports, "l7Stall", l7_stall);
}
