// Names in certificates, and what is known of a connection's TLS.
#include "tls.h"

#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define URI_MAX 2048
// Who the server is was verified that long ago at most.
#define TICKET_MAX_S (60 * 60)

// Calls of each URI of a certificate: `into` gets the last, the result is how many there are.
static int uris_of(X509 *x, const char *wanted, bool *found, char *into)
{
	GENERAL_NAMES *names = X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);
	int count = 0;
	for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
		const GENERAL_NAME *g = sk_GENERAL_NAME_value(names, i);
		if (g->type != GEN_URI)
			continue;
		size_t size = (size_t)ASN1_STRING_length(g->d.uniformResourceIdentifier);
		const char *text = (const char *)ASN1_STRING_get0_data(g->d.uniformResourceIdentifier);
		count += 1;
		if (wanted && strlen(wanted) == size && memcmp(wanted, text, size) == 0)
			*found = true;
		if (!into)
			continue;
		if (size >= URI_MAX || memchr(text, 0, size))
			count = URI_MAX;
		else {
			memcpy(into, text, size);
			into[size] = 0;
		}
	}
	GENERAL_NAMES_free(names);
	return count;
}

static bool has_name(X509 *leaf, const char *name)
{
	bool found = false;
	if (strstr(name, "://")) {
		uris_of(leaf, name, &found, NULL);
		return found;
	}
	unsigned flags = X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT;
	return X509_check_ip_asc(leaf, name, 0) == 1 || X509_check_host(leaf, name, 0, flags, NULL) == 1;
}

bool expected_match(const struct expected *expected, X509 *leaf)
{
	bool found = expected->count == 0;
	for (uint32_t i = 0; i < expected->count && !found; i++)
		found = leaf && has_name(leaf, expected->names[i]);
	return found;
}

void expected_keep(struct expected *expected, SSL_SESSION *ticket)
{
	if (expected->ticket_count == TICKETS) {
		SSL_SESSION_free(expected->tickets[0]);
		memmove(expected->tickets, expected->tickets + 1, (TICKETS - 1) * sizeof(*expected->tickets));
		expected->ticket_count -= 1;
	}
	expected->tickets[expected->ticket_count++] = ticket;
}

SSL_SESSION *expected_ticket(struct expected *expected)
{
	while (expected->ticket_count > 0) {
		SSL_SESSION *ticket = expected->tickets[--expected->ticket_count];
		if (time(NULL) - SSL_SESSION_get_time_ex(ticket) < TICKET_MAX_S && SSL_SESSION_is_resumable(ticket)) {
			// RFC 8446 C.4: a ticket of 1.3 is used once, so that nobody sees which connections belong together.
			if (SSL_SESSION_get_protocol_version(ticket) < TLS1_3_VERSION && SSL_SESSION_up_ref(ticket))
				expected_keep(expected, ticket);
			return ticket;
		}
		SSL_SESSION_free(ticket);
	}
	return NULL;
}

void expected_free(struct expected *expected)
{
	while (expected->ticket_count > 0)
		SSL_SESSION_free(expected->tickets[--expected->ticket_count]);
	for (uint32_t i = 0; i < expected->count; i++)
		free(expected->names[i]);
	free(expected->names);
	free(expected->server_name);
	*expected = (struct expected){ 0 };
}

// The identity of X.509-SVIDs: the only URI of a certificate that was verified.
static bool identity(SSL *ssl, char *uri)
{
	X509 *leaf = SSL_get0_peer_certificate(ssl);
	return leaf && SSL_get_verify_result(ssl) == X509_V_OK && uris_of(leaf, NULL, NULL, uri) == 1;
}

// The alternative names of that kind.
static napi_value names_of(napi_env env, X509 *x, int type)
{
	napi_value list = NULL, text = NULL;
	uint32_t count = 0;
	GENERAL_NAMES *names = x ? X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL) : NULL;
	napi_create_array(env, &list);
	for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
		const GENERAL_NAME *g = sk_GENERAL_NAME_value(names, i);
		if (g->type != type)
			continue;
		napi_create_string_latin1(env, (const char *)ASN1_STRING_get0_data(g->d.ia5),
					  (size_t)ASN1_STRING_length(g->d.ia5), &text);
		napi_set_element(env, list, count++, text);
	}
	GENERAL_NAMES_free(names);
	return list;
}

static void set_subject(napi_env env, napi_value object, X509 *leaf)
{
	BIO *b = BIO_new(BIO_s_mem());
	char *text = NULL;
	napi_value subject = NULL;
	if (b)
		X509_NAME_print_ex(b, X509_get_subject_name(leaf), 0, XN_FLAG_RFC2253);
	long size = b ? BIO_get_mem_data(b, &text) : 0;
	napi_create_string_latin1(env, text ? text : "", size > 0 ? (size_t)size : 0, &subject);
	set_value(env, object, "subject", subject);
	BIO_free(b);
}

// { hash, subject, uri, dns, by } of a client's certificate that was verified; undefined where there is none.
static napi_value certificate(napi_env env, SSL *ssl)
{
	X509 *leaf = SSL_get0_peer_certificate(ssl);
	uint8_t digest[EVP_MAX_MD_SIZE];
	unsigned size = 0;
	char hash[2 * EVP_MAX_MD_SIZE + 1] = "";
	napi_value object = NULL;
	if (!leaf || SSL_get_verify_result(ssl) != X509_V_OK || !X509_digest(leaf, EVP_sha256(), digest, &size))
		return undefined_value(env);
	for (unsigned i = 0; i < size; i++)
		snprintf(hash + 2 * i, 3, "%02x", digest[i]);
	napi_create_object(env, &object);
	set_string(env, object, "hash", hash);
	set_subject(env, object, leaf);
	set_value(env, object, "uri", names_of(env, leaf, GEN_URI));
	set_value(env, object, "dns", names_of(env, leaf, GEN_DNS));
	set_value(env, object, "by", names_of(env, SSL_get_certificate(ssl), GEN_URI));
	return object;
}

napi_value tls_describe(napi_env env, const struct session *t)
{
	napi_value object = NULL, resumed = NULL;
	const unsigned char *alpn = NULL;
	unsigned size = 0;
	char text[256] = "", uri[URI_MAX], policy[2 * MAX_POLICY + 1] = "";
	const char *name = SSL_get_servername(t->ssl, TLSEXT_NAMETYPE_host_name);
	SSL_get0_alpn_selected(t->ssl, &alpn, &size);
	if (size > 0)
		memcpy(text, alpn, size);
	text[size] = 0;
	napi_create_object(env, &object);
	set_string(env, object, "protocol", SSL_get_version(t->ssl));
	set_string(env, object, "alpn", text);
	set_string(env, object, "serverName", name ? name : "");
	set_string(env, object, "uri", t->up && identity(t->ssl, uri) ? uri : "");
	napi_get_boolean(env, SSL_session_reused(t->ssl), &resumed);
	set_value(env, object, "resumed", resumed);
	for (unsigned i = 0; i < t->policy.size; i++)
		snprintf(policy + 2 * i, 3, "%02x", t->policy.bytes[i]);
	set_string(env, object, "policy", policy);
	if (t->up)
		set_value(env, object, "certificate", certificate(env, t->ssl));
	return object;
}
