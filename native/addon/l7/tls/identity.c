// Names in certificates, and what is known of a connection's TLS.
#include "tls.h"

#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

#define URI_MAX 2048

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

void expected_free(struct expected *expected)
{
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

napi_value tls_describe(napi_env env, const struct session *t)
{
	napi_value object = NULL, resumed = NULL;
	const unsigned char *alpn = NULL;
	unsigned size = 0;
	char text[256] = "", uri[URI_MAX];
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
	set_u32(env, object, "context", t->context->id);
	return object;
}
