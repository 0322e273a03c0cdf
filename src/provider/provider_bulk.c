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
 *	request -> operations -> units (core_bulkref.c) -> one subtransaction for
 *	each -> results in the request's order.
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
#include "../store/store_append.h"

typedef struct Operation
{
	int			index;
	ScimBulkOp *ref;			/* its part in the graph: method, bulkId, id, data */
	const char *path;			/* as sent; NULL: no text */
	const char *version;		/* as If-Match, or NULL */
	const ScimEndpointType *target;
	ScimError	bad;			/* what is wrong with the operation itself */

	/* the outcome */
	bool		attempted;
	bool		done;
	int			status;
	List	   *attributes;		/* that it has changed */
	const char *etag;
	const char *location;
	ScimError	err;
} Operation;

typedef struct Bulk
{
	ScimCall   *call;
	MemoryContext context;		/* lasts as long as the request */
	Operation  *ops;
	ScimBulkOp *refs;			/* of ops, in the same order */
	int			nops;
	ScimBulkGraph *graph;
	int64		fail_on_errors; /* 0: never */
	int			nerrors;
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
	return op->ref->method && strcmp(op->ref->method, method) == 0;
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

	op->ref->method = text_of(object, "method");
	op->ref->bulk_id = text_of(object, "bulkId");
	op->path = text_of(object, "path");
	op->version = text_of(object, "version");

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
	if (!scim_auth_has_type(bulk->call, op->target->type))
	{
		scim_fail(&op->bad, 403, NULL, "this token is not for resources of this type");
		return;
	}
	if (is_op(op, "PATCH") && !bulk->call->endpoint->options.patch)
	{
		scim_fail(&op->bad, 501, NULL, "PATCH is switched off here");
		return;
	}
	op->ref->id = creates ? NULL : route.segments[1];
	if (is_op(op, "DELETE"))
	{
		op->ref->type = op->target->type;
		return;
	}
	op->ref->data = scim_json_get(object, "data", NULL);
	if (json_is_object(op->ref->data))
		op->ref->type = op->target->type;
	else
		scim_fail(&op->bad, 400, SCIM_INVALID_SYNTAX, "data is missing, or no JSON object");
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
	bulk->refs = palloc0(sizeof(ScimBulkOp) * n);
	for (int i = 0; i < bulk->nops; i++)
	{
		const json_t *object = json_array_get(operations, i);
		Operation  *op = &bulk->ops[i];

		op->index = i;
		op->ref = &bulk->refs[i];
		if (!json_is_object(object))
			return scim_fail(err, 400, SCIM_INVALID_SYNTAX, "Operations[%d] is no JSON object", i);
		read_operation(bulk, op, object);
		if (is_op(op, "POST") && (op->ref->bulk_id == NULL || op->ref->bulk_id[0] == '\0'))
			return scim_fail(err, 400, SCIM_INVALID_SYNTAX, "Operations[%d]: a POST needs a bulkId", i);
	}
	bulk->graph = scim_bulk_graph(bulk->refs, bulk->nops, bulk->call->endpoint->mode, err);
	return bulk->graph != NULL;
}

static Operation *
unit_member(const Bulk *bulk, int unit, int i)
{
	return &bulk->ops[bulk->graph->order[bulk->graph->begin[unit] + i] - bulk->refs];
}

static int
unit_size(const Bulk *bulk, int unit)
{
	return bulk->graph->begin[unit + 1] - bulk->graph->begin[unit];
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
	MemoryContext saved;
	ListCell   *lc;

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

	for (int i = 0; i < call.report.nkinds; i++)
		for (int j = 0; j < call.report.kinds[i].count; j++)
			scim_report_add(&bulk->call->report, call.report.kinds[i].name);
	op->err = call.err;
	if (call.err.status)
		return;
	op->status = response.status;
	if (strcmp(method, "POST") == 0)
		op->ref->new_id = MemoryContextStrdup(bulk->context, call.subject.id);
	saved = MemoryContextSwitchTo(bulk->context);
	foreach(lc, call.subject.attributes)
		op->attributes = lappend(op->attributes, pstrdup((const char *) lfirst(lc)));
	MemoryContextSwitchTo(saved);
	if (response.etag)
		op->etag = MemoryContextStrdup(bulk->context, response.etag);
	if (response.location)
		op->location = MemoryContextStrdup(bulk->context, response.location);
}

/* Serve all operations of a unit; false: one has failed, and has err. */
static bool
serve_unit(Bulk *bulk, int unit, Operation **current)
{
	MemoryContext saved;

	for (int i = 0; i < unit_size(bulk, unit); i++)
	{
		Operation  *op = *current = unit_member(bulk, unit, i);
		bool		ready;

		if (op->bad.status)
		{
			op->err = op->bad;
			return false;
		}
		/* the data outlives this unit, and so does what is put into it */
		saved = MemoryContextSwitchTo(bulk->context);
		ready = scim_bulk_prepare(op->ref, &op->err);
		MemoryContextSwitchTo(saved);
		if (!ready)
			return false;
		serve(bulk, op, op->ref->method, op->ref->id, op->ref->data);
		if (op->err.status)
			return false;
		op->done = true;
	}
	for (int i = 0; i < unit_size(bulk, unit); i++)
	{
		Operation  *op = *current = unit_member(bulk, unit, i);
		json_t	   *body;
		int			status = op->status;

		if (op->ref->cuts == NULL)
			continue;
		saved = MemoryContextSwitchTo(bulk->context);
		body = scim_bulk_complete(op->ref, &op->err);
		MemoryContextSwitchTo(saved);
		if (body == NULL)
			return false;
		op->version = NULL;
		serve(bulk, op, "PATCH", op->ref->new_id, body);
		if (op->err.status)
			return false;
		op->status = status;
	}
	return true;
}

/* Every operation of a unit that failed has failed. */
static void
unit_failed(Bulk *bulk, int unit)
{
	for (int i = 0; i < unit_size(bulk, unit); i++)
	{
		Operation  *op = unit_member(bulk, unit, i);

		op->done = false;
		op->ref->new_id = NULL;
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
run_unit(Bulk *bulk, int unit)
{
	ResourceOwner saved_owner = CurrentResourceOwner;
	MemoryContext saved_context = CurrentMemoryContext;
	const ScimEndpoint *endpoint = bulk->call->endpoint;
	Operation  *current = unit_member(bulk, unit, 0);
	Operation **current_pointer = &current;

	for (int i = 0; i < unit_size(bulk, unit); i++)
		unit_member(bulk, unit, i)->attempted = true;
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
		scim_append_keep_drop();
		scim_core_reset();
		if (edata->sqlerrcode == ERRCODE_QUERY_CANCELED ||
			edata->sqlerrcode == ERRCODE_ADMIN_SHUTDOWN ||
			edata->sqlerrcode == ERRCODE_CRASH_SHUTDOWN ||
			edata->sqlerrcode == ERRCODE_T_R_SERIALIZATION_FAILURE ||
			edata->sqlerrcode == ERRCODE_T_R_DEADLOCK_DETECTED)
			ReThrowError(edata);
		scim_error_caught(endpoint, (*current_pointer)->ref->method, true, edata, &(*current_pointer)->err);
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
	if (location == NULL && op->target && op->ref->id && !scim_bulk_is_reference(op->ref->id))
		location = op->ref->in_path ?
			scim_store_location(op->target, scim_endpoint_base_url(bulk->call->endpoint), op->ref->id) :
			psprintf("%s%s", scim_endpoint_base_url(bulk->call->endpoint), op->path);
	appendStringInfoChar(out, '{');
	if (location)
	{
		appendStringInfoString(out, "\"location\":");
		escape_json(out, location);
		appendStringInfoChar(out, ',');
	}
	if (op->ref->method)
	{
		appendStringInfoString(out, "\"method\":");
		escape_json(out, op->ref->method);
		appendStringInfoChar(out, ',');
	}
	if (op->ref->bulk_id)
	{
		appendStringInfoString(out, "\"bulkId\":");
		escape_json(out, op->ref->bulk_id);
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

/* For the audit. */
static void
note_done(Bulk *bulk, const Operation *op)
{
	ScimAuditEntry *entry = palloc0(sizeof(ScimAuditEntry));

	entry->method = op->ref->method;
	entry->type = op->target ? op->target->type->name : NULL;
	entry->id = op->ref->new_id ? op->ref->new_id : op->ref->id;
	entry->attributes = op->done ? op->attributes : NIL;
	entry->status = op->done ? op->status : op->err.status;
	bulk->call->done = lappend(bulk->call->done, entry);
}

void
scim_bulk(ScimCall *call)
{
	StringInfo	out = &call->response->body;
	Bulk		bulk;
	json_t	   *body;
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
	scim_append_keep_begin();
	for (int unit = 0; unit < bulk.graph->nunits; unit++)
	{
		CHECK_FOR_INTERRUPTS();
		if (call->request->next_operation)
			call->request->next_operation();
		run_unit(&bulk, unit);
		if (bulk.fail_on_errors > 0 && bulk.nerrors >= bulk.fail_on_errors)
			break;
	}
	scim_append_keep_end();

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
		note_done(&bulk, &bulk.ops[i]);
	}
	appendStringInfoString(out, "]}");
}
