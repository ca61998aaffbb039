// The buffers between SSL and the socket's calls.
#include "tls.h"

#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>

// What stays allocated between calls: a read's worth of records.
#define KEEP (512 * 1024)

static int window_write(BIO *b, const char *bytes, size_t size, size_t *done)
{
	struct tls *tls = BIO_get_data(b);
	BIO_clear_retry_flags(b);
	if (tls->out_used + size > tls->out_size) {
		size_t room = tls->out_size ? tls->out_size : RECORD;
		while (room < tls->out_used + size)
			room *= 2;
		uint8_t *out = realloc(tls->out, room);
		if (!out)
			return 0;
		tls->out = out;
		tls->out_size = room;
	}
	memcpy(tls->out + tls->out_used, bytes, size);
	tls->out_used += size;
	*done = size;
	return 1;
}

static int window_read(BIO *b, char *to, size_t size, size_t *done)
{
	struct tls *tls = BIO_get_data(b);
	BIO_clear_retry_flags(b);
	if (tls->in_left == 0) {
		BIO_set_retry_read(b);
		return 0;
	}
	*done = size < tls->in_left ? size : tls->in_left;
	memcpy(to, tls->in, *done);
	tls->in += *done;
	tls->in_left -= *done;
	return 1;
}

static long window_ctrl(BIO *b, int command, long number, void *pointer)
{
	(void)b;
	(void)number;
	(void)pointer;
	return command == BIO_CTRL_FLUSH;
}

BIO *window_bio(struct tls *tls)
{
	BIO *b = BIO_new(tls->method);
	if (!b)
		return NULL;
	BIO_set_data(b, tls);
	BIO_set_init(b, 1);
	return b;
}

struct tls *tls_of(struct engine *e)
{
	if (e->tls)
		return e->tls;
	struct tls *tls = calloc(1, sizeof(*tls));
	if (!tls)
		return NULL;
	tls->method = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "window");
	if (!tls->method || !BIO_meth_set_write_ex(tls->method, window_write) ||
	    !BIO_meth_set_read_ex(tls->method, window_read) || !BIO_meth_set_ctrl(tls->method, window_ctrl) ||
	    RAND_bytes(&tls->keys[0][0], sizeof(tls->keys)) != 1) {
		BIO_meth_free(tls->method);
		free(tls);
		return NULL;
	}
	e->tls = tls;
	return tls;
}

// When no session is left.
void tls_close(struct engine *e)
{
	struct tls *tls = e->tls;
	if (!tls)
		return;
	for (uint32_t i = 0; i < tls->contexts.size; i++)
		if (tls->contexts.entries[i])
			context_release(tls->contexts.entries[i]);
	free(tls->contexts.entries);
	free(tls->out);
	BIO_meth_free(tls->method);
	OPENSSL_cleanse(tls, sizeof(*tls));
	free(tls);
	e->tls = NULL;
}

// Sends what SSL wrote.
void window_flush(struct engine *e, struct sock *s)
{
	struct tls *tls = e->tls;
	struct iovec piece = { tls->out, tls->out_used };
	if (piece.iov_len > 0)
		sock_transmit(e, s, &piece, 1);
	tls->out_used = 0;
	if (tls->out_size <= KEEP)
		return;
	free(tls->out);
	tls->out = NULL;
	tls->out_size = 0;
}
