/*
 * provider_crud.c
 *		Create, read, replace, change, delete one resource (RFC 7644 3.3 to 3.6).
 *
 * A write locks the resource, compares it with what is wanted, stores the
 * difference, and answers with what is stored then (R-7644-3.1-04): never with
 * an echo of the request.
 */
#include "postgres.h"

#include "utils/json.h"

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

/* What this request is about. */
static void
note_subject(ScimCall *call, const ScimEndpointType *target, const char *id)
{
	call->subject.type = target->type->name;
	call->subject.id = id;
}

static bool
not_found(ScimCall *call, const ScimEndpointType *target)
{
	return scim_fail(&call->err, 404, NULL, "there is no %s with this id", target->type->name);
}

static void
respond(ScimCall *call, const ScimHead *head, int status)
{
	call->response->status = status;
	call->response->content_type = SCIM_MEDIA_TYPE;
	call->response->etag = head->version;
	call->response->location = head->location;
}

/* Answer with the resource as it is stored. */
static bool
respond_with(ScimCall *call, const ScimEndpointType *target, const char *id, const ScimSelection *select, int status)
{
	ScimResponse *response = call->response;
	ScimHead	head;

	if (!scim_store_get(target, id, select, SCIM_NO_LOCK, call->head_only ? NULL : &response->body, &head))
		return not_found(call, target);
	respond(call, &head, status);
	return true;
}

void
scim_crud_read(ScimCall *call, const ScimEndpointType *target, const char *id)
{
	ScimSelection *select = selection(call, target);
	ScimResponse *response = call->response;
	ScimHead	head;
	bool		not_modified;

	if (select == NULL)
		return;
	if (call->request->if_match || call->request->if_none_match)
	{
		if (!scim_store_get(target, id, select, SCIM_NO_LOCK, NULL, &head))
		{
			not_found(call, target);
			return;
		}
		if (!scim_etag_read_allowed(call, head.version, &not_modified))
			return;
		if (not_modified)
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
	/* a POST is about no version: there was none */
	return strcmp(call->request->method, "POST") == 0 || scim_etag_write_allowed(call, head.version);
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
	tree = scim_json_parse_stored(text.data, text.len, &too_large);
	if (tree == NULL)
		scim_fail(&call->err, 413, NULL, "the stored %s is too large to be changed in this way", target->type->name);
	return tree;
}

/*
 * Operations that remove what an object (of an extension: with its URN before
 * it) says null or [] of.
 */
static void
append_removals(ScimCall *call, const ScimResourceType *type, const json_t *object, const char *urn, StringInfo out)
{
	const char *key;
	json_t	   *value;

	json_object_foreach((json_t *) object, key, value)
	{
		const char *name = urn ? psprintf("%s:%s", urn, key) : key;
		ScimPath	path;

		if (urn == NULL && strchr(key, ':') && json_is_object(value))
			append_removals(call, type, value, key, out);
		else if ((json_is_null(value) || (json_is_array(value) && json_array_size(value) == 0)) &&
				 scim_path_resolve(type, name, strlen(name), call->endpoint->mode, &path) == strlen(name) &&
				 path.attr != NULL && path.attr->mutability != SCIM_READ_ONLY && path.attr != type->a_schemas)
		{
			appendStringInfo(out, "%s{\"op\":\"remove\",\"path\":", out->data[out->len - 1] == '}' ? "," : "");
			escape_json(out, name);
			appendStringInfoChar(out, '}');
		}
	}
}

/*
 * null and [] unassign, also what the columns have defaults for (RFC 7643 2.5):
 * where a new resource got a value all the same, it is taken away.  *cleared:
 * something may have been.
 */
static bool
clear_defaults(ScimCall *call, const ScimEndpointType *target, const char *id, const json_t *body, bool *cleared)
{
	ScimMode	mode = call->endpoint->mode;
	StringInfoData text;
	ScimSelection *known;
	json_t	   *tree;
	json_t	   *before;
	json_t	   *after;
	ScimPatch  *patch;
	bool		changed;

	initStringInfo(&text);
	appendStringInfo(&text, "{\"schemas\":[\"%s\"],\"Operations\":[", SCIM_URN_PATCH_OP);
	append_removals(call, target->type, body, NULL, &text);
	*cleared = text.data[text.len - 1] == '}';
	if (!*cleared)
		return true;
	appendStringInfoString(&text, "]}");
	tree = scim_json_parse(text.data, text.len, &call->err);
	known = tree ? selection_to_write(call, target, NULL) : NULL;
	before = known ? lock_and_read(call, target, id, known) : NULL;
	patch = before ? scim_patch_parse(target->type, tree, mode, NULL, &call->err) : NULL;
	after = patch ? scim_patch_apply(target->type, patch, before, mode, &changed, NULL, &call->err) : NULL;
	return after && scim_store_update(target, id, known, before, after, NULL, NULL, &changed, &call->err);
}

/*
 * Which attributes have changed.  Members that were written as a set are not in
 * the two states: if nothing else differs, it was them.
 */
static void
note_changes(ScimCall *call, const json_t *before, const json_t *after, const ScimAttr *delta_attr)
{
	List	   *names = scim_audit_differences(before, after);

	if (delta_attr)
	{
		ListCell   *lc;
		List	   *others = NIL;

		foreach(lc, names)
			if (strcmp((const char *) lfirst(lc), delta_attr->name) != 0)
				others = lappend(others, lfirst(lc));
		names = others ? others : list_make1(pstrdup(delta_attr->name));
	}
	call->subject.attributes = names;
}

/*
 * Members are replaced as a set, too: those stored are not read, so that a
 * group that has become too large for a body can still be replaced.
 */
static ScimAttr *
replaced_as_set(const ScimEndpointType *target)
{
	ScimAttr   *attr = scim_store_delta_attr(target);

	/* what is immutable has to be compared */
	return attr && attr->mutability == SCIM_READ_WRITE ? attr : NULL;
}

/* Store what a body says of a resource that is locked, instead of what it was. */
static bool
store_replacement(ScimCall *call, const ScimEndpointType *target, const char *id, const ScimSelection *known,
				  const json_t *before, json_t *body, ScimAttr *delta_attr)
{
	json_t	   *after = scim_resource_wanted(target->type, body, before, call->endpoint->mode,
											 call->endpoint->options.refuse_unknown, &call->report, &call->err);
	ScimDelta	delta;
	bool		changed;

	if (after == NULL || !scim_password_seal(call, target, before, after))
		return false;
	memset(&delta, 0, sizeof(delta));
	if (delta_attr)
	{
		delta.any = true;
		delta.clear = true;
		delta.add = json_object_get(scim_resource_part(target->type, after, delta_attr->ext), delta_attr->name);
	}
	if (!scim_store_update(target, id, known, before, after, delta_attr, delta_attr ? &delta : NULL, &changed, &call->err))
		return false;
	if (changed)
		note_changes(call, before, after, delta_attr);
	return true;
}

/* ---- an inactive resource that a POST means ---- */

/* Is the resource inactive? */
static bool
is_inactive(const json_t *resource)
{
	return json_is_false(json_object_get(resource, "active"));
}

/* The only inactive resource with the externalId of a body; NULL: there is none, or there are several. */
static const char *
find_inactive(ScimCall *call, const ScimEndpointType *target, const json_t *body)
{
	const char *external_id = json_string_value(scim_json_get(body, "externalId", NULL));
	StringInfoData text;
	StringInfoData out;
	ScimFilter *filter;
	ScimSelection *select;
	ScimQuery	query;
	ScimPage	page;

	if (external_id == NULL || external_id[0] == '\0' || target->type->a_external_id == NULL ||
		scim_type_attr(target->type, SCIM_EXT_CORE, "active", 6) == NULL)
		return NULL;
	initStringInfo(&text);
	initStringInfo(&out);
	appendStringInfoString(&text, "active eq false and externalId eq ");
	escape_json(&text, external_id);
	filter = scim_filter_parse(text.data, text.len, SCIM_FILTER_MAX_LENGTH, SCIM_STRICT, &call->err);
	if (filter == NULL || !scim_filter_bind(target->type, filter, SCIM_STRICT, &call->err) ||
		(select = scim_selection_parse(target->type, "id", NULL, &call->err)) == NULL)
	{
		/* a value that no filter takes is nobody's */
		memset(&call->err, 0, sizeof(call->err));
		return NULL;
	}
	memset(&query, 0, sizeof(query));
	query.filter = filter;
	query.keyset = true;
	query.count = 1;
	scim_store_list(target, &query, select, &out, &page);
	return page.total == 1 && page.n == 1 ? page.first.id : NULL;
}

/*
 * A POST of the externalId of an inactive resource means that resource: it is
 * replaced.  False: there is none, and nothing was done.
 */
static bool
revive_inactive(ScimCall *call, const ScimEndpointType *target, const ScimSelection *select, json_t *body)
{
	const char *id = find_inactive(call, target, body);
	ScimAttr   *delta_attr = replaced_as_set(target);
	ScimSelection *known;
	json_t	   *before;

	if (id == NULL || (known = selection_to_write(call, target, delta_attr)) == NULL)
		return call->err.status != 0;
	before = lock_and_read(call, target, id, known);
	/* behind the lock it may be gone, or active again: then the POST is what it says */
	if (before == NULL ? call->err.status == 404 : !is_inactive(before))
	{
		memset(&call->err, 0, sizeof(call->err));
		return false;
	}
	note_subject(call, target, id);
	if (before && store_replacement(call, target, id, known, before, body, delta_attr))
		respond_with(call, target, id, select, 201);
	return true;
}

void
scim_crud_create(ScimCall *call, const ScimEndpointType *target)
{
	ScimSelection *select = selection(call, target);
	json_t	   *body;
	json_t	   *wanted;
	char	   *id;
	ScimHead	head = {0};
	bool		cleared = false;

	note_subject(call, target, NULL);
	if (select == NULL || (body = scim_crud_body(call)) == NULL)
		return;
	if (call->endpoint->options.revive_inactive && revive_inactive(call, target, select, body))
		return;
	wanted = scim_resource_wanted(target->type, body, NULL, call->endpoint->mode,
								  call->endpoint->options.refuse_unknown, &call->report, &call->err);
	if (wanted == NULL || !scim_password_seal(call, target, NULL, wanted))
		return;
	id = scim_store_insert(target, wanted, NULL, &head, &call->err);
	if (id == NULL)
		return;
	if (!clear_defaults(call, target, id, body, &cleared))
		return;
	call->subject.id = id;
	call->subject.attributes = scim_audit_differences(NULL, wanted);
	if (call->head_only && head.version && !cleared)
		respond(call, &head, 201);
	else
		respond_with(call, target, id, select, 201);
}

void
scim_crud_replace(ScimCall *call, const ScimEndpointType *target, const char *id)
{
	ScimSelection *select = selection(call, target);
	ScimAttr   *delta_attr = replaced_as_set(target);
	ScimSelection *known;
	json_t	   *body;
	json_t	   *before;

	note_subject(call, target, id);
	if (select == NULL || (known = selection_to_write(call, target, delta_attr)) == NULL ||
		(before = lock_and_read(call, target, id, known)) == NULL ||
		(body = scim_crud_body(call)) == NULL ||
		!store_replacement(call, target, id, known, before, body, delta_attr))
		return;
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
	ScimPatch  *patch = body ? scim_patch_parse(target->type, body, mode, &call->report, &call->err) : NULL;

	*by_delta = delta_attr != NULL;
	if (patch && delta_attr && scim_patch_touches(patch, delta_attr))
		*by_delta = scim_patch_take_delta(target->type, patch, delta_attr, mode, delta, &call->report, &call->err);
	return call->err.status ? NULL : patch;
}

/* Do the operations touch this attribute, or one of the same extension? */
static bool
is_near(const ScimResourceType *type, const ScimPatch *patch, const ScimAttr *attr)
{
	if (attr->ext == SCIM_EXT_CORE)
		return scim_patch_touches(patch, attr);
	for (int i = 0; i < type->ntop; i++)
		if (type->top[i]->ext == attr->ext && scim_patch_touches(patch, type->top[i]))
			return true;
	return false;
}

/*
 * What the operations do not touch need not be read: it is the same before and
 * after.  What is required is looked at in any case, and an extension as a
 * whole: one that is gone altogether requires nothing.  A large body sees the
 * whole resource, whose size is bounded as a whole (scim_patch_apply); what
 * small ones make of it, an attribute each, is bounded by their number.
 */
static void
leave_out_untouched(const ScimCall *call, const ScimEndpointType *target, const ScimPatch *patch, ScimSelection *known)
{
	const ScimResourceType *type = target->type;

	if (call->request->body_len > MAX_PARTIAL_BODY || !scim_store_takes_part(target))
		return;
	for (int i = 0; i < type->ntop; i++)
		if (!type->top[i]->required && !is_near(type, patch, type->top[i]))
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

	note_subject(call, target, id);
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
	leave_out_untouched(call, target, patch, known);
	before = lock_and_read(call, target, id, known);
	if (before == NULL)
		return;

	after = scim_patch_apply(target->type, patch, before, call->endpoint->mode, &changed, &call->report, &call->err);
	if (after == NULL || !scim_password_seal(call, target, before, after) ||
		!scim_store_update(target, id, known, before, after, by_delta ? delta_attr : NULL,
						   delta.any ? &delta : NULL, &changed, &call->err))
		return;
	if (changed)
		note_changes(call, before, after, delta.any ? delta_attr : NULL);
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
	note_subject(call, target, id);
	if (!lock_resource(call, target, id, NULL, NULL))
		return;
	if (!scim_store_delete(target, id))
		not_found(call, target);
	else
		call->response->status = 204;
}
