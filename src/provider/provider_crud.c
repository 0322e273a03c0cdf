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

/* Of a PATCH that does not have to see all of the resource. */
#define MAX_PARTIAL_BODY (64 * 1024)

/* The request's body as a JSON tree; NULL and err. */
json_t *
scim_crud_body(ScimCall *call)
{
	if (call->body)
		return call->body;
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

	if (!scim_store_get(target, id, select, SCIM_NO_LOCK, call->head_only ? NULL : &response->body, &head))
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
	call->new_id = id;
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
 * Lock a resource; false and err: it is not there, or a precondition fails.
 * The text of what "select" names is appended to "out" (both may be NULL).
 */
static bool
lock_resource(ScimCall *call, const ScimEndpointType *target, const char *id,
			  const ScimSelection *select, StringInfo out)
{
	ScimHead	head;

	if (!scim_store_get(target, id, select, SCIM_FOR_UPDATE, out, &head))
		return not_found(call, target);
	return scim_etag_write_allowed(call, head.version);
}

/*
 * What a write has to know of the stored resource: everything, also what is
 * never or only on request returned, but "without" (may be NULL).
 */
static ScimSelection *
selection_to_write(ScimCall *call, const ScimEndpointType *target, const ScimAttr *without)
{
	ScimSelection *all = scim_selection_all(target->type, &call->err);

	/* User `groups` are of no use to a write, and cost a query */
	for (int i = 0; all && i < target->type->ntop; i++)
	{
		const ScimAttr *attr = target->type->top[i];

		if (attr == without || (attr->multi && attr->mutability == SCIM_READ_ONLY))
			all->has[attr->ord] = false;
	}
	return all;
}

/* Lock a resource and read it as a tree. */
static json_t *
lock_and_read(ScimCall *call, const ScimEndpointType *target, const char *id, const ScimSelection *known)
{
	StringInfoData text;
	ScimError	too_large;
	json_t	   *tree;

	initStringInfo(&text);
	if (!lock_resource(call, target, id, known, &text))
		return NULL;

	/* the limits are those of a body, and what is stored is none */
	memset(&too_large, 0, sizeof(too_large));
	tree = scim_json_parse(text.data, text.len, &too_large);
	if (tree == NULL)
		scim_fail(&call->err, 413, NULL, "the stored %s is too large to be changed in this way", target->type->name);
	return tree;
}

/*
 * Members are replaced as a set, too: those stored are not read, so that a
 * group that has become too large for a body can still be replaced.
 */
void
scim_crud_replace(ScimCall *call, const ScimEndpointType *target, const char *id)
{
	ScimSelection *select = selection(call, target);
	ScimAttr   *delta_attr = scim_store_delta_attr(target);
	ScimSelection *known;
	ScimDelta	delta;
	json_t	   *body;
	json_t	   *before;
	json_t	   *after;
	bool		changed;

	/* what is immutable has to be compared */
	if (delta_attr && delta_attr->mutability != SCIM_READ_WRITE)
		delta_attr = NULL;
	if (select == NULL || (known = selection_to_write(call, target, delta_attr)) == NULL ||
		(before = lock_and_read(call, target, id, known)) == NULL ||
		(body = scim_crud_body(call)) == NULL)
		return;
	after = scim_resource_wanted(target->type, body, before, call->endpoint->mode,
								 call->endpoint->refuse_unknown, NULL, &call->err);
	if (after == NULL)
		return;
	memset(&delta, 0, sizeof(delta));
	if (delta_attr)
	{
		delta.any = true;
		delta.clear = true;
		delta.add = json_object_get(scim_resource_part(target->type, after, delta_attr->ext), delta_attr->name);
	}
	if (scim_store_update(target, id, known, before, after, delta_attr, delta_attr ? &delta : NULL, &changed, &call->err))
		respond_with(call, target, id, select, 200);
}

/* Prefer: return=minimal (RFC 7240 4.2), among other preferences. */
static bool
prefers_minimal(const ScimCall *call)
{
	static const char minimal[] = "return=minimal";
	const char *p = call->request->prefer;

	while (p && *p)
	{
		p += strspn(p, ", \t");
		if (pg_strncasecmp(p, minimal, sizeof(minimal) - 1) == 0 &&
			strchr(",; \t", p[sizeof(minimal) - 1]) != NULL)
			return true;
		p += strcspn(p, ",");
	}
	return false;
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
 * What the operations do not touch need not be read: it is the same before and
 * after.  What is required is looked at in any case.  A large body sees the
 * whole resource, whose size is bounded as a whole (scim_patch_apply); what
 * small ones make of it, an attribute each, is bounded by their number.
 */
static void
leave_out_untouched(const ScimCall *call, const ScimResourceType *type, const ScimPatch *patch, ScimSelection *known)
{
	if (call->request->body_len > MAX_PARTIAL_BODY)
		return;
	for (int i = 0; i < type->ntop; i++)
		if (!type->top[i]->required && !scim_patch_touches(patch, type->top[i]))
			known->has[type->top[i]->ord] = false;
}

/*
 * Members of a group are changed as a set, without reading them, where the
 * operations allow it; then the answer is 204 (RFC 7644 3.5.2 leaves the choice,
 * unless the client asks for attributes), because reading a million members
 * back is what it did not ask for.  Entra expects 204 for groups, Okta takes
 * both.
 */
void
scim_crud_patch(ScimCall *call, const ScimEndpointType *target, const char *id)
{
	ScimSelection *select = selection(call, target);
	ScimAttr   *delta_attr = scim_store_delta_attr(target);
	ScimSelection *known;
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
	if (patch == NULL)
	{
		if (lock_resource(call, target, id, NULL, NULL))
			call->err = body_error;
		return;
	}
	known = selection_to_write(call, target, by_delta ? delta_attr : NULL);
	if (known == NULL)
		return;
	leave_out_untouched(call, target->type, patch, known);
	before = lock_and_read(call, target, id, known);
	if (before == NULL)
		return;

	after = scim_patch_apply(target->type, patch, before, call->endpoint->mode, &changed, NULL, &call->err);
	if (after == NULL ||
		!scim_store_update(target, id, known, before, after, by_delta ? delta_attr : NULL,
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
	else
		not_found(call, target);
}

void
scim_crud_delete(ScimCall *call, const ScimEndpointType *target, const char *id)
{
	if (!lock_resource(call, target, id, NULL, NULL))
		return;
	if (!scim_store_delete(target, id))
		not_found(call, target);
	else
		call->response->status = 204;
}
