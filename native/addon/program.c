// eBPF programs and links by descriptor, and pins.
#include "addon.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_QUERY 64
#define MAX_CONTEXT 65536
#define MAX_DATA (1024 * 1024)

// programInfo(fd)
static napi_value program_info(napi_env env, napi_callback_info info)
{
	struct call c = call_of(env, info);
	int fd;
	if (!arg_fd(&c, 0, &fd))
		return NULL;
	struct bpf_prog_info p = { 0 };
	uint32_t size = sizeof(p);
	int rc = bpf_obj_get_info_by_fd(fd, &p, &size);
	if (rc < 0)
		return throw_errno(env, -rc, NULL, "program info");
	char tag[2 * BPF_TAG_SIZE + 1];
	for (size_t i = 0; i < BPF_TAG_SIZE; i++)
		snprintf(tag + 2 * i, 3, "%02x", p.tag[i]);
	napi_value v = NULL;
	napi_create_object(env, &v);
	set_string(env, v, "name", p.name);
	set_u32(env, v, "id", p.id);
	set_u32(env, v, "type", p.type);
	set_string(env, v, "tag", tag);
	set_u32(env, v, "verifiedInsns", p.verified_insns);
	return v;
}

// programById(id): a descriptor.
static napi_value program_by_id(napi_env env, napi_callback_info info)
{
	struct call c = call_of(env, info);
	uint32_t id;
	if (!arg_u32(&c, 0, "id", UINT32_MAX, &id))
		return NULL;
	int fd = bpf_prog_get_fd_by_id(id);
	return fd < 0 ? throw_errno(env, -fd, NULL, "program %u", id) : u32_value(env, (uint32_t)fd);
}

// The answer of a test run; both buffers are `size` as the kernel left it.
static napi_value run_result(napi_env env, const struct bpf_test_run_opts *o, const uint8_t *context, size_t size)
{
	napi_value v = NULL;
	napi_create_object(env, &v);
	set_u32(env, v, "retval", o->retval);
	set_u32(env, v, "durationNs", o->duration);
	set_value(env, v, "data", bytes_value(env, o->data_out, o->data_out ? o->data_size_out : 0));
	set_value(env, v, "ctx", bytes_value(env, context, size));
	return v;
}

// programRun(fd, data, ctx, repeat, flags, cpu, dataRoom, ctxRoom): BPF_PROG_TEST_RUN. Room 0 asks for no answer of
// that kind. A syscall program changes its context in place: ctxRoom 0 and the changed copy comes back.
static napi_value program_run(napi_env env, napi_callback_info info)
{
	struct call c = call_of(env, info);
	int fd;
	uint32_t repeat, flags, cpu, data_room, ctx_room;
	struct bytes data, ctx;
	if (!arg_fd(&c, 0, &fd) || !arg_optional_bytes(&c, 1, "data", &data) ||
	    !arg_optional_bytes(&c, 2, "ctx", &ctx) || !arg_u32(&c, 3, "repeat", INT32_MAX, &repeat) ||
	    !arg_u32(&c, 4, "flags", UINT32_MAX, &flags) || !arg_u32(&c, 5, "cpu", UINT32_MAX, &cpu) ||
	    !arg_u32(&c, 6, "data room", MAX_DATA, &data_room) || !arg_u32(&c, 7, "ctx room", MAX_CONTEXT, &ctx_room))
		return NULL;
	if (ctx.size > MAX_CONTEXT || data.size > MAX_DATA)
		return throw_range(env, "data or ctx");
	uint8_t *data_out = calloc(1, data_room + 1), *ctx_out = calloc(1, ctx_room + 1);
	uint8_t *ctx_in = calloc(1, ctx.size + 1);
	napi_value v = NULL;
	if (!data_out || !ctx_out || !ctx_in) {
		throw_errno(env, ENOMEM, NULL, "test run");
	} else {
		if (ctx.size > 0)
			memcpy(ctx_in, ctx.data, ctx.size);
		LIBBPF_OPTS(bpf_test_run_opts, o, .data_in = data.data, .data_size_in = (uint32_t)data.size,
			    .data_out = data_room ? data_out : NULL, .data_size_out = data_room,
			    .ctx_in = ctx.data ? ctx_in : NULL, .ctx_size_in = (uint32_t)ctx.size,
			    .ctx_out = ctx_room ? ctx_out : NULL, .ctx_size_out = ctx_room, .repeat = (int)repeat,
			    .flags = flags, .cpu = cpu);
		int rc = bpf_prog_test_run_opts(fd, &o);
		if (rc < 0)
			throw_errno(env, -rc, NULL, "test run");
		else if (ctx_room)
			v = run_result(env, &o, ctx_out, o.ctx_size_out);
		else
			v = run_result(env, &o, ctx_in, ctx.size);
	}
	free(data_out);
	free(ctx_out);
	free(ctx_in);
	return v;
}

// programQuery(ifindex, attachType): ids on a tcx hook of the thread's namespace, in the order in which they run.
static napi_value program_query(napi_env env, napi_callback_info info)
{
	struct call c = call_of(env, info);
	uint32_t ifindex, type, ids[MAX_QUERY], count = MAX_QUERY;
	if (!arg_u32(&c, 0, "ifindex", INT32_MAX, &ifindex) || !arg_u32(&c, 1, "attach type", 255, &type))
		return NULL;
	int rc = bpf_prog_query((int)ifindex, type, 0, NULL, ids, &count);
	if (rc < 0)
		return throw_errno(env, -rc, NULL, "programs on %u", ifindex);
	napi_value v = NULL;
	napi_create_array(env, &v);
	for (uint32_t i = 0; i < count && i < MAX_QUERY; i++)
		napi_set_element(env, v, i, u32_value(env, ids[i]));
	return v;
}

// linkCreate(programFd, ifindex, attachType, flags): a descriptor. libbpf before 1.3 hands types that it does not know
// (tcx) to the kernel as they are.
static napi_value link_create(napi_env env, napi_callback_info info)
{
	struct call c = call_of(env, info);
	int program;
	uint32_t ifindex, type, flags;
	if (!arg_fd(&c, 0, &program) || !arg_u32(&c, 1, "ifindex", INT32_MAX, &ifindex) ||
	    !arg_u32(&c, 2, "attach type", 255, &type) || !arg_u32(&c, 3, "flags", UINT32_MAX, &flags))
		return NULL;
	LIBBPF_OPTS(bpf_link_create_opts, opts, .flags = flags);
	int fd = bpf_link_create(program, (int)ifindex, type, &opts);
	return fd < 0 ? throw_errno(env, -fd, NULL, "attach to %u", ifindex) : u32_value(env, (uint32_t)fd);
}

// linkUpdate(fd, programFd)
static napi_value link_update(napi_env env, napi_callback_info info)
{
	struct call c = call_of(env, info);
	int fd, program;
	if (!arg_fd(&c, 0, &fd) || !arg_fd(&c, 1, &program))
		return NULL;
	int rc = bpf_link_update(fd, program, NULL);
	return rc < 0 ? throw_errno(env, -rc, NULL, "link update") : undefined_value(env);
}

// linkInfo(fd): { id, programId, ifindex }, ifindex 0 where the device is gone.
static napi_value link_info(napi_env env, napi_callback_info info)
{
	struct call c = call_of(env, info);
	int fd;
	if (!arg_fd(&c, 0, &fd))
		return NULL;
	struct bpf_link_info l = { 0 };
	uint32_t size = sizeof(l);
	int rc = bpf_obj_get_info_by_fd(fd, &l, &size);
	if (rc < 0)
		return throw_errno(env, -rc, NULL, "link info");
	napi_value v = NULL;
	napi_create_object(env, &v);
	set_u32(env, v, "id", l.id);
	set_u32(env, v, "programId", l.prog_id);
	// The device is the first field for tcx as it is for xdp.
	set_u32(env, v, "ifindex", l.xdp.ifindex);
	return v;
}

// Whether a descriptor is a "bpf-map", "bpf-prog" or "bpf-link"; the kernel writes the last with _ or with -.
static bool is_kind(int fd, const char *kind)
{
	static const char prefix[] = "anon_inode:";
	char self[64], target[64] = "";
	snprintf(self, sizeof(self), "/proc/thread-self/fd/%d", fd);
	if (readlink(self, target, sizeof(target) - 1) < 0 || strncmp(target, prefix, sizeof(prefix) - 1) != 0)
		return false;
	char *name = target + sizeof(prefix) - 1;
	for (char *p = name; *p; p++)
		if (*p == '_')
			*p = '-';
	return strcmp(name, kind) == 0;
}

// pinOpen(path, kind): a descriptor; EINVAL where something else is pinned.
static napi_value pin_open(napi_env env, napi_callback_info info)
{
	struct call c = call_of(env, info);
	char path[4096], kind[32];
	if (!arg_string(&c, 0, "path", path, sizeof(path)) || !arg_string(&c, 1, "kind", kind, sizeof(kind)))
		return NULL;
	int fd = bpf_obj_get(path);
	if (fd < 0)
		return throw_errno(env, -fd, NULL, "pin %s", path);
	if (!is_kind(fd, kind)) {
		close(fd);
		return throw_errno(env, EINVAL, "something else is pinned there", "pin %s", path);
	}
	return u32_value(env, (uint32_t)fd);
}

// pinMake(fd, path)
static napi_value pin_make(napi_env env, napi_callback_info info)
{
	struct call c = call_of(env, info);
	int fd;
	char path[4096];
	if (!arg_fd(&c, 0, &fd) || !arg_string(&c, 1, "path", path, sizeof(path)))
		return NULL;
	int rc = bpf_obj_pin(fd, path);
	const char *hint = rc == -EPERM ? "is a bpf file system mounted there?" : NULL;
	return rc < 0 ? throw_errno(env, -rc, hint, "pin %s", path) : undefined_value(env);
}

void register_program(napi_env env, napi_value exports)
{
	export_function(env, exports, "programInfo", program_info);
	export_function(env, exports, "programById", program_by_id);
	export_function(env, exports, "programRun", program_run);
	export_function(env, exports, "programQuery", program_query);
	export_function(env, exports, "linkCreate", link_create);
	export_function(env, exports, "linkUpdate", link_update);
	export_function(env, exports, "linkInfo", link_info);
	export_function(env, exports, "pinOpen", pin_open);
	export_function(env, exports, "pinMake", pin_make);
}
