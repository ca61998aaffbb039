// Netlink exchanges: many requests in one sendmsg with a result each, dumps, events. Messages are made and read in
// JavaScript; here only headers are looked at.
#include "addon.h"

#include <errno.h>
#include <linux/netlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#ifndef NLM_F_ACK_TLVS
#define NLM_F_ACK_TLVS 0x200
#endif

#define RECEIVE_SIZE (64 * 1024)
#define MAX_BATCH 1024
#define MAX_ANSWER (256u * 1024 * 1024)
#define REPLY_BUFFER (4 * 1024 * 1024)

static void set_option(int fd, int level, int option, int value)
{
	setsockopt(fd, level, option, &value, sizeof(value));
}

// netlinkOpen(protocol): a bound socket in the thread's namespace, with strict checks and error texts.
static napi_value netlink_open(napi_env env, napi_callback_info info)
{
	struct call c = call_of(env, info);
	uint32_t protocol;
	if (!arg_u32(&c, 0, "protocol", 31, &protocol))
		return NULL;
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, (int)protocol);
	if (fd < 0)
		return throw_errno(env, errno, NULL, "netlink socket");
	set_option(fd, SOL_NETLINK, NETLINK_EXT_ACK, 1);
	set_option(fd, SOL_NETLINK, NETLINK_CAP_ACK, 1);
	set_option(fd, SOL_SOCKET, SO_RCVBUFFORCE, REPLY_BUFFER);
	// Answers are queued when sendmsg returns; waiting at all means that one was lost.
	struct timeval limit = { .tv_sec = 10 };
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	struct sockaddr_nl address = { .nl_family = AF_NETLINK };
	int one = 1;
	if (setsockopt(fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, &one, sizeof(one)) != 0 ||
	    bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
		int error = errno;
		close(fd);
		return throw_errno(env, error, NULL, "netlink socket");
	}
	return u32_value(env, (uint32_t)fd);
}

static int send_all(int fd, struct bytes b)
{
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	ssize_t sent;
	do
		sent = sendto(fd, b.data, b.size, 0, (struct sockaddr *)&kernel, sizeof(kernel));
	while (sent < 0 && errno == EINTR);
	return sent < 0 ? errno : 0;
}

// One datagram from the kernel; *size 0 is one that did not come from it.
static int receive(int fd, uint8_t *to, size_t *size, int flags)
{
	struct sockaddr_nl from = { 0 };
	struct iovec part = { .iov_base = to, .iov_len = RECEIVE_SIZE };
	struct msghdr message = { .msg_name = &from, .msg_namelen = sizeof(from), .msg_iov = &part, .msg_iovlen = 1 };
	ssize_t n;
	do
		n = recvmsg(fd, &message, flags);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno;
	if (message.msg_flags & MSG_TRUNC)
		return EMSGSIZE;
	*size = from.nl_pid == 0 ? (size_t)n : 0;
	return 0;
}

// The kernel's words in an error message, or NULL. The text lies in the datagram and ends with NUL.
static const char *extended_text(struct nlmsghdr *m)
{
	struct nlmsgerr *e = NLMSG_DATA(m);
	size_t at = NLMSG_HDRLEN + sizeof(*e);
	if (!(m->nlmsg_flags & NLM_F_ACK_TLVS))
		return NULL;
	if (!(m->nlmsg_flags & NLM_F_CAPPED))
		at += NLMSG_ALIGN(e->msg.nlmsg_len - sizeof(e->msg));
	while (at + NLA_HDRLEN <= m->nlmsg_len) {
		struct nlattr *a = (struct nlattr *)((uint8_t *)m + at);
		if (a->nla_len < NLA_HDRLEN || at + a->nla_len > m->nlmsg_len)
			return NULL;
		const char *text = (const char *)a + NLA_HDRLEN;
		if ((a->nla_type & NLA_TYPE_MASK) == NLMSGERR_ATTR_MSG && memchr(text, 0, a->nla_len - NLA_HDRLEN))
			return text;
		at += NLA_ALIGN(a->nla_len);
	}
	return NULL;
}

static bool is_error(struct nlmsghdr *m)
{
	return m->nlmsg_type == NLMSG_ERROR && m->nlmsg_len >= NLMSG_HDRLEN + sizeof(struct nlmsgerr);
}

// Reads the results of `count` requests, first sequence number `first`. Returns an errno of the socket.
static int collect(napi_env env, int fd, uint32_t first, uint32_t count, int32_t *results, napi_value texts)
{
	uint8_t *buffer = malloc(RECEIVE_SIZE);
	uint32_t left = count;
	int error = buffer ? 0 : ENOMEM;
	while (!error && left > 0) {
		size_t size = 0;
		error = receive(fd, buffer, &size, 0);
		int rest = error ? 0 : (int)size;
		for (struct nlmsghdr *m = (void *)buffer; NLMSG_OK(m, (uint32_t)rest) && rest > 0; m = NLMSG_NEXT(m, rest)) {
			uint32_t i = m->nlmsg_seq - first;
			if (!is_error(m) || i >= count || results[i] != -1)
				continue;
			results[i] = -((struct nlmsgerr *)NLMSG_DATA(m))->error;
			left--;
			const char *text = results[i] ? extended_text(m) : NULL;
			if (text)
				napi_set_element(env, texts, i, string_value(env, text));
		}
	}
	free(buffer);
	return error;
}

// netlinkBatch(fd, messages, firstSeq, results: Int32Array, texts: string[]): one errno a message (0: done), and the
// kernel's words where it has some. Each message asks for its ACK and has the next sequence number.
static napi_value netlink_batch(napi_env env, napi_callback_info info)
{
	struct call c = call_of(env, info);
	int fd;
	uint32_t first;
	struct bytes messages;
	napi_typedarray_type type;
	size_t count = 0;
	void *results = NULL;
	if (!arg_fd(&c, 0, &fd) || !arg_bytes(&c, 1, "messages", &messages) ||
	    !arg_u32(&c, 2, "sequence", UINT32_MAX, &first))
		return NULL;
	if (napi_get_typedarray_info(env, c.args[3], &type, &count, &results, NULL, NULL) != napi_ok ||
	    type != napi_int32_array)
		return throw_type(env, "results");
	if (count == 0 || count > MAX_BATCH)
		return throw_range(env, "results");
	int32_t *codes = results;
	for (size_t i = 0; i < count; i++)
		codes[i] = -1;
	int error = send_all(fd, messages);
	if (!error)
		error = collect(env, fd, first, (uint32_t)count, codes, c.args[4]);
	if (error)
		return throw_errno(env, error == EAGAIN ? ETIMEDOUT : error, NULL, "netlink batch");
	return undefined_value(env);
}

struct answer {
	uint8_t *data;
	size_t size;
	size_t capacity;
	bool interrupted;
	bool done;
};

static int append(struct answer *a, struct nlmsghdr *m)
{
	size_t size = NLMSG_ALIGN(m->nlmsg_len);
	if (a->size + size > MAX_ANSWER)
		return EMSGSIZE;
	if (a->size + size > a->capacity) {
		size_t capacity = a->capacity * 2 > a->size + size ? a->capacity * 2 : a->size + size;
		uint8_t *grown = realloc(a->data, capacity);
		if (!grown)
			return ENOMEM;
		a->data = grown;
		a->capacity = capacity;
	}
	memset(a->data + a->size + m->nlmsg_len, 0, size - m->nlmsg_len);
	memcpy(a->data + a->size, m, m->nlmsg_len);
	a->size += size;
	return 0;
}

// Sorts one message of the answer. Returns the kernel's errno; *text its words, copied.
static int take(struct answer *a, struct nlmsghdr *m, char *text, size_t capacity)
{
	a->interrupted |= (m->nlmsg_flags & NLM_F_DUMP_INTR) != 0;
	if (m->nlmsg_type == NLMSG_DONE) {
		a->done = true;
		int32_t code = 0;
		if (m->nlmsg_len >= NLMSG_HDRLEN + sizeof(code))
			memcpy(&code, NLMSG_DATA(m), sizeof(code));
		return code < 0 ? -code : 0;
	}
	if (is_error(m)) {
		a->done = true;
		const char *words = extended_text(m);
		if (words)
			strncpy(text, words, capacity - 1);
		return -((struct nlmsgerr *)NLMSG_DATA(m))->error;
	}
	return m->nlmsg_type >= NLMSG_MIN_TYPE ? append(a, m) : 0;
}

// netlinkQuery(fd, message, seq): { bytes, interrupted }: the messages of the answer, up to DONE or the ACK.
static napi_value netlink_query(napi_env env, napi_callback_info info)
{
	struct call c = call_of(env, info);
	int fd;
	uint32_t seq;
	struct bytes message;
	char text[256] = "";
	if (!arg_fd(&c, 0, &fd) || !arg_bytes(&c, 1, "message", &message) ||
	    !arg_u32(&c, 2, "sequence", UINT32_MAX, &seq))
		return NULL;
	struct answer a = { 0 };
	uint8_t *buffer = malloc(RECEIVE_SIZE);
	int error = buffer ? send_all(fd, message) : ENOMEM;
	while (!error && !a.done) {
		size_t size = 0;
		error = receive(fd, buffer, &size, 0);
		int rest = error ? 0 : (int)size;
		for (struct nlmsghdr *m = (void *)buffer; NLMSG_OK(m, (uint32_t)rest) && rest > 0 && !error;
		     m = NLMSG_NEXT(m, rest))
			if (m->nlmsg_seq == seq)
				error = take(&a, m, text, sizeof(text));
	}
	free(buffer);
	napi_value result = NULL, interrupted = NULL;
	if (error) {
		throw_errno(env, error == EAGAIN ? ETIMEDOUT : error, text, "netlink query");
	} else {
		napi_create_object(env, &result);
		set_value(env, result, "bytes", bytes_value(env, a.data, a.size));
		napi_get_boolean(env, a.interrupted, &interrupted);
		set_value(env, result, "interrupted", interrupted);
	}
	free(a.data);
	return result;
}

// netlinkReceive(fd): what waits, one datagram; undefined where nothing does.
static napi_value netlink_receive(napi_env env, napi_callback_info info)
{
	struct call c = call_of(env, info);
	int fd;
	if (!arg_fd(&c, 0, &fd))
		return NULL;
	uint8_t *buffer = malloc(RECEIVE_SIZE);
	size_t size = 0;
	int error = buffer ? receive(fd, buffer, &size, MSG_DONTWAIT) : ENOMEM;
	napi_value result = NULL;
	if (error == EAGAIN)
		result = undefined_value(env);
	else if (error)
		throw_errno(env, error, NULL, "netlink receive");
	else
		result = bytes_value(env, buffer, size);
	free(buffer);
	return result;
}

void register_netlink(napi_env env, napi_value exports)
{
	export_function(env, exports, "netlinkOpen", netlink_open);
	export_function(env, exports, "netlinkBatch", netlink_batch);
	export_function(env, exports, "netlinkQuery", netlink_query);
	export_function(env, exports, "netlinkReceive", netlink_receive);
}
