// Descriptors that belong to one environment: what a worker that ends leaves open is closed with it.
#include "addon.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct addon *addon_of(napi_env env)
{
	struct addon *addon = NULL;
	napi_get_instance_data(env, (void **)&addon);
	return addon;
}

// fdOwn(fd): to be closed by fdClose, or when the environment ends.
static napi_value fd_own(napi_env env, napi_callback_info info)
{
	struct call c = call_of(env, info);
	struct addon *addon = addon_of(env);
	int fd;
	if (!arg_fd(&c, 0, &fd))
		return NULL;
	if ((size_t)fd >= addon->capacity) {
		size_t capacity = 2 * (size_t)fd + 64;
		bool *owned = realloc(addon->owned, capacity * sizeof(*owned));
		if (!owned)
			return throw_errno(env, ENOMEM, NULL, "descriptor %d", fd);
		memset(owned + addon->capacity, 0, (capacity - addon->capacity) * sizeof(*owned));
		addon->owned = owned;
		addon->capacity = capacity;
	}
	addon->owned[fd] = true;
	return undefined_value(env);
}

// fdClose(fd): of any descriptor that the addon gave.
static napi_value fd_close(napi_env env, napi_callback_info info)
{
	struct call c = call_of(env, info);
	struct addon *addon = addon_of(env);
	int fd;
	if (!arg_fd(&c, 0, &fd))
		return NULL;
	if ((size_t)fd < addon->capacity)
		addon->owned[fd] = false;
	// Linux has closed it whatever close says (close(2)); only EBADF means that the caller is wrong.
	if (close(fd) != 0 && errno == EBADF)
		return throw_errno(env, EBADF, NULL, "close %d", fd);
	return undefined_value(env);
}

// fdDup(fd): another descriptor of the same file.
static napi_value fd_dup(napi_env env, napi_callback_info info)
{
	struct call c = call_of(env, info);
	int fd;
	if (!arg_fd(&c, 0, &fd))
		return NULL;
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	return copy < 0 ? throw_errno(env, errno, NULL, "duplicate %d", fd) : u32_value(env, (uint32_t)copy);
}

void close_owned(struct addon *addon)
{
	for (size_t fd = 0; fd < addon->capacity; fd++)
		if (addon->owned[fd])
			close((int)fd);
	free(addon->owned);
}

void register_fd(napi_env env, napi_value exports)
{
	export_function(env, exports, "fdOwn", fd_own);
	export_function(env, exports, "fdClose", fd_close);
	export_function(env, exports, "fdDup", fd_dup);
}
