/*
 * provider_error.c
 *		The SCIM Error message (RFC 7644 3.12).
 */
#include "postgres.h"

#include "utils/json.h"

#include "provider_internal.h"

void
scim_error_body(const ScimError *err, StringInfo body)
{
	appendStringInfo(body, "{\"schemas\":[\"%s\"],\"status\":\"%d\"", SCIM_URN_ERROR, err->status);
	if (err->scim_type)
		appendStringInfo(body, ",\"scimType\":\"%s\"", err->scim_type);
	appendStringInfoString(body, ",\"detail\":");
	escape_json(body, err->detail);
	appendStringInfoChar(body, '}');
}

/*
 * A reference that does not hold is a bad value, unless it is that of others to
 * what is being deleted.  A value that can't be had is nothing that a client can
 * help who has given none.
 */
void
scim_error_caught(const ScimEndpoint *endpoint, const char *method, bool has_values, const ErrorData *edata, ScimError *err)
{
	if (!has_values && ERRCODE_TO_CATEGORY(edata->sqlerrcode) == ERRCODE_DATA_EXCEPTION)
	{
		memset(err, 0, sizeof(*err));
		err->position = -1;
		scim_fail(err, 500, NULL, "internal error");
		return;
	}
	if (strcmp(method, "DELETE") == 0 &&
		(edata->sqlerrcode == ERRCODE_FOREIGN_KEY_VIOLATION || edata->sqlerrcode == ERRCODE_RESTRICT_VIOLATION))
	{
		memset(err, 0, sizeof(*err));
		err->position = -1;
		scim_fail(err, 409, NULL, "the resource is still referred to, and cannot be deleted");
		return;
	}
	scim_store_error(endpoint, edata, err);
}

/*
 * Turn a response into this error, whatever it was before.
 */
void
scim_error_respond(const ScimError *err, ScimResponse *response)
{
	response->status = err->status;
	response->content_type = SCIM_MEDIA_TYPE;
	response->location = NULL;
	response->etag = NULL;
	response->retry_after = err->status == 503 || err->status == 429 ? 1 : 0;
	resetStringInfo(&response->body);
	scim_error_body(err, &response->body);
}
