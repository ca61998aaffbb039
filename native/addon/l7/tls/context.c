// Certificates, keys, whom to trust, and what may be spoken.
#include "tls.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

#define PLACE_BITS 20
#define PLACES (1u << PLACE_BITS)
#define DEPTH 8
#define MAX_CHAIN 16
#define MAX_TRUSTED 4096
#define TICKET_S (60 * 60)

static const char ciphers_12[] = "ECDHE+AESGCM:ECDHE+CHACHA20";

// A pass phrase is never asked for.
static int no_phrase(char *to, int size, int write, void *hint)
{
	(void)to;
	(void)size;
	(void)write;
	(void)hint;
	return -1;
}

static const char *reason(const char *otherwise)
{
	const char *text = ERR_reason_error_string(ERR_peek_last_error());
	return text ? text : otherwise;
}

static BIO *pem_of(struct bytes bytes)
{
	return bytes.size <= INT32_MAX ? BIO_new_mem_buf(bytes.size ? bytes.data : (const void *)"", (int)bytes.size) :
					  NULL;
}

// True at the end of a bundle, false at something that can't be read.
static bool no_more(void)
{
	unsigned long error = ERR_peek_last_error();
	bool end = ERR_GET_LIB(error) == ERR_LIB_PEM && ERR_GET_REASON(error) == PEM_R_NO_START_LINE;
	if (end)
		ERR_clear_error();
	return end;
}

static int on_ticket(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac,
		     int encrypt)
{
	// The engine that has the session now may be another than the one that made its context.
	const struct session *t = SSL_get_app_data(ssl);
	const uint8_t(*keys)[TICKET_KEY] = t->engine->tls->keys;
	int i = 0;
	if (encrypt) {
		if (RAND_bytes(iv, EVP_MAX_IV_LENGTH) != 1)
			return -1;
		memcpy(name, keys[0], 16);
	} else {
		while (i < 2 && memcmp(name, keys[i], 16) != 0)
			i += 1;
		if (i == 2)
			return 0;
	}
	const uint8_t *key = keys[i];
	OSSL_PARAM params[] = { OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, (void *)(key + 16), 32),
				OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)"SHA256", 0),
				OSSL_PARAM_construct_end() };
	if (!EVP_CipherInit_ex(cipher, EVP_aes_256_cbc(), NULL, key + 48, iv, encrypt) ||
	    !EVP_MAC_CTX_set_params(mac, params))
		return -1;
	// 2: opened, and another is made: one of TLS 1.3 is used once.
	return encrypt || (i == 0 && SSL_version(ssl) < TLS1_3_VERSION) ? 1 : 2;
}

static int on_alpn(SSL *ssl, const unsigned char **out, unsigned char *size, const unsigned char *in, unsigned in_size,
		   void *arg)
{
	(void)arg;
	const struct context *c = ((const struct session *)SSL_get_app_data(ssl))->context;
	unsigned char *chosen = NULL;
	if (SSL_select_next_proto(&chosen, size, c->alpn, c->alpn_size, in, in_size) != OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	*out = chosen;
	return SSL_TLSEXT_ERR_OK;
}

static const char *trust(struct context *c, struct bytes ca)
{
	X509_STORE *store = SSL_CTX_get_cert_store(c->ssl);
	BIO *pem = pem_of(ca);
	X509 *x = NULL;
	int count = 0;
	bool ok = pem != NULL;
	while (ok && count <= MAX_TRUSTED && (x = PEM_read_bio_X509(pem, NULL, no_phrase, NULL))) {
		count += 1;
		ok = X509_STORE_add_cert(store, x) && (!c->server || SSL_CTX_add_client_CA(c->ssl, x));
		X509_free(x);
	}
	BIO_free(pem);
	if (!ok || count == 0 || count > MAX_TRUSTED || !no_more())
		return count > MAX_TRUSTED ? "too many certificates" : reason("no certificate to trust");
	return NULL;
}

static const char *distrust(struct context *c, struct bytes crl)
{
	X509_STORE *store = SSL_CTX_get_cert_store(c->ssl);
	BIO *pem = pem_of(crl);
	X509_CRL *x = NULL;
	int count = 0;
	bool ok = pem != NULL;
	while (ok && count <= MAX_TRUSTED && (x = PEM_read_bio_X509_CRL(pem, NULL, no_phrase, NULL))) {
		count += 1;
		ok = X509_STORE_add_crl(store, x);
		X509_CRL_free(x);
	}
	BIO_free(pem);
	if (!ok || count == 0 || count > MAX_TRUSTED || !no_more())
		return count > MAX_TRUSTED ? "too many revocation lists" : reason("no revocation list");
	return X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL) ? NULL : reason("CRL");
}

static int on_verify(int ok, X509_STORE_CTX *store)
{
	SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
	const struct session *t = ssl ? SSL_get_app_data(ssl) : NULL;
	if (!ok || !t || X509_STORE_CTX_get_error_depth(store) != 0 || !t->expected ||
	    expected_match(t->expected, X509_STORE_CTX_get_current_cert(store)))
		return ok;
	X509_STORE_CTX_set_error(store, X509_V_ERR_HOSTNAME_MISMATCH);
	return 0;
}

// A ticket of an upstream: for the next connection to the same endpoint.
static int on_session(SSL *ssl, SSL_SESSION *ticket)
{
	const struct session *t = SSL_get_app_data(ssl);
	if (!t || !t->expected)
		return 0;
	expected_keep(t->expected, ticket);
	return 1;
}

static bool set_rules(struct context *c, const struct rules *r)
{
	SSL_CTX *ssl = c->ssl;
	int verify = r->verify == 0 ? SSL_VERIFY_NONE :
		     r->verify == 1 ? SSL_VERIFY_PEER :
				      SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
	SSL_CTX_set_mode(ssl, SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_options(ssl, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE |
					 SSL_OP_PRIORITIZE_CHACHA);
	SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_security_level(ssl, 2);
	SSL_CTX_set_verify_depth(ssl, DEPTH);
	SSL_CTX_set_verify(ssl, verify, on_verify);
	SSL_CTX_set_timeout(ssl, TICKET_S);
	if (!SSL_CTX_set_min_proto_version(ssl, r->only_13 ? TLS1_3_VERSION : TLS1_2_VERSION) ||
	    !SSL_CTX_set_cipher_list(ssl, ciphers_12) || !SSL_CTX_set_max_early_data(ssl, 0))
		return false;
	memcpy(c->alpn, r->alpn.data, r->alpn.size);
	c->alpn_size = (uint8_t)r->alpn.size;
	memcpy(c->policy.bytes, r->policy.data, r->policy.size);
	c->policy.size = (uint8_t)r->policy.size;
	if (!c->server) {
		SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
		SSL_CTX_sess_set_new_cb(ssl, on_session);
		return c->alpn_size == 0 || SSL_CTX_set_alpn_protos(ssl, c->alpn, c->alpn_size) == 0;
	}
	if (c->alpn_size > 0)
		SSL_CTX_set_alpn_select_cb(ssl, on_alpn, NULL);
	return SSL_CTX_set_num_tickets(ssl, 1) && SSL_CTX_set_recv_max_early_data(ssl, 0) &&
	       SSL_CTX_set_session_id_context(ssl, r->policy.data, (unsigned)r->policy.size) &&
	       SSL_CTX_set_tlsext_ticket_key_evp_cb(ssl, on_ticket);
}

struct context *context_open(struct engine *e, const struct rules *rules, const char **why)
{
	struct tls *tls = tls_of(e);
	uint32_t place = 0;
	*why = "no memory";
	while (tls && place < tls->contexts.size && tls->contexts.entries[place])
		place += 1;
	if (!tls || place >= PLACES || !table_reach(&tls->contexts, place))
		return NULL;
	struct context *c = calloc(1, sizeof(*c));
	if (!c)
		return NULL;
	ERR_clear_error();
	c->tls = tls;
	c->holders = 1;
	c->server = rules->server;
	c->ssl = SSL_CTX_new(rules->server ? TLS_server_method() : TLS_client_method());
	const char *bad = c->ssl && set_rules(c, rules) ? NULL : reason("no memory");
	if (!bad && rules->ca.size > 0)
		bad = trust(c, rules->ca);
	if (!bad && rules->crl.size > 0)
		bad = distrust(c, rules->crl);
	ERR_clear_error();
	if (bad) {
		*why = bad;
		context_release(c);
		return NULL;
	}
	tls->context_count += 1;
	// Never 0, and at most 31 bits: it travels in a word with a sign.
	c->id = place | (tls->context_count % 0x7ff + 1) << PLACE_BITS;
	tls->contexts.entries[place] = c;
	return c;
}

static const char *use_chain(struct context *c, BIO *pem)
{
	X509 *x = PEM_read_bio_X509_AUX(pem, NULL, no_phrase, NULL);
	bool ok = x && SSL_CTX_use_certificate(c->ssl, x);
	X509_free(x);
	for (int i = 0; ok && (x = PEM_read_bio_X509(pem, NULL, no_phrase, NULL)); i++) {
		ok = i < MAX_CHAIN && SSL_CTX_add0_chain_cert(c->ssl, x);
		if (!ok)
			X509_free(x);
	}
	return ok && no_more() ? NULL : reason("no certificate");
}

const char *context_certify(struct context *c, struct bytes chain, struct bytes key)
{
	ERR_clear_error();
	BIO *pem = pem_of(chain), *secret = pem_of(key);
	const char *bad = pem && secret ? use_chain(c, pem) : "no memory";
	EVP_PKEY *k = bad ? NULL : PEM_read_bio_PrivateKey(secret, NULL, no_phrase, NULL);
	if (!bad && (!k || !SSL_CTX_use_PrivateKey(c->ssl, k) || !SSL_CTX_check_private_key(c->ssl)))
		bad = reason("no private key");
	EVP_PKEY_free(k);
	BIO_free(pem);
	BIO_free(secret);
	ERR_clear_error();
	return bad;
}

struct context *context_find(const struct engine *e, uint32_t id)
{
	uint32_t place = id & (PLACES - 1);
	struct context *c = e->tls && place < e->tls->contexts.size ? e->tls->contexts.entries[place] : NULL;
	return c && c->id == id ? c : NULL;
}

struct context *context_like(const struct engine *e, const struct policy *policy)
{
	for (uint32_t i = 0; e->tls && i < e->tls->contexts.size; i++) {
		struct context *c = e->tls->contexts.entries[i];
		if (c && c->server && c->policy.size == policy->size &&
		    memcmp(c->policy.bytes, policy->bytes, policy->size) == 0)
			return c;
	}
	return NULL;
}

void context_drop(struct engine *e, struct context *c)
{
	e->tls->contexts.entries[c->id & (PLACES - 1)] = NULL;
	context_release(c);
}

void context_release(struct context *c)
{
	if (--c->holders > 0)
		return;
	SSL_CTX_free(c->ssl);
	free(c);
}
