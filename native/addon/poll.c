// Calls a function of JavaScript whenever a descriptor is readable, on the event loop of the calling environment.
#include "addon.h"

#include <errno.h>
#include <stdlib.h>
#include <uv.h>

// Lives until the loop let go of it and JavaScript did: the handle object may be closed twice.
struct poll {
	uv_poll_t uv;
	napi_env env;
	napi_ref callback;
	napi_async_context context;
	napi_async_cleanup_hook_handle hook;
	bool closing;
	int holders;
};

static void release(struct poll *p)
{
	if (--p->holders == 0)
		free(p);
}

static void on_closed(uv_handle_t *handle)
{
	struct poll *p = handle->data;
	napi_remove_async_cleanup_hook(p->hook);
	release(p);
}

static void close_poll(struct poll *p)
{
	if (p->closing)
		return;
	p->closing = true;
	uv_poll_stop(&p->uv);
	napi_delete_reference(p->env, p->callback);
	napi_async_destroy(p->env, p->context);
	uv_close((uv_handle_t *)&p->uv, on_closed);
}

static void on_teardown(napi_async_cleanup_hook_handle hook, void *data)
{
	(void)hook;
	close_poll(data);
}

static void on_finalized(napi_env env, void *data, void *hint)
{
	(void)env;
	(void)hint;
	release(data);
}

static void on_readable(uv_poll_t *uv, int status, int events)
{
	(void)status;
	(void)events;
	struct poll *p = uv->data;
	napi_env env = p->env;
	napi_handle_scope scope;
	napi_value global = NULL, function = NULL, error = NULL;
	napi_open_handle_scope(env, &scope);
	napi_get_global(env, &global);
	napi_get_reference_value(env, p->callback, &function);
	if (napi_make_callback(env, p->context, global, function, 0, NULL, NULL) ==
		    napi_pending_exception &&
	    napi_get_and_clear_last_exception(env, &error) == napi_ok)
		napi_fatal_exception(env, error);
	napi_close_handle_scope(env, scope);
}

// pollOpen(fd, fn): a handle. It does not keep the process alive and does not own fd.
static napi_value poll_open(napi_env env, napi_callback_info info)
{
	struct call c = call_of(env, info);
	int fd;
	napi_value function, handle = NULL;
	uv_loop_t *loop = NULL;
	if (!arg_fd(&c, 0, &fd) || !arg_function(&c, 1, "function", &function))
		return NULL;
	struct poll *p = calloc(1, sizeof(*p));
	if (!p)
		return throw_errno(env, ENOMEM, NULL, "poll");
	napi_get_uv_event_loop(env, &loop);
	int rc = uv_poll_init(loop, &p->uv, fd);
	if (rc != 0) {
		free(p);
		return throw_errno(env, -rc, NULL, "poll %d", fd);
	}
	p->env = env;
	p->uv.data = p;
	p->holders = 2;
	napi_create_reference(env, function, 1, &p->callback);
	napi_async_init(env, NULL, string_value(env, "midplane:poll"), &p->context);
	napi_add_async_cleanup_hook(env, on_teardown, p, &p->hook);
	napi_create_external(env, p, on_finalized, NULL, &handle);
	uv_unref((uv_handle_t *)&p->uv);
	rc = uv_poll_start(&p->uv, UV_READABLE, on_readable);
	if (rc != 0) {
		close_poll(p);
		return throw_errno(env, -rc, NULL, "poll %d", fd);
	}
	return handle;
}

// pollClose(handle): after it the descriptor may be closed. Twice is no error.
static napi_value poll_close(napi_env env, napi_callback_info info)
{
	struct call c = call_of(env, info);
	void *p = NULL;
	if (napi_get_value_external(env, c.args[0], &p) != napi_ok)
		return throw_type(env, "handle");
	close_poll(p);
	return undefined_value(env);
}

void register_poll(napi_env env, napi_value exports)
{
	export_function(env, exports, "pollOpen", poll_open);
	export_function(env, exports, "pollClose", poll_close);
}
