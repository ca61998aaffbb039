// The calls themselves: read, write, keep what does not go, end, close.
#include "../l7.h"
#include "../tls/tls.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define QUEUE_MIN 1024
// So much is put together for one plain send: cheaper than for the kernel to fetch the pieces.
#define TOGETHER 2048

// The system calls without libc's wrappers, which in a process with threads first see to it that the call can be
// cancelled: two in a hundred parts of a request.
static ssize_t receive(int fd, void *to, size_t size)
{
	return syscall(SYS_recvfrom, fd, to, size, 0, NULL, NULL);
}

static ssize_t transmit(int fd, const void *bytes, size_t size)
{
	return syscall(SYS_sendto, fd, bytes, size, MSG_NOSIGNAL, NULL, 0);
}

// The more at once, the cheaper, and so much one direction keeps of a peer that does not read. The more is kept in all,
// the less.
size_t bite(const struct engine *e)
{
	return e->held < e->max_held / 8 ? SCRATCH : e->held < e->max_held / 2 ? SCRATCH / 8 : SCRATCH / 32;
}

void queue_free(struct engine *e, struct queue *q)
{
	e->held -= q->size;
	free(q->data);
	*q = (struct queue){ 0 };
}

// False: no memory, or more than any direction may keep.
bool queue_put(struct engine *e, struct queue *q, const void *bytes, size_t size)
{
	size_t have = queue_length(q);
	if (size == 0)
		return true;
	if (have + size > INT32_MAX)
		return false;
	if (q->start > 0 && q->end + size > q->size) {
		memmove(q->data, q->data + q->start, have);
		q->start = 0;
		q->end = (uint32_t)have;
	}
	if (have + size > q->size) {
		size_t room = q->size ? q->size : QUEUE_MIN;
		while (room < have + size)
			room *= 2;
		uint8_t *data = realloc(q->data, room);
		if (!data)
			return false;
		e->held += room - q->size;
		q->data = data;
		q->size = (uint32_t)room;
	}
	memcpy(q->data + q->end, bytes, size);
	q->end += (uint32_t)size;
	return true;
}

bool queue_before(struct engine *e, struct queue *q, size_t skip, const void *bytes, size_t size)
{
	struct queue all = { 0 };
	if (skip == 0 && size == 0)
		return true;
	bool ok = queue_put(e, &all, bytes, size) && queue_put(e, &all, q->data + q->start + skip, queue_length(q) - skip);
	if (!ok)
		queue_free(e, &all);
	queue_free(e, q);
	*q = all;
	return ok;
}

void queue_skip(struct engine *e, struct queue *q, size_t size)
{
	q->start += (uint32_t)size;
	if (q->start >= q->end)
		queue_free(e, q);
}

bool sock_watch(struct engine *e, struct sock *s, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.ptr = s };
	return epoll_ctl(e->epoll, EPOLL_CTL_ADD, s->fd, &event) == 0;
}

size_t sock_read(struct sock *s, void *to, size_t size)
{
	// TLS can end before its FIN is read, and an event comes for that too.
	if (s->ended || s->lost)
		s->readable = false;
	if (!s->readable || s->fd < 0)
		return 0;
	if (s->script)
		return script_read(s, to, size);
	return s->tls ? tls_read(s, to, size) : sock_receive(s, to, size);
}

size_t sock_receive(struct sock *s, void *to, size_t size)
{
	ssize_t n = receive(s->fd, to, size);
	if (n > 0) {
		// Less than asked: nothing is left, and more makes a new edge. After a FIN no edge comes.
		if ((size_t)n < size && !s->hup)
			s->readable = false;
		return (size_t)n;
	}
	if (n < 0 && errno == EINTR)
		return 0;
	s->readable = false;
	if (n == 0)
		s->ended = true;
	else if (errno != EAGAIN)
		s->lost = true;
	return 0;
}

void sock_deaf(struct engine *e, struct sock *s)
{
	s->deaf = true;
	queue_free(e, &s->out);
	if (s->script)
		s->script->trailers = 0;
	look_at(e, s);
}

void sock_starved(struct engine *e, struct sock *s)
{
	s->starved = s->lost = true;
	queue_free(e, &s->in);
	sock_deaf(e, s);
}

void sock_keep(struct engine *e, struct sock *s, size_t skip, const void *bytes, size_t size)
{
	if (!queue_before(e, &s->in, skip, bytes, size))
		sock_starved(e, s);
}

static ssize_t write_pieces(struct sock *s, struct iovec *pieces, int count)
{
	uint8_t bytes[TOGETHER];
	size_t size = 0;
	if (count == 1)
		return transmit(s->fd, pieces->iov_base, pieces->iov_len);
	for (int i = 0; i < count; i++) {
		if (size + pieces[i].iov_len > TOGETHER) {
			struct msghdr message = { .msg_iov = pieces, .msg_iovlen = (size_t)count };
			return syscall(SYS_sendmsg, s->fd, &message, MSG_NOSIGNAL);
		}
		memcpy(bytes + size, pieces[i].iov_base, pieces[i].iov_len);
		size += pieces[i].iov_len;
	}
	return transmit(s->fd, bytes, size);
}

void sock_send(struct engine *e, struct sock *s, struct iovec *pieces, int count)
{
	if (s->deaf || s->shut || s->fd < 0)
		return;
	if (s->script) {
		if (!script_send(e, s, pieces, count))
			sock_deaf(e, s);
		return;
	}
	if (s->tls)
		tls_send(e, s, pieces, count);
	else
		sock_transmit(e, s, pieces, count);
}

void sock_transmit(struct engine *e, struct sock *s, struct iovec *pieces, int count)
{
	if (s->deaf || s->shut || s->fd < 0)
		return;
	size_t done = 0;
	if (s->writable && !sock_blocked(s)) {
		ssize_t n = write_pieces(s, pieces, count);
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return sock_deaf(e, s);
		done = n < 0 ? 0 : (size_t)n;
	}
	for (int i = 0; i < count; i++) {
		size_t size = pieces[i].iov_len;
		if (done >= size) {
			done -= size;
			continue;
		}
		s->writable = false;
		if (!queue_put(e, &s->out, (uint8_t *)pieces[i].iov_base + done, size - done))
			return sock_starved(e, s);
		done = 0;
	}
}

void sock_send_bytes(struct engine *e, struct sock *s, const void *bytes, size_t size)
{
	struct iovec piece = { .iov_base = (void *)bytes, .iov_len = size };
	if (size > 0)
		sock_send(e, s, &piece, 1);
}

void sock_flush(struct engine *e, struct sock *s)
{
	while (s->writable && sock_blocked(s)) {
		ssize_t n = transmit(s->fd, s->out.data + s->out.start, queue_length(&s->out));
		if (n >= 0) {
			queue_skip(e, &s->out, (size_t)n);
			continue;
		}
		s->writable = false;
		if (errno == EINTR)
			s->writable = true;
		else if (errno != EAGAIN)
			return sock_deaf(e, s);
	}
	if (s->ending && !sock_blocked(s) && !s->shut) {
		s->shut = true;
		if (!s->script)
			shutdown(s->fd, SHUT_WR);
	}
}

void sock_end(struct engine *e, struct sock *s)
{
	if (s->tls && !s->ending && s->fd >= 0 && !s->deaf)
		tls_end(e, s);
	s->ending = true;
	if (s->script)
		script_news(e, s);
	else if (s->fd >= 0 && !s->deaf)
		sock_flush(e, s);
}

void sock_close(struct engine *e, struct sock *s, bool reset)
{
	queue_free(e, &s->in);
	queue_free(e, &s->out);
	if (s->tls)
		tls_free(e, s);
	if (s->fd < 0)
		return;
	if (s->script) {
		s->fd = -1;
		return script_close(e, s);
	}
	// Closing it here does not end what is heard of it while somebody else has it too: the owner of a listening socket,
	// or a child of this process between its fork and its exec.
	epoll_ctl(e->epoll, EPOLL_CTL_DEL, s->fd, NULL);
	struct linger now = { .l_onoff = 1, .l_linger = 0 };
	if (reset)
		setsockopt(s->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(s->fd);
	s->fd = -1;
}

void look_at(struct engine *e, struct sock *s)
{
	if (s->listed)
		return;
	s->listed = true;
	s->next = NULL;
	*e->ready_end = s;
	e->ready_end = &s->next;
	if (!e->in_turn)
		turn_soon(e);
}
