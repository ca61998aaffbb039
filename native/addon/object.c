// eBPF object files: opened and loaded by libbpf, which neither pins nor attaches anything here. After loading
// JavaScript has a descriptor for each map and program, and the object is closed.
#include "addon.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOG_SIZE (4u * 1024 * 1024)
#define LOG_SHOWN (16u * 1024)
#define WORDS_SIZE 4096u

struct object {
	struct bpf_object *bpf;
	char *log;
};

// libbpf has one print function for the whole process; each thread hears its own calls.
struct words {
	char text[WORDS_SIZE];
	size_t size;
};
static _Thread_local struct words *listener;

static int on_print(enum libbpf_print_level level, const char *format, va_list list)
{
	struct words *w = listener;
	if (level != LIBBPF_WARN || !w || w->size + 1 >= sizeof(w->text))
		return 0;
	int n = vsnprintf(w->text + w->size, sizeof(w->text) - w->size, format, list);
	size_t room = sizeof(w->text) - 1 - w->size;
	w->size += n < 0 ? 0 : ((size_t)n < room ? (size_t)n : room);
	return 0;
}

static void close_object(struct object *o)
{
	bpf_object__close(o->bpf);
	free(o->log);
	o->bpf = NULL;
	o->log = NULL;
}

static void finalize(napi_env env, void *data, void *hint)
{
	(void)env;
	(void)hint;
	close_object(data);
	free(data);
}

static bool arg_object(const struct call *c, struct object **out)
{
	void *data = NULL;
	if (napi_get_value_external(c->env, c->args[0], &data) != napi_ok || !((struct object *)data)->bpf) {
		throw_type(c->env, "object");
		return false;
	}
	*out = data;
	return true;
}

// ".rodata" for what libbpf may call "switch_b.rodata".
static const char *map_name(const struct bpf_map *map)
{
	const char *name = bpf_map__name(map);
	const char *dot = bpf_map__is_internal(map) ? strchr(name, '.') : NULL;
	return dot ? dot : name;
}

static struct bpf_map *find_map(struct object *o, const char *name)
{
	struct bpf_map *map;
	bpf_object__for_each_map(map, o->bpf)
		if (strcmp(map_name(map), name) == 0)
			return map;
	return NULL;
}

// objectOpen(path): a handle.
static napi_value object_open(napi_env env, napi_callback_info info)
{
	struct call c = call_of(env, info);
	char path[4096];
	napi_value handle = NULL;
	if (!arg_string(&c, 0, "path", path, sizeof(path)))
		return NULL;
	struct object *o = calloc(1, sizeof(*o));
	char *log = malloc(LOG_SIZE);
	if (!o || !log) {
		free(o);
		free(log);
		return throw_errno(env, ENOMEM, NULL, "open %s", path);
	}
	o->log = log;
	log[0] = 0;
	struct words words = { .size = 0 };
	LIBBPF_OPTS(bpf_object_open_opts, opts, .kernel_log_buf = log, .kernel_log_size = LOG_SIZE);
	listener = &words;
	o->bpf = bpf_object__open_file(path, &opts);
	int error = errno;
	listener = NULL;
	if (!o->bpf) {
		free(o);
		free(log);
		return throw_errno(env, error, words.text, "open %s", path);
	}
	napi_create_external(env, o, finalize, NULL, &handle);
	return handle;
}

// objectMaps(handle): what the file declares.
static napi_value object_maps(napi_env env, napi_callback_info info)
{
	struct call c = call_of(env, info);
	struct object *o;
	napi_value list = NULL;
	uint32_t i = 0;
	if (!arg_object(&c, &o))
		return NULL;
	napi_create_array(env, &list);
	struct bpf_map *map;
	bpf_object__for_each_map(map, o->bpf) {
		napi_value v = NULL, internal = NULL;
		napi_create_object(env, &v);
		set_string(env, v, "name", map_name(map));
		set_u32(env, v, "type", bpf_map__type(map));
		set_u32(env, v, "keySize", bpf_map__key_size(map));
		set_u32(env, v, "valueSize", bpf_map__value_size(map));
		set_u32(env, v, "maxEntries", bpf_map__max_entries(map));
		set_u32(env, v, "flags", bpf_map__map_flags(map));
		napi_get_boolean(env, bpf_map__is_internal(map), &internal);
		set_value(env, v, "internal", internal);
		napi_set_element(env, list, i++, v);
	}
	return list;
}

// Where a variable lies in .rodata; libbpf has filled the offsets in.
static const struct btf_var_secinfo *find_constant(const struct btf *btf, const char *name)
{
	int id = btf ? btf__find_by_name_kind(btf, ".rodata", BTF_KIND_DATASEC) : -1;
	if (id < 0)
		return NULL;
	const struct btf_type *section = btf__type_by_id(btf, (uint32_t)id);
	const struct btf_var_secinfo *entry = btf_var_secinfos(section);
	for (int i = 0; i < btf_vlen(section); i++, entry++) {
		const struct btf_type *variable = btf__type_by_id(btf, entry->type);
		if (strcmp(btf__name_by_offset(btf, variable->name_off), name) == 0)
			return entry;
	}
	return NULL;
}

// objectConstant(handle, name, value): the initial value of a const volatile variable.
static napi_value object_constant(napi_env env, napi_callback_info info)
{
	struct call c = call_of(env, info);
	struct object *o;
	char name[128];
	struct bytes value;
	if (!arg_object(&c, &o) || !arg_string(&c, 1, "name", name, sizeof(name)) || !arg_bytes(&c, 2, "value", &value))
		return NULL;
	const struct btf_var_secinfo *entry = find_constant(bpf_object__btf(o->bpf), name);
	struct bpf_map *map = find_map(o, ".rodata");
	size_t size = 0;
	uint8_t *start = map ? (uint8_t *)bpf_map__initial_value(map, &size) : NULL;
	if (!entry || !start)
		return throw_errno(env, ENOENT, "no such variable in .rodata", "constant %s", name);
	if (entry->size != value.size || (size_t)entry->offset + entry->size > size)
		return throw_errno(env, EINVAL, "its size is another", "constant %s", name);
	if (value.size > 0)
		memcpy(start + entry->offset, value.data, value.size);
	return undefined_value(env);
}

// objectReuse(handle, name, fd): the map of that name is this one; fd stays the caller's.
static napi_value object_reuse(napi_env env, napi_callback_info info)
{
	struct call c = call_of(env, info);
	struct object *o;
	char name[128];
	int fd;
	if (!arg_object(&c, &o) || !arg_string(&c, 1, "name", name, sizeof(name)) || !arg_fd(&c, 2, &fd))
		return NULL;
	struct bpf_map *map = find_map(o, name);
	int rc = map ? bpf_map__reuse_fd(map, fd) : -ENOENT;
	return rc < 0 ? throw_errno(env, -rc, NULL, "reuse map %s", name) : undefined_value(env);
}

static bool add_descriptor(napi_env env, napi_value list, const char *name, int fd)
{
	uint32_t length = 0;
	napi_value v = NULL;
	if (fd < 0)
		return true;
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (copy < 0)
		return false;
	napi_get_array_length(env, list, &length);
	napi_create_object(env, &v);
	set_string(env, v, "name", name);
	set_u32(env, v, "fd", (uint32_t)copy);
	napi_set_element(env, list, length, v);
	return true;
}

static napi_value throw_load(napi_env env, struct object *o, const struct words *words, int error)
{
	size_t size = strnlen(o->log, LOG_SIZE);
	const char *tail = size > LOG_SHOWN ? o->log + size - LOG_SHOWN : o->log;
	size_t room = words->size + LOG_SHOWN + 2;
	char *detail = malloc(room);
	if (detail)
		snprintf(detail, room, "%s%.*s", words->text, (int)LOG_SHOWN, tail);
	throw_errno(env, error, detail, "load %s", bpf_object__name(o->bpf));
	free(detail);
	return NULL;
}

// objectLoad(handle, maps: [], programs: []): fills both with { name, fd }, the caller's to close, also after a
// failure. The error holds libbpf's warnings and the end of the verifier's log.
static napi_value object_load(napi_env env, napi_callback_info info)
{
	struct call c = call_of(env, info);
	struct object *o;
	struct bpf_map *map;
	struct bpf_program *program;
	if (!arg_object(&c, &o))
		return NULL;
	bpf_object__for_each_map(map, o->bpf)
		bpf_map__set_pin_path(map, NULL);
	struct words words = { .size = 0 };
	// The verifier gives up with EAGAIN when a signal waits for its thread.
	sigset_t all, before;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	listener = &words;
	int rc = bpf_object__load(o->bpf);
	listener = NULL;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (rc < 0)
		return throw_load(env, o, &words, -rc);
	bool whole = true;
	bpf_object__for_each_map(map, o->bpf)
		whole = whole && add_descriptor(env, c.args[1], map_name(map), bpf_map__fd(map));
	bpf_object__for_each_program(program, o->bpf)
		whole = whole && add_descriptor(env, c.args[2], bpf_program__name(program), bpf_program__fd(program));
	return whole ? undefined_value(env) : throw_errno(env, EMFILE, NULL, "load %s", bpf_object__name(o->bpf));
}

// objectClose(handle)
static napi_value object_close(napi_env env, napi_callback_info info)
{
	struct call c = call_of(env, info);
	struct object *o;
	if (!arg_object(&c, &o))
		return NULL;
	close_object(o);
	return undefined_value(env);
}

void register_object(napi_env env, napi_value exports)
{
	libbpf_set_print(on_print);
	export_function(env, exports, "objectOpen", object_open);
	export_function(env, exports, "objectMaps", object_maps);
	export_function(env, exports, "objectConstant", object_constant);
	export_function(env, exports, "objectReuse", object_reuse);
	export_function(env, exports, "objectLoad", object_load);
	export_function(env, exports, "objectClose", object_close);
}
