/*
 * provider_crud.c
 *		Create, read, replace, change, delete one resource (RFC 7644 3.3 to 3.6).
 *
 * A write locks the resource, compares it with what is wanted, stores the
 * difference, and answers with what is stored then (R-7644-3.1-04): never with
 * an echo of the request.
 */
#include "postgres.h"

#include "provider_internal.h"

/* The request's body as a JSON tree; NULL and err. */
json_t *
scim_crud_body(ScimCall *call)
{
	if (call->request->body == NULL || call->request->body_len == 0)
	{
		scim_fail(&call->err, 400, SCIM_INVALID_SYNTAX, "the request has no body");
		return NULL;
	}
	return scim_json_parse(call->request->body, call->request->body_len, &call->err);
}

static ScimSelection *
selection(ScimCall *call, const ScimEndpointType *target)
{
	return scim_selection_parse(target->type, call->params.attributes, call->params.excluded, &call->err);
}

static ScimSelection *
everything(ScimCall *call, const ScimEndpointType *target)
{
	return scim_selection_make(target->type, NULL, 0, NULL, 0, &call->err);
}

static bool
not_found(ScimCall *call, const ScimEndpointType *target)
{
	return scim_fail(&call->err, 404, NULL, "there is no %s with this id", target->type->name);
}

/* Answer with the resource as it is stored. */
static bool
respond_with(ScimCall *call, const ScimEndpointType *target, const char *id, const ScimSelection *select, int status)
{
	ScimResponse *response = call->response;
	ScimHead	head;

	if (!scim_store_get(target, id, select, SCIM_NO_LOCK, &response->body, &head))
		return not_found(call, target);
	response->status = status;
	response->content_type = SCIM_MEDIA_TYPE;
	response->etag = head.version;
	response->location = head.location;
	return true;
}

void
scim_crud_create(ScimCall *call, const ScimEndpointType *target)
{
	ScimSelection *select = selection(call, target);
	json_t	   *body;
	json_t	   *wanted;
	char	   *id;

	if (select == NULL || (body = scim_crud_body(call)) == NULL)
		return;
	wanted = scim_resource_wanted(target->type, body, NULL, call->endpoint->mode,
								  call->endpoint->refuse_unknown, NULL, &call->err);
	if (wanted == NULL)
		return;
	id = scim_store_insert(target, wanted, &call->err);
	if (id != NULL)
		respond_with(call, target, id, select, 201);
}

void
scim_crud_read(ScimCall *call, const ScimEndpointType *target, const char *id)
{
	ScimSelection *select = selection(call, target);
	ScimResponse *response = call->response;
	ScimHead	head;

	if (select == NULL)
		return;
	if (call->request->if_none_match)
	{
		if (!scim_store_get(target, id, select, SCIM_NO_LOCK, NULL, &head))
		{
			not_found(call, target);
			return;
		}
		if (scim_etag_not_modified(call, head.version))
		{
			response->status = 304;
			response->etag = head.version;
			return;
		}
	}
	respond_with(call, target, id, select, 200);
}

/*
 * Lock a resource and read it as a tree; NULL and err: it is not there, or a
 * precondition fails.  "without" (may be NULL) is left out.
 */
static json_t *
lock_resource(ScimCall *call, const ScimEndpointType *target, const char *id, const ScimAttr *without)
{
	ScimSelection *all = everything(call, target);
	StringInfoData text;
	ScimHead	head;

	if (all == NULL)
		return NULL;
	/* User `groups` are of no use to a write, and cost a query */
	for (int i = 0; i < target->type->ntop; i++)
	{
		const ScimAttr *attr = target->type->top[i];

		if (attr == without || (attr->multi && attr->mutability == SCIM_READ_ONLY))
			all->has[attr->ord] = false;
	}
	initStringInfo(&text);
	if (!scim_store_get(target, id, all, SCIM_FOR_UPDATE, &text, &head))
	{
		not_found(call, target);
		return NULL;
	}
	if (!scim_etag_write_allowed(call, head.version))
		return NULL;
	return scim_json_parse(text.data, text.len, &call->err);
}

void
scim_crud_replace(ScimCall *call, const ScimEndpointType *target, const char *id)
{
	ScimSelection *select = selection(call, target);
	json_t	   *body;
	json_t	   *before;
	json_t	   *after;
	bool		changed;

	if (select == NULL || (before = lock_resource(call, target, id, NULL)) == NULL ||
		(body = scim_crud_body(call)) == NULL)
		return;
	after = scim_resource_wanted(target->type, body, before, call->endpoint->mode,
								 call->endpoint->refuse_unknown, NULL, &call->err);
	if (after == NULL)
		return;
	if (scim_store_update(target, id, before, after, NULL, NULL, &changed, &call->err))
		respond_with(call, target, id, select, 200);
}

static bool
prefers_minimal(const ScimCall *call)
{
	return call->request->prefer && strstr(call->request->prefer, "return=minimal") != NULL;
}

/*
 * The operations of a PATCH; those on members that can be done as a set are
 * taken out into "delta".  NULL and err: the body is wrong.
 */
static ScimPatch *
read_patch(ScimCall *call, const ScimEndpointType *target, ScimAttr *delta_attr, ScimDelta *delta, bool *by_delta)
{
	ScimMode	mode = call->endpoint->mode;
	json_t	   *body = scim_crud_body(call);
	ScimPatch  *patch = body ? scim_patch_parse(target->type, body, mode, NULL, &call->err) : NULL;

	*by_delta = delta_attr != NULL;
	if (patch && delta_attr && scim_patch_touches(patch, delta_attr))
		*by_delta = scim_patch_take_delta(target->type, patch, delta_attr, mode, delta, NULL, &call->err);
	return call->err.status ? NULL : patch;
}

/*
 * Members of a group are changed as a set, without reading them, where the
 * operations allow it; then the answer is 204, because reading a million
 * members back is what the client did not ask for (Entra expects 204 for
 * groups, Okta takes both).
 */
void
scim_crud_patch(ScimCall *call, const ScimEndpointType *target, const char *id)
{
	ScimSelection *select = selection(call, target);
	ScimAttr   *delta_attr = scim_store_delta_attr(target);
	ScimHead	head;
	json_t	   *before;
	json_t	   *after;
	ScimPatch  *patch;
	ScimDelta	delta;
	ScimError	body_error;
	bool		by_delta;
	bool		changed;

	if (select == NULL)
		return;
	memset(&delta, 0, sizeof(delta));
	patch = read_patch(call, target, delta_attr, &delta, &by_delta);

	/* an unknown resource is 404, however wrong the body (R-7644-3.5.2-22) */
	body_error = call->err;
	memset(&call->err, 0, sizeof(call->err));
	before = lock_resource(call, target, id, by_delta ? delta_attr : NULL);
	if (before == NULL)
		return;
	if (patch == NULL)
	{
		call->err = body_error;
		return;
	}

	after = scim_patch_apply(target->type, patch, before, call->endpoint->mode, &changed, NULL, &call->err);
	if (after == NULL ||
		!scim_store_update(target, id, before, after, by_delta ? delta_attr : NULL,
						   delta.any ? &delta : NULL, &changed, &call->err))
		return;
	if (!select->is_default || (!by_delta && !prefers_minimal(call)))
		respond_with(call, target, id, select, 200);
	else if (scim_store_get(target, id, select, SCIM_NO_LOCK, NULL, &head))
	{
		call->response->status = 204;
		call->response->etag = head.version;
		call->response->location = head.location;
	}
}

void
scim_crud_delete(ScimCall *call, const ScimEndpointType *target, const char *id)
{
	ScimHead	head;

	if (!scim_store_get(target, id, NULL, SCIM_FOR_UPDATE, NULL, &head))
	{
		not_found(call, target);
		return;
	}
	if (!scim_etag_write_allowed(call, head.version))
		return;
	if (!scim_store_delete(target, id))
		not_found(call, target);
	else
		call->response->status = 204;
}
