// The web server of the images that set-up makes: answers every method and path with 200 and a text that says who
// answered and what arrived, so that a test of routing can see both ends. HTTP/1.1 with keep-alive, a thread a
// connection; $PORT (80) and $VERSION come from the environment.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { HEAD_MOST = 65536, STACK = 256 * 1024, IDLE_S = 75 };

struct connection {
	int fd;
	size_t have; // bytes in `buffer` that are not used up
	char peer[INET6_ADDRSTRLEN];
	char buffer[HEAD_MOST];
};

struct request {
	bool head_only, close, chunked, expects;
	unsigned long long length;
};

static const char *version;

static bool fill(struct connection *c)
{
	if (c->have == sizeof(c->buffer))
		return false;
	ssize_t got = read(c->fd, c->buffer + c->have, sizeof(c->buffer) - c->have);
	if (got <= 0)
		return false;
	c->have += (size_t)got;
	return true;
}

static void use(struct connection *c, size_t count)
{
	c->have -= count;
	memmove(c->buffer, c->buffer + count, c->have);
}

static bool send_all(int fd, const char *data, size_t size)
{
	while (size > 0) {
		ssize_t sent = send(fd, data, size, MSG_NOSIGNAL);
		if (sent <= 0)
			return false;
		data += sent;
		size -= (size_t)sent;
	}
	return true;
}

// Length of the head with its empty line; 0: the connection ended or the head is too long.
static size_t read_head(struct connection *c)
{
	for (;;) {
		char *end = memmem(c->buffer, c->have, "\r\n\r\n", 4);
		if (end)
			return (size_t)(end - c->buffer) + 4;
		if (!fill(c))
			return 0;
	}
}

static struct request parse(const char *head, size_t size)
{
	struct request r = { .head_only = strncmp(head, "HEAD ", 5) == 0 };
	const char *end = memmem(head, size, "\r\n", 2);
	r.close = !end || end - head < 9 || strncmp(end - 8, "HTTP/1.1", 8) != 0;
	for (const char *line = end; line && line + 2 < head + size - 2; line = strstr(line, "\r\n")) {
		line += 2;
		const char *value = strchr(line, ':');
		value += value ? 1 + strspn(value + 1, " \t") : 0;
		if (strncasecmp(line, "content-length:", 15) == 0)
			r.length = strtoull(value, NULL, 10);
		else if (strncasecmp(line, "transfer-encoding:", 18) == 0)
			r.chunked = strncasecmp(value, "chunked", 7) == 0;
		else if (strncasecmp(line, "expect:", 7) == 0)
			r.expects = true;
		else if (strncasecmp(line, "connection:", 11) == 0 && strncasecmp(value, "close", 5) == 0)
			r.close = true;
	}
	return r;
}

static bool skip(struct connection *c, unsigned long long count)
{
	while (count > 0) {
		if (c->have == 0 && !fill(c))
			return false;
		size_t part = c->have < count ? c->have : (size_t)count;
		use(c, part);
		count -= part;
	}
	return true;
}

// Takes one line; false where the connection ended.
static bool take_line(struct connection *c, char *line, size_t size)
{
	char *end;
	while (!(end = memmem(c->buffer, c->have, "\r\n", 2)))
		if (!fill(c))
			return false;
	size_t length = (size_t)(end - c->buffer);
	snprintf(line, size, "%.*s", (int)length, c->buffer);
	use(c, length + 2);
	return true;
}

// Reads the body away and counts it.
static bool read_body(struct connection *c, const struct request *r, unsigned long long *count)
{
	char line[256];
	*count = r->chunked ? 0 : r->length;
	if (!r->chunked)
		return skip(c, r->length);
	for (;;) {
		if (!take_line(c, line, sizeof(line)))
			return false;
		unsigned long long chunk = strtoull(line, NULL, 16);
		if (chunk == 0)
			break;
		*count += chunk;
		if (!skip(c, chunk) || !take_line(c, line, sizeof(line)))
			return false;
	}
	do {
		if (!take_line(c, line, sizeof(line)))
			return false;
	} while (line[0] != '\0');
	return true;
}

static bool answer(struct connection *c)
{
	size_t size = read_head(c);
	if (size == 0)
		return false;
	char *head = strndup(c->buffer, size);
	struct request r = parse(head, strlen(head));
	use(c, size);
	static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
	unsigned long long body = 0;
	bool ok = (!r.expects || send_all(c->fd, go_on, sizeof(go_on) - 1)) && read_body(c, &r, &body);
	char host[256] = "", *text = NULL, *reply = NULL;
	gethostname(host, sizeof(host) - 1);
	int length = asprintf(&text, "host %s\nversion %s\nclient %s\nbody %llu\n\n%s", host, version, c->peer, body, head);
	static const char form[] = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n%s\r\n%s";
	const char *last = r.close ? "Connection: close\r\n" : "";
	int total = length < 0 ? -1 : asprintf(&reply, form, length, last, r.head_only ? "" : text);
	ok = ok && total > 0 && send_all(c->fd, reply, (size_t)total);
	free(head);
	free(text);
	free(reply);
	return ok && !r.close;
}

static void *serve(void *argument)
{
	struct connection *c = argument;
	while (answer(c))
		;
	shutdown(c->fd, SHUT_WR);
	close(c->fd);
	free(c);
	return NULL;
}

static int listen_on(int port)
{
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0), family = AF_INET6;
	if (fd < 0) {
		fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		family = AF_INET;
	}
	int on = 1, off = 0;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	struct sockaddr_in6 six = { .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port) };
	struct sockaddr_in four = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	const struct sockaddr *at = family == AF_INET6 ? (struct sockaddr *)&six : (struct sockaddr *)&four;
	if (bind(fd, at, family == AF_INET6 ? sizeof(six) : sizeof(four)) != 0 || listen(fd, 512) != 0) {
		perror("web: listen");
		exit(1);
	}
	return fd;
}

static struct connection *accept_one(int listener)
{
	struct sockaddr_storage from;
	socklen_t size = sizeof(from);
	int fd = accept4(listener, (struct sockaddr *)&from, &size, SOCK_CLOEXEC), on = 1;
	if (fd < 0) {
		usleep(10000); // no descriptor is left: busy trying would not free one
		return NULL;
	}
	struct connection *c = calloc(1, sizeof(*c));
	if (!c) {
		close(fd);
		return NULL;
	}
	struct timeval idle = { .tv_sec = IDLE_S };
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &idle, sizeof(idle));
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	c->fd = fd;
	const void *address = from.ss_family == AF_INET6 ? (void *)&((struct sockaddr_in6 *)&from)->sin6_addr :
							    (void *)&((struct sockaddr_in *)&from)->sin_addr;
	inet_ntop(from.ss_family, address, c->peer, sizeof(c->peer));
	if (strncmp(c->peer, "::ffff:", 7) == 0)
		memmove(c->peer, c->peer + 7, strlen(c->peer + 7) + 1);
	return c;
}

static void end(int number)
{
	(void)number;
	_exit(0);
}

int main(void)
{
	// As PID 1 of a container it would ignore what it has no handler for.
	signal(SIGTERM, end);
	signal(SIGINT, end);
	const char *port = getenv("PORT"), *given = getenv("VERSION");
	version = given ? given : "";
	int listener = listen_on(port ? atoi(port) : 80);
	pthread_attr_t attributes;
	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, STACK);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	for (;;) {
		struct connection *c = accept_one(listener);
		pthread_t thread;
		if (!c || pthread_create(&thread, &attributes, serve, c) == 0)
			continue;
		close(c->fd);
		free(c);
	}
}
