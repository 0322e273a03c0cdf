/*
 * load_tls.c
 *		TLS of a connection: GnuTLS, which comes with libmicrohttpd's headers.
 *
 * The server's certificate is verified, also against its name.  Functions that
 * move bytes return how many, or -1: later (if "wrong" is NULL) or never.
 */
#include <arpa/inet.h>
#include <string.h>
#include <gnutls/gnutls.h>

#include "load.h"

static gnutls_certificate_credentials_t credentials;

static void
read_trust(void)
{
	int			rc;

	if (load_run.ca_file == NULL)
		load_fatal("https needs --ca-file, which says whom to trust");
	if (gnutls_certificate_allocate_credentials(&credentials) != 0)
		load_fatal("out of memory");
	rc = gnutls_certificate_set_x509_trust_file(credentials, load_run.ca_file, GNUTLS_X509_FMT_PEM);
	if (rc <= 0)
		load_fatal("%s: %s", load_run.ca_file, rc < 0 ? gnutls_strerror(rc) : "there is no certificate in it");
}

/*
 * Prepare TLS on a socket that is being opened.
 */
void
load_tls_open(LoadConnection *c)
{
	gnutls_session_t session;
	unsigned char address[sizeof(struct in6_addr)];
	const char *name = c->target->name;

	if (credentials == NULL)
		read_trust();
	if (gnutls_init(&session, GNUTLS_CLIENT | GNUTLS_NONBLOCK) != 0 ||
		gnutls_set_default_priority(session) != 0 ||
		gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, credentials) != 0)
		load_fatal("TLS cannot be prepared");
	gnutls_session_set_verify_cert(session, name, 0);
	/* server names are for names, not for addresses (RFC 6066 section 3) */
	if (inet_pton(AF_INET, name, address) != 1 && inet_pton(AF_INET6, name, address) != 1)
		gnutls_server_name_set(session, GNUTLS_NAME_DNS, name, strlen(name));
	gnutls_transport_set_int(session, c->fd);
	c->tls = session;
	c->handshaken = false;
}

void
load_tls_close(LoadConnection *c)
{
	if (c->tls != NULL)
		gnutls_deinit(c->tls);
	c->tls = NULL;
}

static ssize_t
result(ssize_t rc, const char **wrong)
{
	*wrong = NULL;
	if (rc >= 0)
		return rc;
	if (rc != GNUTLS_E_AGAIN && rc != GNUTLS_E_INTERRUPTED)
		*wrong = gnutls_strerror(rc);
	return -1;
}

/*
 * Go on with the handshake: 0, it is done; -1, later or never; 1, later, when
 * the socket can be written.
 */
int
load_tls_handshake(LoadConnection *c, const char **wrong)
{
	int			rc = result(gnutls_handshake(c->tls), wrong);

	if (rc == 0)
		c->handshaken = true;
	else if (*wrong == NULL && gnutls_record_get_direction(c->tls) == 1)
		return 1;
	return rc;
}

ssize_t
load_tls_send(LoadConnection *c, const char *data, size_t len, const char **wrong)
{
	return result(gnutls_record_send(c->tls, data, len), wrong);
}

/* 0: the server has closed the connection, with or without saying so. */
ssize_t
load_tls_receive(LoadConnection *c, char *data, size_t size, const char **wrong)
{
	ssize_t		n = gnutls_record_recv(c->tls, data, size);

	return result(n == GNUTLS_E_PREMATURE_TERMINATION ? 0 : n, wrong);
}
