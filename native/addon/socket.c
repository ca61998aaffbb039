// Sockets that node can't make: in another namespace, with options that must be set before bind.
#include "addon.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAX_OPTION 4096
#define MAX_MESSAGE (16 * 1024)
#define MAX_DESCRIPTORS 64

// socketOpen(domain, type, protocol): a descriptor in the thread's namespace, close-on-exec.
static napi_value socket_open(napi_env env, napi_callback_info info)
{
	struct call c = call_of(env, info);
	uint32_t domain, type, protocol;
	if (!arg_u32(&c, 0, "domain", 64, &domain) || !arg_u32(&c, 1, "type", 0xffffff, &type) ||
	    !arg_u32(&c, 2, "protocol", 0xffff, &protocol))
		return NULL;
	int fd = socket((int)domain, (int)type | SOCK_CLOEXEC, (int)protocol);
	return fd < 0 ? throw_errno(env, errno, NULL, "socket") : u32_value(env, (uint32_t)fd);
}

unsigned internet_address(struct sockaddr_storage *to, struct bytes address, uint32_t port)
{
	memset(to, 0, sizeof(*to));
	if (address.size == 4) {
		struct sockaddr_in *in = (struct sockaddr_in *)to;
		in->sin_family = AF_INET;
		in->sin_port = htons((uint16_t)port);
		memcpy(&in->sin_addr, address.data, 4);
		return sizeof(*in);
	}
	if (address.size == 16) {
		struct sockaddr_in6 *in = (struct sockaddr_in6 *)to;
		in->sin6_family = AF_INET6;
		in->sin6_port = htons((uint16_t)port);
		memcpy(&in->sin6_addr, address.data, 16);
		return sizeof(*in);
	}
	return 0;
}

typedef int (*address_call)(int fd, const struct sockaddr *address, socklen_t size);

static napi_value with_address(napi_env env, napi_callback_info info, const char *what, address_call call)
{
	struct call c = call_of(env, info);
	int fd;
	struct bytes address;
	uint32_t port;
	struct sockaddr_storage to;
	if (!arg_fd(&c, 0, &fd) || !arg_bytes(&c, 1, "address", &address) || !arg_u32(&c, 2, "port", 65535, &port))
		return NULL;
	socklen_t size = internet_address(&to, address, port);
	if (size == 0)
		return throw_range(env, "address");
	if (call(fd, (struct sockaddr *)&to, size) != 0 && errno != EINPROGRESS)
		return throw_errno(env, errno, NULL, "%s port %u", what, port);
	return undefined_value(env);
}

// socketBind(fd, address: 4 or 16 bytes, port)
static napi_value socket_bind(napi_env env, napi_callback_info info)
{
	return with_address(env, info, "bind", bind);
}

// socketConnect(fd, address, port): on a non-blocking socket it is under way when this returns.
static napi_value socket_connect(napi_env env, napi_callback_info info)
{
	return with_address(env, info, "connect", connect);
}

// socketListen(fd, backlog)
static napi_value socket_listen(napi_env env, napi_callback_info info)
{
	struct call c = call_of(env, info);
	int fd;
	uint32_t backlog;
	if (!arg_fd(&c, 0, &fd) || !arg_u32(&c, 1, "backlog", INT32_MAX, &backlog))
		return NULL;
	if (listen(fd, (int)backlog) != 0)
		return throw_errno(env, errno, NULL, "listen");
	return undefined_value(env);
}

// sockoptSet(fd, level, option, value: Uint8Array)
static napi_value sockopt_set(napi_env env, napi_callback_info info)
{
	struct call c = call_of(env, info);
	int fd, level, option;
	struct bytes value;
	if (!arg_fd(&c, 0, &fd) || !arg_i32(&c, 1, "level", 0, INT32_MAX, &level) ||
	    !arg_i32(&c, 2, "option", 0, INT32_MAX, &option) || !arg_bytes(&c, 3, "value", &value))
		return NULL;
	if (setsockopt(fd, level, option, value.data, (socklen_t)value.size) != 0)
		return throw_errno(env, errno, NULL, "socket option %d/%d", level, option);
	return undefined_value(env);
}

// sockoptGet(fd, level, option, size): the option's bytes, at most size.
static napi_value sockopt_get(napi_env env, napi_callback_info info)
{
	struct call c = call_of(env, info);
	int fd, level, option;
	uint32_t capacity;
	uint8_t value[MAX_OPTION];
	if (!arg_fd(&c, 0, &fd) || !arg_i32(&c, 1, "level", 0, INT32_MAX, &level) ||
	    !arg_i32(&c, 2, "option", 0, INT32_MAX, &option) || !arg_u32(&c, 3, "size", MAX_OPTION, &capacity))
		return NULL;
	socklen_t size = capacity;
	if (getsockopt(fd, level, option, value, &size) != 0)
		return throw_errno(env, errno, NULL, "socket option %d/%d", level, option);
	return bytes_value(env, value, size < capacity ? size : capacity);
}

// descriptorsSend(fd, bytes, fds: bytes of 32-bit numbers): over a unix socket, in one message. False: not now.
static napi_value descriptors_send(napi_env env, napi_callback_info info)
{
	struct call c = call_of(env, info);
	int fd;
	struct bytes bytes, fds;
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(MAX_DESCRIPTORS * sizeof(int))];
	} control = { 0 };
	if (!arg_fd(&c, 0, &fd) || !arg_bytes(&c, 1, "bytes", &bytes) || !arg_bytes(&c, 2, "fds", &fds))
		return NULL;
	if (bytes.size == 0 || bytes.size > MAX_MESSAGE || fds.size % sizeof(int) != 0 ||
	    fds.size > MAX_DESCRIPTORS * sizeof(int))
		return throw_range(env, "message");
	struct iovec piece = { bytes.data, bytes.size };
	struct msghdr message = { .msg_iov = &piece, .msg_iovlen = 1 };
	if (fds.size > 0) {
		message.msg_control = control.room;
		message.msg_controllen = CMSG_SPACE(fds.size);
		control.header = (struct cmsghdr){ CMSG_LEN(fds.size), SOL_SOCKET, SCM_RIGHTS };
		memcpy(CMSG_DATA(&control.header), fds.data, fds.size);
	}
	ssize_t n = sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n < 0 && errno != EAGAIN)
		return throw_errno(env, errno, NULL, "send descriptors");
	napi_value sent = NULL;
	napi_get_boolean(env, n >= 0, &sent);
	return sent;
}

// descriptorsReceive(fd): { bytes, fds } of one message, the descriptors close-on-exec and the caller's; no bytes: the
// end. Undefined: nothing yet.
static napi_value descriptors_receive(napi_env env, napi_callback_info info)
{
	struct call c = call_of(env, info);
	int fd;
	uint8_t bytes[MAX_MESSAGE];
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(MAX_DESCRIPTORS * sizeof(int))];
	} control = { 0 };
	if (!arg_fd(&c, 0, &fd))
		return NULL;
	struct iovec piece = { bytes, sizeof(bytes) };
	struct msghdr message = { .msg_iov = &piece, .msg_iovlen = 1, .msg_control = control.room };
	message.msg_controllen = sizeof(control.room);
	ssize_t n = recvmsg(fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (n < 0)
		return errno == EAGAIN ? NULL : throw_errno(env, errno, NULL, "receive descriptors");
	napi_value result = NULL;
	const void *fds = NULL;
	size_t size = 0;
	const struct cmsghdr *header = CMSG_FIRSTHDR(&message);
	if (header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS) {
		fds = CMSG_DATA(header);
		size = header->cmsg_len - CMSG_LEN(0);
	}
	napi_create_object(env, &result);
	set_value(env, result, "bytes", bytes_value(env, bytes, (size_t)n));
	set_value(env, result, "fds", bytes_value(env, fds ? fds : bytes, size));
	return result;
}

void register_socket(napi_env env, napi_value exports)
{
	export_function(env, exports, "socketOpen", socket_open);
	export_function(env, exports, "socketBind", socket_bind);
	export_function(env, exports, "socketConnect", socket_connect);
	export_function(env, exports, "socketListen", socket_listen);
	export_function(env, exports, "sockoptSet", sockopt_set);
	export_function(env, exports, "sockoptGet", sockopt_get);
	export_function(env, exports, "descriptorsSend", descriptors_send);
	export_function(env, exports, "descriptorsReceive", descriptors_receive);
}
