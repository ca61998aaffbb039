// One connection's TLS: handshake, records, end.
#include "tls.h"

#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>

// What is received at once at most, so that records without content keep nobody else waiting.
#define RECEIVE (512 * 1024)
// What OpenSSL keeps of a connection, about: measured with thousands that are idle.
#define SESSION (22 * 1024)
// Alerts and answers to key updates that a peer leaves unread.
#define UNREAD (2 * 1024 * 1024)

static bool session_open(struct engine *e, struct sock *s, struct context *c)
{
	struct session *t = calloc(1, sizeof(*t));
	SSL *ssl = t ? SSL_new(c->ssl) : NULL;
	BIO *b = ssl ? window_bio(c->tls) : NULL;
	if (!b) {
		SSL_free(ssl);
		free(t);
		return false;
	}
	SSL_set_bio(ssl, b, b);
	SSL_set_app_data(ssl, t);
	*t = (struct session){ .ssl = ssl, .engine = e, .context = c, .server = c->server, .policy = c->policy };
	c->holders += 1;
	e->held += SESSION;
	s->tls = t;
	return true;
}

static bool tls_accept(struct engine *e, struct sock *s, struct context *c)
{
	ERR_clear_error();
	if (!session_open(e, s, c))
		return false;
	SSL_set_accept_state(s->tls->ssl);
	// What was read to look at is what SSL begins with.
	s->tls->cipher = s->in;
	s->in = (struct queue){ 0 };
	s->tls->begun = true;
	s->readable = true;
	return true;
}

void tls_greet(struct engine *e, struct conn *c, uint32_t id, bool ask)
{
	struct context *context = context_find(e, id);
	if (!context || !context->server || !tls_accept(e, &c->s, context)) {
		e->stats.faults += 1;
		return abort_conn(e, c, WHY_CLOSED);
	}
	c->greeting = ask;
	c->phase = ask ? GREETING : AWAIT;
	c->head_timed = false;
	wheel_set(&e->wheel, &c->idle, e->now_us / 1000 + e->times.head_ms);
	push(e, c, ask ? HELLO : REQUEST, WHY_NONE);
}

bool tls_connect(struct engine *e, struct sock *s, struct context *c, struct expected *expected)
{
	ERR_clear_error();
	if (!session_open(e, s, c))
		return false;
	SSL_set_connect_state(s->tls->ssl);
	s->tls->expected = expected;
	SSL_SESSION *ticket = expected_ticket(expected);
	if (ticket)
		SSL_set_session(s->tls->ssl, ticket);
	SSL_SESSION_free(ticket);
	return !expected->server_name || SSL_set_tlsext_host_name(s->tls->ssl, expected->server_name);
}

void tls_free(struct engine *e, struct sock *s)
{
	struct session *t = s->tls;
	s->tls = NULL;
	if (t->server && t->begun && !t->up && !t->failed)
		e->stats.tls_cut += 1;
	e->held -= SESSION;
	queue_free(e, &t->cipher);
	queue_free(e, &t->waiting);
	if (t->context)
		context_release(t->context);
	t->context = NULL;
	tls_forget(t);
}

void tls_forget(struct session *t)
{
	SSL_free(t->ssl);
	free(t->cipher.data);
	free(t->waiting.data);
	free(t);
}

bool tls_shaking(const struct session *t)
{
	return !t->up;
}

bool tls_moves(const struct session *t)
{
	return !t->failed && !t->cut;
}

struct session *tls_leave(struct engine *e, struct sock *s)
{
	struct session *t = s->tls;
	s->tls = NULL;
	e->held -= SESSION + t->cipher.size + t->waiting.size;
	// What it reads from and writes to is the engine's.
	SSL_set_bio(t->ssl, NULL, NULL);
	if (t->context)
		context_release(t->context);
	t->context = NULL;
	t->expected = NULL;
	t->engine = NULL;
	return t;
}

bool tls_arrive(struct engine *e, struct sock *s, struct session *t)
{
	struct tls *tls = tls_of(e);
	BIO *b = tls ? window_bio(tls) : NULL;
	struct context *c = t->server ? context_like(e, &t->policy) : NULL;
	// A handshake goes on by the rules that it began with.
	if (!b || (!t->up && !c)) {
		BIO_free(b);
		tls_forget(t);
		return false;
	}
	SSL_set_bio(t->ssl, b, b);
	t->engine = e;
	t->context = c;
	if (c)
		c->holders += 1;
	e->held += SESSION + t->cipher.size + t->waiting.size;
	s->tls = t;
	return true;
}

static void fail_handshake(struct session *t, bool cut)
{
	struct stats *stats = &t->engine->stats;
	unsigned long error = ERR_peek_error();
	int why = ERR_GET_REASON(error);
	t->failed = true;
	if (!t->server)
		return;
	if (cut || ERR_GET_LIB(error) != ERR_LIB_SSL)
		*(cut ? &stats->tls_cut : &stats->tls_other) += 1;
	else if (why == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE || why == SSL_R_CERTIFICATE_VERIFY_FAILED)
		stats->tls_certificate += 1;
	else if (why == SSL_R_UNSUPPORTED_PROTOCOL || why == SSL_R_NO_SHARED_CIPHER || why == SSL_R_VERSION_TOO_LOW ||
		 why == SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM || why == SSL_R_NO_APPLICATION_PROTOCOL ||
		 why == SSL_R_NO_SUITABLE_KEY_SHARE || why == SSL_R_NO_SHARED_GROUPS)
		stats->tls_unshared += 1;
	else if (why >= SSL_AD_REASON_OFFSET)
		stats->tls_alert += 1;
	else
		stats->tls_other += 1;
}

// The client's part of the key exchange, which OpenSSL keeps as long as the connection and nobody needs any more: 6 KB
// of ML-KEM. There is no call for this; a key that is given a type is emptied first.
static void forget_share(SSL *ssl)
{
	EVP_PKEY *share = NULL;
	if (SSL_get_peer_tmp_key(ssl, &share))
		EVP_PKEY_set_type(share, EVP_PKEY_X25519);
	EVP_PKEY_free(share);
}

// False: more has to come, or it failed.
static bool shake(struct session *t, struct sock *s)
{
	t->begun = true;
	ERR_clear_error();
	int done = SSL_do_handshake(t->ssl);
	if (done != 1) {
		if (SSL_get_error(t->ssl, done) != SSL_ERROR_WANT_READ)
			fail_handshake(t, false);
		return false;
	}
	t->up = true;
	if (!t->server) {
		t->engine->stats.up_resumed += SSL_session_reused(t->ssl) ? 1 : 0;
		return true;
	}
	forget_share(t->ssl);
	t->engine->stats.tls_handshakes += 1;
	t->engine->stats.tls_resumed += SSL_session_reused(t->ssl) ? 1 : 0;
	struct conn *c = (struct conn *)s;
	// The time for a request begins; who greets is asked now.
	wheel_set(&t->engine->wheel, &c->idle, t->engine->now_us / 1000 + t->engine->times.head_ms);
	c->asked = false;
	return true;
}

// Fills `to` from what the window has. Gives how much; t->cut, s->ended and t->failed say more.
static size_t decrypt(struct session *t, struct sock *s, uint8_t *to, size_t size)
{
	size_t got = 0, n;
	if (!t->up && !shake(t, s))
		return 0;
	while (got < size) {
		ERR_clear_error();
		if (SSL_read_ex(t->ssl, to + got, size - got, &n)) {
			got += n;
			continue;
		}
		int error = SSL_get_error(t->ssl, 0);
		if (error == SSL_ERROR_ZERO_RETURN)
			s->ended = true;
		else if (error != SSL_ERROR_WANT_READ)
			t->cut = true;
		break;
	}
	return got;
}

// What a peer still says after its handshake has failed.
static size_t drain(struct session *t, struct sock *s)
{
	sock_receive(s, t->engine->tls->cipher, CIPHER);
	return 0;
}

static bool over(const struct session *t, const struct sock *s)
{
	return t->failed || t->cut || s->ended;
}

// Decrypts until `to` is full or nothing is there.
static size_t fill(struct session *t, struct sock *s, uint8_t *to, size_t size)
{
	struct tls *tls = t->engine->tls;
	size_t got = decrypt(t, s, to, size), moved = 0;
	while (!over(t, s) && s->readable && !(t->up && got == size)) {
		if (moved >= RECEIVE) {
			look_at(t->engine, s);
			break;
		}
		size_t n = sock_receive(s, tls->cipher, CIPHER);
		tls->in = tls->cipher;
		tls->in_left = n;
		moved += n;
		if (n > 0) {
			got += decrypt(t, s, to + got, size - got);
			continue;
		}
		// A FIN without close_notify: what was meant to come is unknown.
		if (!s->ended && !s->lost)
			break;
		s->ended = s->lost = false;
		t->cut = true;
		if (!t->up)
			fail_handshake(t, true);
	}
	return got;
}

static void send_waiting(struct session *t, struct sock *s)
{
	struct queue waiting = t->waiting;
	struct iovec piece = { waiting.data + waiting.start, queue_length(&waiting) };
	t->waiting = (struct queue){ 0 };
	tls_send(t->engine, s, &piece, 1);
	queue_free(t->engine, &waiting);
}

size_t tls_read(struct sock *s, uint8_t *to, size_t size)
{
	struct session *t = s->tls;
	struct engine *e = t->engine;
	struct tls *tls = e->tls;
	struct queue kept = t->cipher;
	if (t->failed)
		return drain(t, s);
	t->cipher = (struct queue){ 0 };
	tls->in = kept.data + kept.start;
	tls->in_left = queue_length(&kept);
	size_t got = t->cut ? 0 : fill(t, s, to, size);
	if (tls->in_left > 0 && !over(t, s) && !queue_put(e, &t->cipher, tls->in, tls->in_left))
		t->cut = s->starved = true;
	queue_free(e, &kept);
	tls->in_left = 0;
	window_flush(e, s);
	if (queue_length(&s->out) > UNREAD)
		t->cut = true;
	// Bytes are given out first, then the news of what is behind them.
	if (t->cut && got == 0 && !t->failed) {
		s->lost = true;
		s->readable = false;
	} else if (t->cut || t->failed || (t->up && got == size))
		s->readable = true;
	if (t->up && queue_length(&t->waiting) > 0)
		send_waiting(t, s);
	return got;
}

enum shake tls_shake(struct sock *s)
{
	struct session *t = s->tls;
	if (!t->up && !t->failed)
		tls_read(s, NULL, 0);
	return t->failed || s->lost ? SHAKE_FAILED : t->up ? SHAKE_DONE : SHAKE_MORE;
}

bool tls_agreed(const struct sock *s)
{
	const unsigned char *chosen;
	unsigned size;
	SSL_get0_alpn_selected(s->tls->ssl, &chosen, &size);
	return size > 0;
}

static bool encrypt(struct session *t, const uint8_t *bytes, size_t size)
{
	size_t n;
	ERR_clear_error();
	return size == 0 || SSL_write_ex(t->ssl, bytes, size, &n) == 1;
}

// Full records, whatever the pieces.
static bool encrypt_pieces(struct session *t, const struct iovec *pieces, int count)
{
	uint8_t *plain = t->engine->tls->plain;
	size_t have = 0;
	for (int i = 0; i < count; i++) {
		const uint8_t *p = pieces[i].iov_base;
		size_t left = pieces[i].iov_len;
		while (left > 0) {
			size_t whole = have == 0 ? left - left % RECORD : 0;
			size_t take = whole > 0 ? whole : RECORD - have < left ? RECORD - have : left;
			if (whole == 0) {
				memcpy(plain + have, p, take);
				have += take;
			}
			if ((whole > 0 && !encrypt(t, p, whole)) || (have == RECORD && !encrypt(t, plain, RECORD)))
				return false;
			have = have == RECORD ? 0 : have;
			p += take;
			left -= take;
		}
	}
	return encrypt(t, plain, have);
}

void tls_send(struct engine *e, struct sock *s, const struct iovec *pieces, int count)
{
	struct session *t = s->tls;
	bool ok = !t->failed;
	for (int i = 0; !t->up && ok && i < count; i++)
		ok = queue_put(e, &t->waiting, pieces[i].iov_base, pieces[i].iov_len);
	if (t->up && ok)
		ok = encrypt_pieces(t, pieces, count);
	window_flush(e, s);
	if (!ok)
		sock_deaf(e, s);
}

void tls_end(struct engine *e, struct sock *s)
{
	struct session *t = s->tls;
	if (!t->up || t->cut)
		return;
	ERR_clear_error();
	SSL_shutdown(t->ssl);
	window_flush(e, s);
}
