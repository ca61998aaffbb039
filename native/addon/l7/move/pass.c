// A tunnel as another process is told of it: its sockets as they are, and all else as bytes of a memory file, in a
// layout that has a version of its own, since the other process may be of another build.
#include "move.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAGIC 0x4d504c01u
// Beyond what any queue keeps.
#define MOST_BYTES (64 * 1024 * 1024)
#define MOST_LABEL 65536

enum { ENDED = 1, ENDING = 2, SHUT = 4 };
enum { CLIENT_IN, CLIENT_OUT, UP_IN, UP_OUT, LABEL, PARTS };

struct flat {
	uint32_t magic, mark;
	uint8_t peer[32], local[32];
	uint64_t bytes_in, bytes_out, began_us, until_ms;
	uint32_t client, up; // flags above
	uint32_t sizes[PARTS];
	uint32_t stall_ms;
};
_Static_assert(sizeof(struct flat) == 136, "layout between processes");

static uint32_t flags_of(const struct side *s)
{
	return (s->ended ? ENDED : 0) | (s->ending ? ENDING : 0) | (s->shut ? SHUT : 0);
}

static bool write_all(int fd, const void *bytes, size_t size)
{
	for (size_t done = 0; done < size;) {
		ssize_t n = write(fd, (const uint8_t *)bytes + done, size - done);
		if (n < 0 && errno != EINTR)
			return false;
		done += n > 0 ? (size_t)n : 0;
	}
	return true;
}

int parcel_write(const struct parcel *p)
{
	const struct queue *parts[PARTS] = { &p->client.in, &p->client.out, &p->up.in, &p->up.out, &p->label };
	struct flat flat = {
		.magic = MAGIC,
		.mark = p->mark,
		.stall_ms = p->stall_ms,
		.bytes_in = p->bytes_in,
		.bytes_out = p->bytes_out,
		.began_us = p->began_us,
		.until_ms = p->until_ms,
		.client = flags_of(&p->client),
		.up = flags_of(&p->up),
	};
	if (p->phase != TUNNELED || p->client.tls || p->up.tls) {
		errno = EINVAL;
		return -1;
	}
	memcpy(flat.peer, &p->peer, sizeof(p->peer));
	memcpy(flat.local, &p->local, sizeof(p->local));
	for (int i = 0; i < PARTS; i++)
		flat.sizes[i] = (uint32_t)queue_length(parts[i]);
	int fd = memfd_create("midplane-tunnel", MFD_CLOEXEC);
	bool ok = fd >= 0 && write_all(fd, &flat, sizeof(flat));
	for (int i = 0; ok && i < PARTS; i++)
		ok = write_all(fd, parts[i]->data + parts[i]->start, flat.sizes[i]);
	if (ok || fd < 0)
		return fd;
	int error = errno;
	close(fd);
	errno = error;
	return -1;
}

static bool is_tcp(int fd)
{
	int type = 0, domain = 0;
	socklen_t size = sizeof(int);
	return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_STREAM &&
	       getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 && (domain == AF_INET || domain == AF_INET6);
}

static bool is_address(const union address *a)
{
	return a->any.sa_family == AF_INET || a->any.sa_family == AF_INET6;
}

// The length of the memory has to be what the sizes say.
static bool sane(const struct flat *flat, off_t size)
{
	uint64_t all = sizeof(*flat);
	for (int i = 0; i < PARTS; i++)
		all += flat->sizes[i];
	return flat->magic == MAGIC && all == (uint64_t)size && flat->sizes[LABEL] <= MOST_LABEL;
}

static bool read_part(int fd, struct queue *q, uint32_t size, off_t at)
{
	if (size == 0)
		return true;
	*q = (struct queue){ .data = malloc(size), .end = size, .size = size };
	return q->data && pread(fd, q->data, size, at) == (ssize_t)size;
}

static void set_flags(struct side *s, uint32_t flags)
{
	s->ended = flags & ENDED;
	s->ending = flags & ENDING;
	s->shut = flags & SHUT;
}

static bool fill(struct parcel *p, const struct flat *flat, int memory)
{
	struct queue *parts[PARTS] = { &p->client.in, &p->client.out, &p->up.in, &p->up.out, &p->label };
	off_t at = sizeof(*flat);
	p->phase = TUNNELED;
	p->mark = flat->mark;
	p->stall_ms = flat->stall_ms;
	p->bytes_in = flat->bytes_in;
	p->bytes_out = flat->bytes_out;
	p->began_us = flat->began_us;
	p->until_ms = flat->until_ms;
	memcpy(&p->peer, flat->peer, sizeof(p->peer));
	memcpy(&p->local, flat->local, sizeof(p->local));
	set_flags(&p->client, flat->client);
	set_flags(&p->up, flat->up);
	for (int i = 0; i < PARTS; i++) {
		if (!read_part(memory, parts[i], flat->sizes[i], at))
			return false;
		at += flat->sizes[i];
	}
	return is_address(&p->peer) && is_address(&p->local);
}

struct parcel *parcel_read(int memory, int client, int up)
{
	struct stat stat;
	struct flat flat;
	if (!is_tcp(client) || !is_tcp(up) || fstat(memory, &stat) != 0 || !S_ISREG(stat.st_mode) ||
	    stat.st_size > MOST_BYTES || pread(memory, &flat, sizeof(flat), 0) != sizeof(flat) ||
	    !sane(&flat, stat.st_size))
		return NULL;
	struct parcel *p = calloc(1, sizeof(*p));
	if (!p)
		return NULL;
	p->client.fd = p->up.fd = -1;
	if (!fill(p, &flat, memory)) {
		parcel_free(p);
		return NULL;
	}
	p->client.fd = client;
	p->up.fd = up;
	return p;
}
