/* SPDX-License-Identifier: MIT */
/* Clients' certificates, of which libmicrohttpd (0.9.75, 1.0.1) does little itself: with
 * MHD_OPTION_HTTPS_MEM_TRUST it asks for one and takes a connection without one, or with one
 * that nobody signed; without that option it asks for none.
 *
 * So the server gives client_ca_pem (if there is one) as MHD_OPTION_HTTPS_MEM_TRUST, calls
 * tls_begin() from its MHD_OPTION_NOTIFY_CONNECTION callback at MHD_CONNECTION_NOTIFY_STARTED
 * (the session is there, the handshake is not), and tls_check_client() before it answers a
 * request: the answer is the same for all requests of a connection, and verifying costs some
 * hundred microseconds, so it is to be kept in the connection's socket context. The session
 * is MHD_get_connection_info(connection, MHD_CONNECTION_INFO_GNUTLS_SESSION)->tls_session. */
#ifndef TLS_H
#define TLS_H

#include "web_config.h"

#include <gnutls/gnutls.h>

/* Asks the client for a certificate as client_auth says. One that has none where it must
 * have one fails in the handshake. */
void tls_begin(gnutls_session_t session, const struct web_config *config);

/* May this client be served? After the handshake. 0; -EACCES, with a sentence for the client
 * or the log (error may be NULL). */
int tls_check_client(gnutls_session_t session, const struct web_config *config,
                     struct tally_error *error);

#endif
