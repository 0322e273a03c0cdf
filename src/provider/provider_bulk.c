/*
 * provider_bulk.c
 *		Many operations in one request (RFC 7644 3.7).
 *
 * Each operation is a subtransaction of the request's transaction: what fails
 * leaves nothing, what succeeded before stays.  A reference "bulkId:x" to a
 * resource that another operation makes is replaced by that resource's id, so
 * operations are sorted: each comes after those it refers to, otherwise in the
 * order of the request.  New resources that refer to each other in a circle
 * are one unit, all or none: they are made without those references, which are
 * added once all have an id (3.7.1).
 *
 *	request -> operations -> references (by the schema: a text that merely looks
 *	like one is left alone) -> units (Tarjan's components, which come out in the
 *	order of need) -> one subtransaction for each -> results in the request's
 *	order.
 */
#include "postgres.h"

#include "access/xact.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/json.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

#include "provider_internal.h"
#include "../scim_guc.h"

#define BULK_PREFIX "bulkId:"
#define BULK_PREFIX_LEN 7

/* A text in the data of an operation that holds "bulkId:x". */
typedef struct Reference
{
	const char *bulk_id;
	struct Operation *to;		/* NULL: no operation has this bulkId */
	json_t	   *object;			/* member "key" of this object, or ... */
	const char *key;
	json_t	   *array;			/* ... element "index" of this array */
	size_t		index;
	int			literal;		/* text is a path: where "bulkId:x" stands, quotes included; else -1 */
	/* the attribute that it is part of, for circles */
	ScimAttr   *attr;
	json_t	   *holder;			/* object that has the whole attribute ... */
	const char *holder_key;		/* ... under this name; NULL: in a PATCH */
} Reference;

typedef struct Operation
{
	int			index;
	const char *method;			/* as sent; NULL: no text */
	const char *bulk_id;		/* or NULL */
	const char *path;			/* as sent; NULL: no text */
	const char *version;		/* as If-Match, or NULL */
	json_t	   *data;
	const ScimEndpointType *target;
	const char *id;				/* of the resource, or "bulkId:x" */
	Reference  *id_ref;			/* if it is that */
	List	   *references;		/* of Reference, in data */
	ScimError	bad;			/* what is wrong with the operation itself */

	/* the sorting */
	int			visited;		/* 0: not yet */
	int			low;
	bool		on_stack;
	List	   *cut;			/* of Cut: added when the circle is complete */

	/* the outcome */
	bool		attempted;
	bool		done;
	int			status;
	const char *new_id;
	const char *etag;
	const char *location;
	ScimError	err;
} Operation;

/* A whole attribute that was taken out of the data of a POST. */
typedef struct Cut
{
	ScimAttr   *attr;
	json_t	   *box;			/* {"value": ...} */
} Cut;

typedef struct Bulk
{
	ScimCall   *call;
	MemoryContext context;		/* lasts as long as the request */
	Operation  *ops;
	int			nops;
	Operation **by_id;			/* those with a bulkId, sorted by it */
	int			nby_id;
	int64		fail_on_errors; /* 0: never */
	int			nerrors;
	/* Tarjan's algorithm */
	int			counter;
	List	   *stack;
	List	   *units;			/* of List of Operation */
} Bulk;

/* ---- the request ---- */

static const char *
text_of(const json_t *object, const char *name)
{
	return json_string_value(scim_json_get(object, name, NULL));
}

static bool
is_op(const Operation *op, const char *method)
{
	return op->method && strcmp(op->method, method) == 0;
}

static bool
check_envelope(Bulk *bulk, const json_t *body)
{
	ScimError  *err = &bulk->call->err;
	const json_t *schemas;
	const json_t *fail;
	bool		named = false;

	if (!json_is_object(body))
		return scim_fail(err, 400, SCIM_INVALID_SYNTAX, "the body is no JSON object");
	schemas = scim_json_get(body, "schemas", NULL);
	for (size_t i = 0; i < json_array_size(schemas); i++)
	{
		const char *uri = json_string_value(json_array_get(schemas, i));

		named = named || (uri && scim_name_eq(uri, strlen(uri), SCIM_URN_BULK_REQUEST));
	}
	if (!named && (schemas != NULL || bulk->call->endpoint->mode == SCIM_STRICT))
		return scim_fail(err, 400, SCIM_INVALID_SYNTAX, "schemas must hold %s", SCIM_URN_BULK_REQUEST);

	fail = scim_json_get(body, "failOnErrors", NULL);
	if (fail != NULL && !json_is_null(fail))
	{
		if (!json_is_integer(fail) || json_integer_value(fail) < 1)
			return scim_fail(err, 400, SCIM_INVALID_VALUE, "failOnErrors is an integer, 1 or more");
		bulk->fail_on_errors = json_integer_value(fail);
	}
	return true;
}

/*
 * Method, path and data of one operation; what is wrong with them is the
 * operation's own error.
 */
static void
read_operation(Bulk *bulk, Operation *op, const json_t *object)
{
	ScimCall	route;
	const char *where = NULL;
	bool		creates;

	op->method = text_of(object, "method");
	op->path = text_of(object, "path");
	op->version = text_of(object, "version");
	op->bulk_id = text_of(object, "bulkId");
	op->data = scim_json_get(object, "data", NULL);

	creates = is_op(op, "POST");
	if (!creates && !is_op(op, "PUT") && !is_op(op, "PATCH") && !is_op(op, "DELETE"))
	{
		scim_fail(&op->bad, 400, SCIM_INVALID_SYNTAX, "method is POST, PUT, PATCH or DELETE");
		return;
	}
	memset(&route, 0, sizeof(route));
	if (op->path == NULL)
		where = "path is missing";
	else if (!scim_route_split(&route, op->path))
		where = "path names nothing here";
	else if (creates ? route.nsegments != 1 : route.nsegments != 2)
		where = creates ? "path of a POST is that of a resource type" : "path is that of a resource";
	else if ((op->target = scim_endpoint_type_by_path(bulk->call->endpoint, route.segments[0])) == NULL)
		where = "path names no resource type";
	if (where)
	{
		scim_fail(&op->bad, 400, SCIM_INVALID_SYNTAX, "%s", where);
		return;
	}
	op->id = creates ? NULL : route.segments[1];
	if (is_op(op, "DELETE"))
		op->data = NULL;
	else if (!json_is_object(op->data))
		scim_fail(&op->bad, 400, SCIM_INVALID_SYNTAX, "data is missing, or no JSON object");
}

static int
compare_bulk_ids(const void *a, const void *b)
{
	return strcmp((*(Operation *const *) a)->bulk_id, (*(Operation *const *) b)->bulk_id);
}

static bool
read_operations(Bulk *bulk, const json_t *body)
{
	ScimError  *err = &bulk->call->err;
	const json_t *operations = scim_json_get(body, "Operations", NULL);
	size_t		n = json_array_size(operations);

	if (!json_is_array(operations) || n == 0)
		return scim_fail(err, 400, SCIM_INVALID_SYNTAX, "Operations must be an array that is not empty");
	if (n > SCIM_BULK_MAX_OPERATIONS)
		return scim_fail(err, 413, NULL, "there are more operations than maxOperations (%d)", SCIM_BULK_MAX_OPERATIONS);
	bulk->nops = (int) n;
	bulk->ops = palloc0(sizeof(Operation) * n);
	bulk->by_id = palloc(sizeof(Operation *) * n);
	for (int i = 0; i < bulk->nops; i++)
	{
		const json_t *object = json_array_get(operations, i);
		Operation  *op = &bulk->ops[i];

		op->index = i;
		if (!json_is_object(object))
			return scim_fail(err, 400, SCIM_INVALID_SYNTAX, "Operations[%d] is no JSON object", i);
		read_operation(bulk, op, object);
		if (is_op(op, "POST") && (op->bulk_id == NULL || op->bulk_id[0] == '\0'))
			return scim_fail(err, 400, SCIM_INVALID_SYNTAX, "Operations[%d]: a POST needs a bulkId", i);
		if (op->bulk_id)
			bulk->by_id[bulk->nby_id++] = op;
	}
	qsort(bulk->by_id, bulk->nby_id, sizeof(Operation *), compare_bulk_ids);
	for (int i = 1; i < bulk->nby_id; i++)
		if (compare_bulk_ids(&bulk->by_id[i - 1], &bulk->by_id[i]) == 0)
			return scim_fail(err, 400, SCIM_INVALID_SYNTAX, "Operations[%d]: its bulkId is that of another operation",
							 Max(bulk->by_id[i - 1]->index, bulk->by_id[i]->index));
	return true;
}

/* ---- references ---- */

/* The POST of this bulkId, or NULL. */
static Operation *
operation_of(const Bulk *bulk, const char *bulk_id)
{
	Operation	key;
	Operation  *key_pointer = &key;
	Operation **found;

	key.bulk_id = bulk_id;
	found = bsearch(&key_pointer, bulk->by_id, bulk->nby_id, sizeof(Operation *), compare_bulk_ids);
	return found && is_op(*found, "POST") ? *found : NULL;
}

/*
 * Does this attribute refer to resources here: complex, with $ref, or a
 * reference?  What is readOnly is not written, so it refers to nothing.
 */
static bool
is_reference(const ScimAttr *attr)
{
	const ScimAttr *ref = attr->type == SCIM_TYPE_COMPLEX ? scim_attr_sub(attr, "$ref", 4) : attr;

	if (attr->mutability == SCIM_READ_ONLY || ref == NULL || ref->type != SCIM_TYPE_REFERENCE)
		return false;
	for (int i = 0; i < ref->nref_types; i++)
		if (pg_strcasecmp(ref->ref_types[i], "external") != 0 && pg_strcasecmp(ref->ref_types[i], "uri") != 0)
			return true;
	return ref != attr;
}

/* Of the sub-attributes, those that hold an id or a URI; NULL: the whole value. */
static bool
is_reference_part(const ScimAttr *sub)
{
	return sub == NULL || strcmp(sub->name, "value") == 0 || strcmp(sub->name, "$ref") == 0;
}

static Reference *
new_reference(const Bulk *bulk, const char *bulk_id, size_t len)
{
	Reference  *r = palloc0(sizeof(Reference));

	r->bulk_id = pnstrdup(bulk_id, len);
	r->to = operation_of(bulk, r->bulk_id);
	r->literal = -1;
	return r;
}

/* Where an attribute was found. */
typedef struct Place
{
	Operation  *op;
	ScimAttr   *attr;
	json_t	   *holder;
	const char *holder_key;
} Place;

/* The text of a value: "bulkId:x", or a URI that ends in "/bulkId:x". */
static void
note_text(const Bulk *bulk, const Place *place, const json_t *value,
		  json_t *object, const char *key, json_t *array, size_t index)
{
	const char *text = json_string_value(value);
	const char *last;
	Reference  *r;

	if (text == NULL)
		return;
	last = strrchr(text, '/');
	if (last)
		text = last + 1;
	if (strncmp(text, BULK_PREFIX, BULK_PREFIX_LEN) != 0)
		return;
	r = new_reference(bulk, text + BULK_PREFIX_LEN, strlen(text + BULK_PREFIX_LEN));
	r->object = object;
	r->key = key;
	r->array = array;
	r->index = index;
	r->attr = place->attr;
	r->holder = place->holder;
	r->holder_key = place->holder_key;
	place->op->references = lappend(place->op->references, r);
}

/* One value of a reference attribute. */
static void
note_value(const Bulk *bulk, const Place *place, json_t *value)
{
	static const char *const names[] = {"value", "$ref"};

	for (int i = 0; json_is_object(value) && i < lengthof(names); i++)
	{
		const char *key;
		const json_t *text = scim_json_get(value, names[i], &key);

		if (text)
			note_text(bulk, place, text, value, key, NULL, 0);
	}
}

/* The value of an attribute, in member "key" of "object". */
static void
note_attribute(const Bulk *bulk, const Place *place, json_t *object, const char *key)
{
	json_t	   *value = json_object_get(object, key);

	if (!is_reference(place->attr))
		return;
	note_text(bulk, place, value, object, key, NULL, 0);
	note_value(bulk, place, value);
	for (size_t i = 0; i < json_array_size(value); i++)
	{
		json_t	   *element = json_array_get(value, i);

		note_text(bulk, place, element, NULL, NULL, value, i);
		note_value(bulk, place, element);
	}
}

/*
 * Attributes of an object: a resource (ext is SCIM_EXT_CORE), or the part of
 * an extension.  "in_patch": of a PATCH, which is no part of a circle.
 */
static void
note_members(const Bulk *bulk, Operation *op, json_t *object, int ext, bool in_patch)
{
	const ScimResourceType *type = op->target->type;
	const char *key;
	json_t	   *value;

	json_object_foreach(object, key, value)
	{
		Place		place = {op, NULL, in_patch ? NULL : object, in_patch ? NULL : key};
		ScimPath	path;

		if (ext != SCIM_EXT_CORE)
			place.attr = scim_type_attr(type, ext, key, strlen(key));
		else if (scim_path_resolve(type, key, strlen(key), bulk->call->endpoint->mode, &path) == strlen(key))
		{
			/* compat: a dotted key */
			place.attr = is_reference_part(path.sub) ? path.attr : NULL;
			if (path.attr == NULL && path.ext != SCIM_EXT_CORE && json_is_object(value))
				note_members(bulk, op, value, path.ext, in_patch);
		}
		if (place.attr)
			note_attribute(bulk, &place, object, key);
	}
}

/*
 * "bulkId:x" compared with an id in the filter of a path: members[value eq
 * "bulkId:x"].  The last comes first, so that replacing one does not move those
 * that are still to do.  Depth is bounded by the parser.
 */
static void
note_filter(const Bulk *bulk, const ScimFilter *filter, const Place *place,
			json_t *operation, const char *key, const char *text, List **found)
{
	const char *literal;
	Reference  *r;

	if (filter->kind != SCIM_FILTER_COMPARE)
	{
		if (filter->left)
			note_filter(bulk, filter->left, place, operation, key, text, found);
		if (filter->right)
			note_filter(bulk, filter->right, place, operation, key, text, found);
		return;
	}
	if (filter->operand.kind != SCIM_OPERAND_STRING || !is_reference_part(filter->sub) ||
		strncmp(filter->operand.text, BULK_PREFIX, BULK_PREFIX_LEN) != 0 ||
		(literal = strchr(text + filter->position, '"')) == NULL)
		return;
	r = new_reference(bulk, filter->operand.text + BULK_PREFIX_LEN, filter->operand.len - BULK_PREFIX_LEN);
	r->object = operation;
	r->key = key;
	r->literal = literal - text;
	r->attr = place->attr;
	*found = lcons(r, *found);
}

static void
note_patch(const Bulk *bulk, Operation *op)
{
	const ScimResourceType *type = op->target->type;
	const json_t *operations = scim_json_get(op->data, "Operations", NULL);

	for (size_t i = 0; i < json_array_size(operations); i++)
	{
		json_t	   *operation = json_array_get(operations, i);
		const char *path_key;
		const char *value_key;
		const char *text;
		json_t	   *value;
		Place		place = {op, NULL, NULL, NULL};
		ScimPath   *path;
		ScimError	ignored;
		List	   *found = NIL;

		if (!json_is_object(operation))
			continue;
		text = json_string_value(scim_json_get(operation, "path", &path_key));
		value = scim_json_get(operation, "value", &value_key);
		if (text == NULL)
		{
			if (json_is_object(value))
				note_members(bulk, op, value, SCIM_EXT_CORE, true);
			continue;
		}
		/* a path that is wrong is the PATCH's to refuse */
		memset(&ignored, 0, sizeof(ignored));
		path = scim_path_parse(type, text, strlen(text), bulk->call->endpoint->mode, &ignored);
		if (path == NULL)
			continue;
		place.attr = path->attr;
		if (path->attr == NULL)
		{
			if (json_is_object(value))
				note_members(bulk, op, value, path->ext, true);
		}
		else if (is_reference(path->attr))
		{
			if (path->filter)
				note_filter(bulk, path->filter, &place, operation, path_key, text, &found);
			op->references = list_concat(op->references, found);
			if (value && is_reference_part(path->sub))
				note_attribute(bulk, &place, operation, value_key);
		}
	}
}

static void
note_references(const Bulk *bulk, Operation *op)
{
	if (op->bad.status)
		return;
	if (op->id && strncmp(op->id, BULK_PREFIX, BULK_PREFIX_LEN) == 0)
		op->id_ref = new_reference(bulk, op->id + BULK_PREFIX_LEN, strlen(op->id + BULK_PREFIX_LEN));
	if (is_op(op, "PATCH"))
		note_patch(bulk, op);
	else if (op->data)
		note_members(bulk, op, op->data, SCIM_EXT_CORE, false);
}

/* The path "text" with an id in the place of the string at "literal". */
static char *
path_with_id(const char *text, int literal, const char *id)
{
	const char *end = text + literal + 1;
	StringInfoData out;

	while (*end && *end != '"')
		end += end[0] == '\\' && end[1] ? 2 : 1;
	initStringInfo(&out);
	appendBinaryStringInfo(&out, text, literal);
	escape_json(&out, id);
	appendStringInfoString(&out, *end ? end + 1 : end);
	return out.data;
}

/* Put an id into the place of "bulkId:x"; false: memory is out. */
static bool
resolve(Reference *r, const char *id)
{
	ScimCoreFrame frame;
	const json_t *value = r->object ? json_object_get(r->object, r->key) : json_array_get(r->array, r->index);
	const char *text = json_string_value(value);
	const char *last;
	char	   *replaced;
	int			status;

	if (text == NULL)
		return true;
	last = strrchr(text, '/');
	if (r->literal >= 0)
		replaced = path_with_id(text, r->literal, id);
	else
		replaced = psprintf("%.*s%s", last ? (int) (last + 1 - text) : 0, text, id);

	scim_core_enter(&frame);
	if (r->object)
		status = json_object_set_new(r->object, r->key, json_string(replaced));
	else
		status = json_array_set_new(r->array, r->index, json_string(replaced));
	scim_core_leave(&frame);
	return status == 0;
}

/* ---- the order ---- */

static void
visit(Bulk *bulk, Operation *op)
{
	check_stack_depth();
	op->visited = op->low = ++bulk->counter;
	op->on_stack = true;
	bulk->stack = lappend(bulk->stack, op);
	for (int i = -1; i < list_length(op->references); i++)
	{
		Reference  *r = i < 0 ? op->id_ref : (Reference *) list_nth(op->references, i);
		Operation  *to = r ? r->to : NULL;

		if (to == NULL)
			continue;
		if (to->visited == 0)
		{
			visit(bulk, to);
			op->low = Min(op->low, to->low);
		}
		else if (to->on_stack)
			op->low = Min(op->low, to->visited);
	}
	if (op->low == op->visited)
	{
		List	   *unit = NIL;
		Operation  *member;

		do
		{
			member = (Operation *) llast(bulk->stack);
			bulk->stack = list_delete_last(bulk->stack);
			member->on_stack = false;
			unit = lcons(member, unit);
		} while (member != op);
		bulk->units = lappend(bulk->units, unit);
	}
}

/* ---- the work ---- */

/*
 * Serve one request on a resource as it would be by itself; the answer's head
 * is kept in the operation.
 */
static void
serve(Bulk *bulk, Operation *op, const char *method, const char *id, json_t *body)
{
	ScimRequest request;
	ScimResponse response;
	ScimCall	call;

	memset(&request, 0, sizeof(request));
	memset(&response, 0, sizeof(response));
	memset(&call, 0, sizeof(call));
	request.method = method;
	request.if_match = op->version;
	initStringInfo(&response.body);
	call.request = &request;
	call.response = &response;
	call.endpoint = bulk->call->endpoint;
	call.token = bulk->call->token;
	call.head_only = true;
	call.body = body;

	if (strcmp(method, "POST") == 0)
		scim_crud_create(&call, op->target);
	else if (strcmp(method, "PUT") == 0)
		scim_crud_replace(&call, op->target, id);
	else if (strcmp(method, "PATCH") == 0)
		scim_crud_patch(&call, op->target, id);
	else
		scim_crud_delete(&call, op->target, id);

	op->err = call.err;
	if (call.err.status)
		return;
	op->status = response.status;
	if (call.new_id)
		op->new_id = MemoryContextStrdup(bulk->context, call.new_id);
	if (response.etag)
		op->etag = MemoryContextStrdup(bulk->context, response.etag);
	if (response.location)
		op->location = MemoryContextStrdup(bulk->context, response.location);
}

static bool
unresolved(Operation *op, const Reference *r)
{
	return scim_fail(&op->err, 409, NULL, "%s refers to a bulkId for which this request has made no resource",
					 r->attr ? r->attr->name : "path");
}

/*
 * Take a whole attribute out of the data of a POST, because it refers to a
 * resource of the circle that has no id yet.
 */
static bool
cut_attribute(Operation *op, Reference *r)
{
	ScimCoreFrame frame;
	json_t	   *value = json_object_get(r->holder, r->holder_key);
	Cut		   *cut;
	int			status;

	/* another reference in the same attribute has done it */
	if (value == NULL)
		return true;
	cut = palloc0(sizeof(Cut));
	cut->attr = r->attr;
	op->cut = lappend(op->cut, cut);
	scim_core_enter(&frame);
	cut->box = scim_json_object();
	status = json_object_set(cut->box, "value", value);
	(void) json_object_del(r->holder, r->holder_key);
	scim_core_leave(&frame);
	/* compat: manager as a bare text, which is its own holder */
	if (r->object == r->holder)
	{
		r->object = cut->box;
		r->key = "value";
	}
	return status == 0 || scim_fail_memory(&op->err);
}

/*
 * Replace the references of an operation; those to resources that its own unit
 * has yet to make are cut out.  False and err.
 */
static bool
prepare(Bulk *bulk, Operation *op, const List *unit, bool complete)
{
	ListCell   *lc;

	if (op->id_ref)
	{
		if (op->id_ref->to == NULL || !op->id_ref->to->done)
			return unresolved(op, op->id_ref);
		op->id = op->id_ref->to->new_id;
	}
	foreach(lc, op->references)
	{
		Reference  *r = (Reference *) lfirst(lc);

		if (r->to && r->to->done)
		{
			if (!resolve(r, r->to->new_id))
				return scim_fail_memory(&op->err);
		}
		else if (complete || r->to == NULL || r->holder_key == NULL || !list_member_ptr(unit, r->to))
			return unresolved(op, r);
		else if (!cut_attribute(op, r))
			return false;
	}
	return true;
}

/* PatchOp that adds what was cut out; NULL: memory is out. */
static json_t *
completion(const Operation *op)
{
	ScimCoreFrame frame;
	const ScimResourceType *type = op->target->type;
	json_t	   *body;
	json_t	   *operations;
	ListCell   *lc;
	char		path[512];
	int			failed = 0;

	scim_core_enter(&frame);
	operations = json_array();
	foreach(lc, op->cut)
	{
		Cut		   *cut = (Cut *) lfirst(lc);
		json_t	   *operation = scim_json_object();

		failed |= json_object_set_new(operation, "op", json_string("add"));
		failed |= json_object_set_new(operation, "path", json_string(scim_attr_path(type, cut->attr, path, sizeof(path))));
		failed |= json_object_set(operation, "value", json_object_get(cut->box, "value"));
		failed |= json_array_append_new(operations, operation);
	}
	body = scim_json_object();
	failed |= json_object_set_new(body, "schemas", json_pack("[s]", SCIM_URN_PATCH_OP));
	failed |= json_object_set_new(body, "Operations", operations);
	scim_core_leave(&frame);
	return failed ? NULL : body;
}

/* Serve all operations of a unit; false: one has failed, and has err. */
static bool
serve_unit(Bulk *bulk, const List *unit, Operation **current)
{
	MemoryContext saved;
	ListCell   *lc;

	foreach(lc, unit)
	{
		Operation  *op = *current = (Operation *) lfirst(lc);
		bool		ready;

		if (op->bad.status)
		{
			op->err = op->bad;
			return false;
		}
		/* the data outlives this unit, and so does what is put into it */
		saved = MemoryContextSwitchTo(bulk->context);
		ready = prepare(bulk, op, unit, false);
		MemoryContextSwitchTo(saved);
		if (!ready)
			return false;
		serve(bulk, op, op->method, op->id, op->data);
		if (op->err.status)
			return false;
		op->done = true;
	}
	foreach(lc, unit)
	{
		Operation  *op = *current = (Operation *) lfirst(lc);
		json_t	   *body = NULL;
		int			status = op->status;
		bool		ready;

		if (op->cut == NIL)
			continue;
		saved = MemoryContextSwitchTo(bulk->context);
		ready = prepare(bulk, op, unit, true);
		if (ready && (body = completion(op)) == NULL)
			ready = scim_fail_memory(&op->err);
		MemoryContextSwitchTo(saved);
		if (!ready)
			return false;
		op->version = NULL;
		serve(bulk, op, "PATCH", op->new_id, body);
		if (op->err.status)
			return false;
		op->status = status;
	}
	return true;
}

/* Every operation of a unit that failed has failed. */
static void
unit_failed(Bulk *bulk, const List *unit)
{
	ListCell   *lc;

	foreach(lc, unit)
	{
		Operation  *op = (Operation *) lfirst(lc);

		op->done = false;
		op->location = NULL;
		op->etag = NULL;
		if (op->err.status == 0)
			scim_fail(&op->err, 409, NULL, "an operation that this one refers to in a circle has failed");
		bulk->nerrors++;
	}
}

/*
 * A unit in a subtransaction.  What concerns the request as a whole is raised
 * again: cancel, shutdown, and what a retry of the transaction may cure.
 */
static void
run_unit(Bulk *bulk, const List *unit)
{
	ResourceOwner saved_owner = CurrentResourceOwner;
	MemoryContext saved_context = CurrentMemoryContext;
	const ScimEndpoint *endpoint = bulk->call->endpoint;
	Operation  *current = (Operation *) linitial(unit);
	Operation **current_pointer = &current;
	ListCell   *lc;

	foreach(lc, unit)
		((Operation *) lfirst(lc))->attempted = true;
	scim_heap_begin((size_t) scim_request_memory * 1024);

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(bulk->context);
	PG_TRY();
	{
		bool		good;

		SPI_connect();
		good = serve_unit(bulk, unit, current_pointer);
		if (good && bulk->call->own_transaction)
		{
			/* through scim.handle they are immediate all the time */
			scim_store_set_constraints(endpoint, true, NIL);
			scim_store_set_constraints(endpoint, false, NIL);
		}
		SPI_finish();
		if (good)
			ReleaseCurrentSubTransaction();
		else
			RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(saved_context);
		CurrentResourceOwner = saved_owner;
		if (!good)
			unit_failed(bulk, unit);
	}
	PG_CATCH();
	{
		ErrorData  *edata;

		MemoryContextSwitchTo(bulk->context);
		edata = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(saved_context);
		CurrentResourceOwner = saved_owner;
		scim_core_reset();
		scim_store_reset();
		if (edata->sqlerrcode == ERRCODE_QUERY_CANCELED ||
			edata->sqlerrcode == ERRCODE_ADMIN_SHUTDOWN ||
			edata->sqlerrcode == ERRCODE_CRASH_SHUTDOWN ||
			edata->sqlerrcode == ERRCODE_T_R_SERIALIZATION_FAILURE ||
			edata->sqlerrcode == ERRCODE_T_R_DEADLOCK_DETECTED)
			ReThrowError(edata);
		scim_error_caught(endpoint, (*current_pointer)->method, edata, &(*current_pointer)->err);
		FreeErrorData(edata);
		unit_failed(bulk, unit);
	}
	PG_END_TRY();
}

/* ---- the response ---- */

static void
append_result(Bulk *bulk, StringInfo out, const Operation *op)
{
	const char *location = op->location;

	/* of a resource that is there, or was */
	if (location == NULL && op->target && op->id &&
		strncmp(op->id, BULK_PREFIX, BULK_PREFIX_LEN) != 0)
		location = op->id_ref ? op->id_ref->to->location :
			psprintf("%s%s", scim_endpoint_base_url(bulk->call->endpoint), op->path);
	appendStringInfoChar(out, '{');
	if (location)
	{
		appendStringInfoString(out, "\"location\":");
		escape_json(out, location);
		appendStringInfoChar(out, ',');
	}
	if (op->method)
	{
		appendStringInfoString(out, "\"method\":");
		escape_json(out, op->method);
		appendStringInfoChar(out, ',');
	}
	if (op->bulk_id)
	{
		appendStringInfoString(out, "\"bulkId\":");
		escape_json(out, op->bulk_id);
		appendStringInfoChar(out, ',');
	}
	if (op->etag)
	{
		appendStringInfoString(out, "\"version\":");
		escape_json(out, op->etag);
		appendStringInfoChar(out, ',');
	}
	appendStringInfo(out, "\"status\":\"%d\"", op->done ? op->status : op->err.status);
	if (!op->done)
	{
		appendStringInfoString(out, ",\"response\":");
		scim_error_body(&op->err, out);
	}
	appendStringInfoChar(out, '}');
}

void
scim_bulk(ScimCall *call)
{
	StringInfo	out = &call->response->body;
	Bulk		bulk;
	json_t	   *body;
	ListCell   *lc;
	bool		first = true;

	memset(&bulk, 0, sizeof(bulk));
	bulk.call = call;
	bulk.context = CurrentMemoryContext;
	if (call->request->body_len > (size_t) scim_max_body_size * 1024)
	{
		scim_fail(&call->err, 413, NULL, "the body is larger than maxPayloadSize (%d bytes)", scim_max_body_size * 1024);
		return;
	}
	if ((body = scim_crud_body(call)) == NULL || !check_envelope(&bulk, body) || !read_operations(&bulk, body))
		return;
	for (int i = 0; i < bulk.nops; i++)
		note_references(&bulk, &bulk.ops[i]);
	for (int i = 0; i < bulk.nops; i++)
		if (bulk.ops[i].visited == 0)
			visit(&bulk, &bulk.ops[i]);

	foreach(lc, bulk.units)
	{
		CHECK_FOR_INTERRUPTS();
		if (call->request->next_operation)
			call->request->next_operation();
		run_unit(&bulk, (List *) lfirst(lc));
		if (bulk.fail_on_errors > 0 && bulk.nerrors >= bulk.fail_on_errors)
			break;
	}

	call->response->status = 200;
	call->response->content_type = SCIM_MEDIA_TYPE;
	appendStringInfo(out, "{\"schemas\":[\"%s\"],\"Operations\":[", SCIM_URN_BULK_RESPONSE);
	for (int i = 0; i < bulk.nops; i++)
	{
		if (!bulk.ops[i].attempted)
			continue;
		if (!first)
			appendStringInfoChar(out, ',');
		first = false;
		append_result(&bulk, out, &bulk.ops[i]);
	}
	appendStringInfoString(out, "]}");
}
