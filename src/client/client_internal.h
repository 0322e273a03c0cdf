/*
 * client_internal.h
 *		One transfer, between the files of src/client that see libcurl.
 */
#ifndef SCIM_CLIENT_INTERNAL_H
#define SCIM_CLIENT_INTERNAL_H

#ifdef POSTGRES_H
#error "client_internal.h must not be seen by files that see the server"
#endif

#include <curl/curl.h>

#include "../catalog/catalog_origin.h"
#include "client.h"

#if LIBCURL_VERSION_NUM < 0x075000
#error "scim needs libcurl 7.80 or later"
#endif

/*
 * Everything malloc'ed; belongs to the client's list until the response has
 * been handed out, then to whoever has that.  "response" comes first, so that a
 * response is its transfer.
 */
typedef struct ScimClientTransfer
{
	ScimClientResponse response;
	struct ScimClientTransfer *prev;
	struct ScimClientTransfer *next;
	CURL	   *easy;			/* NULL: finished */
	struct curl_slist *headers;
	char	   *url;
	char	   *content;		/* body of the request, or NULL */
	size_t		content_len;
	char	   *ca_file;		/* or NULL */
	char		method[8];
	int			connect_ms;
	int			total_ms;
	bool		https;
	bool		http2;			/* may be spoken */
	bool		named;			/* the host is in scim.allowed_targets */
	bool		sent;			/* the request may have begun to go out */
	bool		refused;		/* an address was refused; detail says which */
	bool		too_large;
	bool		head_whole;		/* the empty line behind the head has come */
	size_t		max_body;
	size_t		body_room;
	size_t		head_len;
	double		started;		/* ms, monotonic */
	char		error[CURL_ERROR_SIZE];
} ScimClientTransfer;

/*
 * Set every option of a transfer's handle.  False: this libcurl does not know
 * one of them, and then nothing must be sent.
 */
extern bool scim_client_set_options(ScimClientTransfer *transfer);

#endif							/* SCIM_CLIENT_INTERNAL_H */
