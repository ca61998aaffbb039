// What the files of the addon share: arguments out of JavaScript with their ranges checked, errors into it.
#ifndef MIDPLANE_ADDON_H
#define MIDPLANE_ADDON_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#define NAPI_VERSION 9

#include <node_api.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MAX_ARGS 10

// One environment (the main thread or a worker) has one of these, as its instance data.
struct addon {
	napi_ref error_class;
	// By descriptor, whether it is closed when the environment ends.
	bool *owned;
	size_t capacity;
};

// A call from JavaScript: its arguments, padded with undefined.
struct call {
	napi_env env;
	size_t count;
	napi_value args[MAX_ARGS];
};

struct bytes {
	uint8_t *data;
	size_t size;
};

struct call call_of(napi_env env, napi_callback_info info);

// Each reads argument i. False: an exception is pending, return NULL. Strings with a NUL inside are refused.
bool arg_u32(const struct call *c, size_t i, const char *name, uint32_t max, uint32_t *out);
bool arg_i32(const struct call *c, size_t i, const char *name, int32_t min, int32_t max, int32_t *out);
bool arg_fd(const struct call *c, size_t i, int *out);
bool arg_bool(const struct call *c, size_t i, const char *name, bool *out);
bool arg_string(const struct call *c, size_t i, const char *name, char *out, size_t capacity);
bool arg_bytes(const struct call *c, size_t i, const char *name, struct bytes *out);
// Undefined or null gives data NULL, size 0.
bool arg_optional_bytes(const struct call *c, size_t i, const char *name, struct bytes *out);
bool arg_function(const struct call *c, size_t i, const char *name, napi_value *out);

// Throws KernelError(code, what, detail); `error` is a positive errno, `detail` may be NULL. Returns NULL.
napi_value throw_errno(napi_env env, int error, const char *detail, const char *what, ...)
	__attribute__((format(printf, 4, 5)));
// Throws RangeError or TypeError: the caller in JavaScript is wrong. Returns NULL.
napi_value throw_range(napi_env env, const char *name);
napi_value throw_type(napi_env env, const char *name);
const char *errno_name(int error);

napi_value undefined_value(napi_env env);
napi_value u32_value(napi_env env, uint32_t n);
napi_value string_value(napi_env env, const char *text);
// A Uint8Array with a copy of the bytes.
napi_value bytes_value(napi_env env, const void *data, size_t size);
// A zeroed Uint8Array; *data points into it.
napi_value new_bytes(napi_env env, size_t size, uint8_t **data);
void set_value(napi_env env, napi_value object, const char *name, napi_value value);
void set_u32(napi_env env, napi_value object, const char *name, uint32_t n);
void set_string(napi_env env, napi_value object, const char *name, const char *text);

struct sockaddr_storage;
// The socket address of 4 or 16 bytes and a port. 0 where the address has another length.
unsigned internet_address(struct sockaddr_storage *to, struct bytes address, uint32_t port);

void export_function(napi_env env, napi_value exports, const char *name, napi_callback function);
void close_owned(struct addon *addon);
void register_fd(napi_env env, napi_value exports);
void register_netlink(napi_env env, napi_value exports);
void register_poll(napi_env env, napi_value exports);
void register_ns(napi_env env, napi_value exports);
void register_socket(napi_env env, napi_value exports);
void register_device(napi_env env, napi_value exports);
void register_map(napi_env env, napi_value exports);
void register_program(napi_env env, napi_value exports);
void register_object(napi_env env, napi_value exports);
void register_l7(napi_env env, napi_value exports);

#endif
