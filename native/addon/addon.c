// The addon's frame: arguments, errors, values, and the list of what it exports. No state but one struct a environment.
#include "addon.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct call call_of(napi_env env, napi_callback_info info)
{
	struct call c = { .env = env, .count = MAX_ARGS };
	napi_get_cb_info(env, info, &c.count, c.args, NULL, NULL);
	return c;
}

napi_value throw_range(napi_env env, const char *name)
{
	char text[128];
	snprintf(text, sizeof(text), "%s is out of range", name);
	napi_throw_range_error(env, "ERR_OUT_OF_RANGE", text);
	return NULL;
}

napi_value throw_type(napi_env env, const char *name)
{
	char text[128];
	snprintf(text, sizeof(text), "%s has the wrong type", name);
	napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", text);
	return NULL;
}

static bool whole_number(const struct call *c, size_t i, const char *name, double min, double max, double *out)
{
	if (napi_get_value_double(c->env, c->args[i], out) != napi_ok) {
		throw_type(c->env, name);
		return false;
	}
	if (!(*out >= min && *out <= max) || *out != (double)(int64_t)*out) {
		throw_range(c->env, name);
		return false;
	}
	return true;
}

bool arg_u32(const struct call *c, size_t i, const char *name, uint32_t max, uint32_t *out)
{
	double n;
	if (!whole_number(c, i, name, 0, max, &n))
		return false;
	*out = (uint32_t)n;
	return true;
}

bool arg_i32(const struct call *c, size_t i, const char *name, int32_t min, int32_t max, int32_t *out)
{
	double n;
	if (!whole_number(c, i, name, min, max, &n))
		return false;
	*out = (int32_t)n;
	return true;
}

bool arg_fd(const struct call *c, size_t i, int *out)
{
	return arg_i32(c, i, "fd", 0, INT32_MAX, out);
}

bool arg_bool(const struct call *c, size_t i, const char *name, bool *out)
{
	if (napi_get_value_bool(c->env, c->args[i], out) == napi_ok)
		return true;
	throw_type(c->env, name);
	return false;
}

bool arg_string(const struct call *c, size_t i, const char *name, char *out, size_t capacity)
{
	size_t size = 0;
	if (napi_get_value_string_utf8(c->env, c->args[i], NULL, 0, &size) != napi_ok) {
		throw_type(c->env, name);
		return false;
	}
	if (size >= capacity) {
		throw_range(c->env, name);
		return false;
	}
	napi_get_value_string_utf8(c->env, c->args[i], out, capacity, &size);
	if (strlen(out) != size) {
		throw_range(c->env, name);
		return false;
	}
	return true;
}

bool arg_bytes(const struct call *c, size_t i, const char *name, struct bytes *out)
{
	bool typed = false;
	napi_typedarray_type type;
	void *data = NULL;
	if (napi_is_typedarray(c->env, c->args[i], &typed) != napi_ok || !typed ||
	    napi_get_typedarray_info(c->env, c->args[i], &type, &out->size, &data, NULL, NULL) != napi_ok ||
	    type != napi_uint8_array) {
		throw_type(c->env, name);
		return false;
	}
	out->data = data;
	return true;
}

bool arg_optional_bytes(const struct call *c, size_t i, const char *name, struct bytes *out)
{
	napi_valuetype type = napi_undefined;
	napi_typeof(c->env, c->args[i], &type);
	*out = (struct bytes){ 0 };
	return type == napi_undefined || type == napi_null || arg_bytes(c, i, name, out);
}

bool arg_function(const struct call *c, size_t i, const char *name, napi_value *out)
{
	napi_valuetype type = napi_undefined;
	napi_typeof(c->env, c->args[i], &type);
	if (type != napi_function) {
		throw_type(c->env, name);
		return false;
	}
	*out = c->args[i];
	return true;
}

const char *errno_name(int error)
{
	// The kernel's own ENOTSUPP leaks out of bpf(2); libc has no name for it.
	if (error == 524)
		return "ENOTSUPP";
	const char *name = strerrorname_np(error);
	return name ? name : "EUNKNOWN";
}

napi_value throw_errno(napi_env env, int error, const char *detail, const char *what, ...)
{
	char text[512];
	va_list list;
	va_start(list, what);
	vsnprintf(text, sizeof(text), what, list);
	va_end(list);
	struct addon *addon = NULL;
	napi_get_instance_data(env, (void **)&addon);
	napi_value args[3] = { string_value(env, errno_name(error)), string_value(env, text),
			       string_value(env, detail ? detail : "") };
	napi_value error_class = NULL, thrown = NULL;
	if (addon && addon->error_class)
		napi_get_reference_value(env, addon->error_class, &error_class);
	if (error_class && napi_new_instance(env, error_class, 3, args, &thrown) == napi_ok)
		napi_throw(env, thrown);
	else
		napi_throw_error(env, errno_name(error), text);
	return NULL;
}

napi_value undefined_value(napi_env env)
{
	napi_value v = NULL;
	napi_get_undefined(env, &v);
	return v;
}

napi_value u32_value(napi_env env, uint32_t n)
{
	napi_value v = NULL;
	napi_create_uint32(env, n, &v);
	return v;
}

napi_value string_value(napi_env env, const char *text)
{
	napi_value v = NULL;
	napi_create_string_utf8(env, text, NAPI_AUTO_LENGTH, &v);
	return v;
}

napi_value new_bytes(napi_env env, size_t size, uint8_t **data)
{
	napi_value buffer = NULL, v = NULL;
	void *start = NULL;
	if (napi_create_arraybuffer(env, size, &start, &buffer) != napi_ok ||
	    napi_create_typedarray(env, napi_uint8_array, size, buffer, 0, &v) != napi_ok)
		return throw_errno(env, ENOMEM, NULL, "%zu bytes", size);
	*data = start;
	return v;
}

napi_value bytes_value(napi_env env, const void *data, size_t size)
{
	uint8_t *to = NULL;
	napi_value v = new_bytes(env, size, &to);
	if (v && size > 0)
		memcpy(to, data, size);
	return v;
}

void set_value(napi_env env, napi_value object, const char *name, napi_value value)
{
	napi_set_named_property(env, object, name, value);
}

void set_u32(napi_env env, napi_value object, const char *name, uint32_t n)
{
	set_value(env, object, name, u32_value(env, n));
}

void set_string(napi_env env, napi_value object, const char *name, const char *text)
{
	set_value(env, object, name, string_value(env, text));
}

void export_function(napi_env env, napi_value exports, const char *name, napi_callback function)
{
	napi_value v = NULL;
	napi_create_function(env, name, NAPI_AUTO_LENGTH, function, NULL, &v);
	set_value(env, exports, name, v);
}

// setErrorClass(KernelError): what all failures of system calls are thrown as.
static napi_value set_error_class(napi_env env, napi_callback_info info)
{
	struct call c = call_of(env, info);
	struct addon *addon = NULL;
	napi_value error_class;
	if (!arg_function(&c, 0, "error class", &error_class))
		return NULL;
	napi_get_instance_data(env, (void **)&addon);
	if (addon->error_class)
		napi_delete_reference(env, addon->error_class);
	napi_create_reference(env, error_class, 1, &addon->error_class);
	return undefined_value(env);
}

// errnoName(number): "EEXIST".
static napi_value errno_name_of(napi_env env, napi_callback_info info)
{
	struct call c = call_of(env, info);
	uint32_t error;
	if (!arg_u32(&c, 0, "errno", 4095, &error))
		return NULL;
	return string_value(env, errno_name((int)error));
}

static void free_addon(napi_env env, void *data, void *hint)
{
	(void)env;
	(void)hint;
	close_owned(data);
	free(data);
}

NAPI_MODULE_INIT()
{
	struct addon *addon = calloc(1, sizeof(*addon));
	if (!addon || napi_set_instance_data(env, addon, free_addon, NULL) != napi_ok) {
		free(addon);
		napi_throw_error(env, "ENOMEM", "addon");
		return NULL;
	}
	export_function(env, exports, "setErrorClass", set_error_class);
	export_function(env, exports, "errnoName", errno_name_of);
	register_fd(env, exports);
	register_netlink(env, exports);
	register_poll(env, exports);
	register_ns(env, exports);
	register_socket(env, exports);
	register_device(env, exports);
	register_map(env, exports);
	register_program(env, exports);
	register_object(env, exports);
	register_l7(env, exports);
	return exports;
}
