// TLS as a transform between a socket's calls and the rest of the engine, on the OpenSSL that Node brings: SSL reads
// what was received and writes what is to be sent, through buffers of the engine; it never sees a descriptor.
// window.c: those buffers. context.c: certificates and rules. session.c: one connection. identity.c: who is there.
#ifndef MIDPLANE_L7_TLS_H
#define MIDPLANE_L7_TLS_H

#include "../l7.h"

#include <openssl/ssl.h>

#define CIPHER (64 * 1024)
#define RECORD (16 * 1024)
#define MAX_POLICY 32

// What all sessions of an engine share: it is theirs for the time of one call.
struct tls {
	BIO_METHOD *method;
	const uint8_t *in; // received, not read by SSL yet
	size_t in_left;
	uint8_t *out; // written by SSL, not sent yet
	size_t out_used, out_size;
	uint8_t keys[2][TICKET_KEY]; // the first makes tickets, both open them
	struct table contexts;
	uint32_t context_count; // all that ever were
	uint8_t cipher[CIPHER], plain[RECORD];
};

// By whose rules a client is let in: a session is resumed, and a connection goes on elsewhere, only within one.
struct policy {
	uint8_t size;
	uint8_t bytes[MAX_POLICY];
};

// Certificates, trust and rules; it lasts as long as a connection or an endpoint has it.
struct context {
	SSL_CTX *ssl;
	struct tls *tls;
	uint32_t id;
	uint32_t holders;
	bool server;
	uint8_t alpn_size;
	uint8_t alpn[255];
	struct policy policy;
};

struct session {
	SSL *ssl;
	struct engine *engine;
	struct context *context; // NULL: it moved, and nothing of the kind is here
	struct policy policy;
	struct expected *expected; // of an upstream, its endpoint's; NULL: it moved
	struct queue cipher; // received, not decrypted yet
	struct queue waiting; // to be sent once the handshake is done
	bool server;
	bool begun;
	bool up; // the handshake is done
	bool failed; // and will never be
	bool cut; // what came after the last byte that was given out is no end
};

#define TICKETS 4

// Who an upstream has to be, and sessions that were with it: it has one context of TLS as long as this is there.
struct expected {
	char *server_name; // SNI, or NULL
	char **names; // one of them, of a host or a URI, has to be the certificate's; none: any
	uint32_t count;
	SSL_SESSION *tickets[TICKETS]; // the youngest last
	uint32_t ticket_count;
};

// window.c. The engine's part, made when it is first asked for; NULL: no memory.
struct tls *tls_of(struct engine *e);
void tls_close(struct engine *e);
BIO *window_bio(struct tls *tls);
void window_flush(struct engine *e, struct sock *s);

// context.c
struct rules {
	bool server;
	uint8_t verify; // 0 nobody, 1 who gives a certificate, 2 all
	bool only_13;
	struct bytes alpn, policy, ca, crl;
};
// NULL: *why says why not, in static memory.
struct context *context_open(struct engine *e, const struct rules *rules, const char **why);
// NULL where all is well.
const char *context_certify(struct context *c, struct bytes chain, struct bytes key);
struct context *context_find(const struct engine *e, uint32_t id);
// A server's of that policy; NULL: there is none.
struct context *context_like(const struct engine *e, const struct policy *policy);
void context_drop(struct engine *e, struct context *c);
void context_release(struct context *c);

// session.c. False: no memory.
bool tls_connect(struct engine *e, struct sock *s, struct context *c, struct expected *expected);
size_t tls_read(struct sock *s, uint8_t *to, size_t size);
void tls_send(struct engine *e, struct sock *s, const struct iovec *pieces, int count);
// close_notify.
void tls_end(struct engine *e, struct sock *s);
void tls_free(struct engine *e, struct sock *s);
// Between engines. One that is failing stays where it is.
bool tls_moves(const struct session *t);
// Its handshake is under way.
bool tls_shaking(const struct session *t);
// Takes the session out of its engine.
struct session *tls_leave(struct engine *e, struct sock *s);
// Gives the socket a session that left another engine. False: it can't go on here, and is gone.
bool tls_arrive(struct engine *e, struct sock *s, struct session *t);
// Frees one that has left.
void tls_forget(struct session *t);
// Goes on with the handshake of an upstream.
enum shake { SHAKE_MORE, SHAKE_DONE, SHAKE_FAILED };
enum shake tls_shake(struct sock *s);
// A protocol was chosen (ALPN): one of those that we offered.
bool tls_agreed(const struct sock *s);
static inline bool tls_failed(const struct sock *s) { return s->tls && s->tls->failed; }

// identity.c
bool expected_match(const struct expected *expected, X509 *leaf);
void expected_free(struct expected *expected);
// Keeps a session to begin another connection with; the oldest gives way.
void expected_keep(struct expected *expected, SSL_SESSION *ticket);
// One that is not too old, the caller's from now on; NULL: there is none.
SSL_SESSION *expected_ticket(struct expected *expected);
// { protocol, alpn, serverName, uri, resumed, policy, certificate }
napi_value tls_describe(napi_env env, const struct session *t);

#endif
