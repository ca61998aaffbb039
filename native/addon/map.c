// eBPF maps by descriptor. Sizes come from the caller, who has them from mapInfo: a value buffer is what the kernel
// reads and writes, for a per-CPU map one value a possible CPU, each padded to 8 bytes.
#include "addon.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MAX_KEY 512
#define MAX_VALUE (64u * 1024 * 1024)
// Rows and bytes of a first batch.
#define FIRST_CHUNK 4096u
#define FIRST_BYTES (256u * 1024)
#define KERNEL_ENOTSUPP 524

// mapCreate(type, name, keySize, valueSize, maxEntries, flags): a descriptor.
static napi_value map_create(napi_env env, napi_callback_info info)
{
	struct call c = call_of(env, info);
	uint32_t type, key, value, entries, flags;
	char name[BPF_OBJ_NAME_LEN];
	if (!arg_u32(&c, 0, "type", 255, &type) || !arg_string(&c, 1, "name", name, sizeof(name)) ||
	    !arg_u32(&c, 2, "key size", MAX_KEY, &key) || !arg_u32(&c, 3, "value size", MAX_VALUE, &value) ||
	    !arg_u32(&c, 4, "entries", UINT32_MAX, &entries) || !arg_u32(&c, 5, "flags", UINT32_MAX, &flags))
		return NULL;
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = flags);
	int fd = bpf_map_create(type, name, key, value, entries, &opts);
	return fd < 0 ? throw_errno(env, -fd, NULL, "map %s", name) : u32_value(env, (uint32_t)fd);
}

// mapInfo(fd)
static napi_value map_info(napi_env env, napi_callback_info info)
{
	struct call c = call_of(env, info);
	int fd;
	if (!arg_fd(&c, 0, &fd))
		return NULL;
	struct bpf_map_info m = { 0 };
	uint32_t size = sizeof(m);
	int rc = bpf_obj_get_info_by_fd(fd, &m, &size);
	if (rc < 0)
		return throw_errno(env, -rc, NULL, "map info");
	napi_value v = NULL;
	napi_create_object(env, &v);
	set_string(env, v, "name", m.name);
	set_u32(env, v, "id", m.id);
	set_u32(env, v, "type", m.type);
	set_u32(env, v, "keySize", m.key_size);
	set_u32(env, v, "valueSize", m.value_size);
	set_u32(env, v, "maxEntries", m.max_entries);
	set_u32(env, v, "flags", m.map_flags);
	set_u32(env, v, "btfId", m.btf_id);
	set_u32(env, v, "btfKeyType", m.btf_key_type_id);
	set_u32(env, v, "btfValueType", m.btf_value_type_id);
	return v;
}

// mapLookup(fd, key, valueBytes): the value, or undefined.
static napi_value map_lookup(napi_env env, napi_callback_info info)
{
	struct call c = call_of(env, info);
	int fd;
	uint32_t size;
	struct bytes key;
	if (!arg_fd(&c, 0, &fd) || !arg_bytes(&c, 1, "key", &key) || !arg_u32(&c, 2, "value size", MAX_VALUE, &size))
		return NULL;
	uint8_t *value = NULL;
	napi_value v = new_bytes(env, size, &value);
	if (!v)
		return NULL;
	int rc = bpf_map_lookup_elem(fd, key.data, value);
	if (rc == -ENOENT)
		return undefined_value(env);
	return rc < 0 ? throw_errno(env, -rc, NULL, "map lookup") : v;
}

// mapUpdate(fd, key, value, flags)
static napi_value map_update(napi_env env, napi_callback_info info)
{
	struct call c = call_of(env, info);
	int fd;
	uint32_t flags;
	struct bytes key, value;
	if (!arg_fd(&c, 0, &fd) || !arg_bytes(&c, 1, "key", &key) || !arg_bytes(&c, 2, "value", &value) ||
	    !arg_u32(&c, 3, "flags", UINT32_MAX, &flags))
		return NULL;
	int rc = bpf_map_update_elem(fd, key.data, value.data, flags);
	return rc < 0 ? throw_errno(env, -rc, NULL, "map update") : undefined_value(env);
}

// mapDelete(fd, key): whether the key was there.
static napi_value map_delete(napi_env env, napi_callback_info info)
{
	struct call c = call_of(env, info);
	int fd;
	struct bytes key;
	napi_value there = NULL;
	if (!arg_fd(&c, 0, &fd) || !arg_bytes(&c, 1, "key", &key))
		return NULL;
	int rc = bpf_map_delete_elem(fd, key.data);
	if (rc < 0 && rc != -ENOENT)
		return throw_errno(env, -rc, NULL, "map delete");
	napi_get_boolean(env, rc == 0, &there);
	return there;
}

struct dump {
	int fd;
	size_t key_size;
	size_t value_size;
	uint64_t limit;
	bool used; // leave out rows that are zero
	uint8_t *keys;
	uint8_t *values;
	uint64_t count;
	uint64_t capacity;
};

static int grow(struct dump *d, uint64_t count)
{
	if (count <= d->capacity)
		return 0;
	uint64_t capacity = d->capacity * 2 > count ? d->capacity * 2 : count;
	uint8_t *keys = realloc(d->keys, capacity * d->key_size + 1);
	if (keys)
		d->keys = keys;
	uint8_t *values = realloc(d->values, capacity * d->value_size + 1);
	if (values)
		d->values = values;
	if (!keys || !values)
		return ENOMEM;
	d->capacity = capacity;
	return 0;
}

static bool no_batches(int error)
{
	return error == KERNEL_ENOTSUPP || error == EOPNOTSUPP || error == EINVAL;
}

static bool is_zero(const uint8_t *bytes, size_t size)
{
	return size == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, size - 1) == 0);
}

// Takes in `n` rows that were read behind the last.
static void keep(struct dump *d, uint32_t n)
{
	uint64_t from = d->count;
	for (uint64_t i = from; i < from + n; i++) {
		uint8_t *value = d->values + i * d->value_size;
		if (d->used && is_zero(value, d->value_size))
			continue;
		if (d->count != i) {
			memcpy(d->keys + d->count * d->key_size, d->keys + i * d->key_size, d->key_size);
			memcpy(d->values + d->count * d->value_size, value, d->value_size);
		}
		d->count++;
	}
}

static int dump_batches(struct dump *d, uint32_t chunk, uint8_t *in, uint8_t *out)
{
	bool first = true;
	for (uint64_t read = 0; read < d->limit;) {
		uint32_t n = chunk;
		if (grow(d, d->count + n))
			return ENOMEM;
		int rc = bpf_map_lookup_batch(d->fd, first ? NULL : in, out, d->keys + d->count * d->key_size,
					      d->values + d->count * d->value_size, &n, NULL);
		// A bucket holds more than a chunk.
		if (rc == -ENOSPC && chunk < UINT32_MAX / 2) {
			chunk *= 2;
			continue;
		}
		if (rc < 0 && rc != -ENOENT)
			return -rc;
		read += n;
		keep(d, n);
		if (rc == -ENOENT)
			return 0;
		memcpy(in, out, d->key_size > 8 ? d->key_size : 8);
		first = false;
	}
	return 0;
}

// Key by key, for map types without batches. Rows that go meanwhile make the kernel begin anew: the limit ends that.
static int dump_keys(struct dump *d, uint8_t *previous, uint8_t *key)
{
	bool first = true;
	for (uint64_t steps = 0; steps < d->limit; steps++) {
		int rc = bpf_map_get_next_key(d->fd, first ? NULL : previous, key);
		if (rc < 0)
			return rc == -ENOENT ? 0 : -rc;
		if (grow(d, d->count + 1))
			return ENOMEM;
		rc = bpf_map_lookup_elem(d->fd, key, d->values + d->count * d->value_size);
		if (rc < 0 && rc != -ENOENT)
			return -rc;
		if (rc == 0) {
			memcpy(d->keys + d->count * d->key_size, key, d->key_size);
			keep(d, 1);
		}
		memcpy(previous, key, d->key_size);
		first = false;
	}
	return 0;
}

// mapDump(fd, keySize, valueBytes, maxEntries, used): { count, keys, values }; `used`: but for rows that are zero.
static napi_value map_dump(napi_env env, napi_callback_info info)
{
	struct call c = call_of(env, info);
	int fd;
	uint32_t key_size, value_size, entries, used;
	uint8_t one[MAX_KEY], other[MAX_KEY];
	if (!arg_fd(&c, 0, &fd) || !arg_u32(&c, 1, "key size", MAX_KEY, &key_size) ||
	    !arg_u32(&c, 2, "value size", MAX_VALUE, &value_size) ||
	    !arg_u32(&c, 3, "entries", UINT32_MAX, &entries) || !arg_u32(&c, 4, "used", 1, &used))
		return NULL;
	struct dump d = { .fd = fd, .key_size = key_size, .value_size = value_size, .limit = 2ull * entries + 16 };
	d.used = used;
	uint32_t chunk = entries < FIRST_CHUNK ? entries + 1 : FIRST_CHUNK;
	if (used && value_size > 0 && chunk > FIRST_BYTES / value_size)
		chunk = FIRST_BYTES / value_size + 1;
	int error = dump_batches(&d, chunk, one, other);
	if (no_batches(error) && d.count == 0)
		error = dump_keys(&d, one, other);
	napi_value v = NULL;
	if (error) {
		throw_errno(env, error, NULL, "map dump");
	} else {
		napi_create_object(env, &v);
		set_u32(env, v, "count", (uint32_t)d.count);
		set_value(env, v, "keys", bytes_value(env, d.keys, d.count * key_size));
		set_value(env, v, "values", bytes_value(env, d.values, d.count * value_size));
	}
	free(d.keys);
	free(d.values);
	return v;
}

// mapUpdateBatch(fd, keys, values, count, flags): one by one where the map has no batches. The error says how many rows
// went in before it.
static napi_value map_update_batch(napi_env env, napi_callback_info info)
{
	struct call c = call_of(env, info);
	int fd;
	uint32_t count, flags;
	struct bytes keys, values;
	if (!arg_fd(&c, 0, &fd) || !arg_bytes(&c, 1, "keys", &keys) || !arg_bytes(&c, 2, "values", &values) ||
	    !arg_u32(&c, 3, "count", UINT32_MAX, &count) || !arg_u32(&c, 4, "flags", UINT32_MAX, &flags))
		return NULL;
	if (count == 0)
		return undefined_value(env);
	if (keys.size % count || values.size % count)
		return throw_range(env, "count");
	LIBBPF_OPTS(bpf_map_batch_opts, opts, .elem_flags = flags);
	uint32_t done = count;
	int rc = bpf_map_update_batch(fd, keys.data, values.data, &done, &opts);
	if (rc < 0 && no_batches(-rc) && done == 0) {
		rc = 0;
		while (rc == 0 && done < count) {
			rc = bpf_map_update_elem(fd, keys.data + (keys.size / count) * done,
						 values.data + (values.size / count) * done, flags);
			done += rc == 0;
		}
	}
	return rc < 0 ? throw_errno(env, -rc, NULL, "map update, row %u of %u", done, count) : undefined_value(env);
}

// btfBytes(id): the BTF that a map was made with.
static napi_value btf_bytes(napi_env env, napi_callback_info info)
{
	struct call c = call_of(env, info);
	uint32_t id;
	if (!arg_u32(&c, 0, "id", UINT32_MAX, &id))
		return NULL;
	struct btf *btf = btf__load_from_kernel_by_id(id);
	if (!btf)
		return throw_errno(env, errno, NULL, "BTF %u", id);
	uint32_t size = 0;
	const void *data = btf__raw_data(btf, &size);
	napi_value v = data ? bytes_value(env, data, size) : throw_errno(env, ENOMEM, NULL, "BTF %u", id);
	btf__free(btf);
	return v;
}

// possibleCpus(): how many values a per-CPU map has.
static napi_value possible_cpus(napi_env env, napi_callback_info info)
{
	(void)info;
	int n = libbpf_num_possible_cpus();
	return n < 0 ? throw_errno(env, -n, NULL, "possible CPUs") : u32_value(env, (uint32_t)n);
}

void register_map(napi_env env, napi_value exports)
{
	export_function(env, exports, "mapCreate", map_create);
	export_function(env, exports, "mapInfo", map_info);
	export_function(env, exports, "mapLookup", map_lookup);
	export_function(env, exports, "mapUpdate", map_update);
	export_function(env, exports, "mapDelete", map_delete);
	export_function(env, exports, "mapDump", map_dump);
	export_function(env, exports, "mapUpdateBatch", map_update_batch);
	export_function(env, exports, "btfBytes", btf_bytes);
	export_function(env, exports, "possibleCpus", possible_cpus);
}
