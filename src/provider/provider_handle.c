/*
 * provider_handle.c
 *		The transaction around a request.
 *
 * Over HTTP a request is a transaction of its own; through scim.handle it is a
 * subtransaction of the caller's.  Either way: what is not a success leaves
 * nothing behind, statements on data run as the owner of the endpoint until
 * all is done, and a success is reported only after the commit (over HTTP) or
 * the release (SQL: it is then as durable as the caller's COMMIT).
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/parsenodes.h"
#include "pgstat.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"

#include "provider_internal.h"
#include "../catalog/catalog_mapping.h"
#include "../scim_guc.h"

/* Serialization failures and deadlocks are tried again this often. */
#define MAX_TRIES 4

PG_FUNCTION_INFO_V1(scim_handle);

static void
init_response(ScimResponse *response, MemoryContext context)
{
	MemoryContext saved = MemoryContextSwitchTo(context);

	memset(response, 0, sizeof(*response));
	initStringInfo(&response->body);
	MemoryContextSwitchTo(saved);
}

static const char *
copy_to(MemoryContext context, const char *s)
{
	return s ? MemoryContextStrdup(context, s) : NULL;
}

/* What the response points at must outlive the transaction. */
static void
finish_response(ScimCall *call, MemoryContext context)
{
	ScimResponse *response = call->response;

	if (call->err.status)
	{
		scim_error_respond(&call->err, response);
		response->allow = call->allow;
	}
	response->location = copy_to(context, response->location);
	response->etag = copy_to(context, response->etag);
	response->suppress_body = strcmp(call->request->method, "HEAD") == 0;
}

/*
 * What is wrong with the query string is told only to who is authenticated: it
 * says nothing about endpoints, but there are two 401 answers and no others
 * (H1).
 */
static bool
authenticate(ScimCall *call, bool needed)
{
	ScimError	bad_query;

	(void) scim_route_params(call, call->request->query);
	bad_query = call->err;
	memset(&call->err, 0, sizeof(call->err));
	if ((needed || call->request->authorization) && !scim_auth_check(call))
		return false;
	call->err = bad_query;
	return call->err.status == 0;
}

/*
 * Authenticated: look at the rest of the request and serve it, as the owner.
 */
static void
serve(ScimCall *call, const char *rest)
{
	if (!scim_route_split(call, rest))
		return;
	if (call->token && !call->token->can_write && scim_auth_is_write(call))
		scim_auth_refuse(call, "this token may only read");
	else if (scim_route_negotiate(call))
		scim_route_dispatch(call);
}

/* Option publicConfig: what a client may learn before it has a token. */
static bool
is_public(const ScimCall *call, const char *rest)
{
	const char *method = call->request->method;

	return call->endpoint && call->endpoint->enabled && call->endpoint->options.public_config &&
		(strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0) &&
		strcmp(rest, "/ServiceProviderConfig") == 0;
}

/* Is there code of the owner's in it: triggers, expressions of mapped relations? */
static bool
has_owner_code(const ScimEndpoint *endpoint)
{
	for (int i = 0; i < endpoint->ntypes; i++)
		if (!endpoint->types[i].mapping->builtin)
			return true;
	return false;
}

/* What is to be written of a request, in memory that outlives the transaction. */
static ScimTraces
traces_of(ScimCall *call, MemoryContext context)
{
	ScimTraces	traces = {scim_audit_of(call, context), scim_log_of(call, context)};

	return traces;
}

static void
write_traces(const ScimTraces *traces)
{
	scim_audit_write(traces->audit);
	scim_log_write(traces->logged);
}

/* ---- over HTTP ---- */

/* SET CONSTRAINTS ALL IMMEDIATE: what is pending fires now, as the owner. */
static void
fire_all_constraints(void)
{
	ConstraintsSetStmt *stmt = makeNode(ConstraintsSetStmt);

	stmt->constraints = NIL;
	stmt->deferred = false;
	AfterTriggerSetState(stmt);
}

/* One try, inside a transaction that is open; the caller ends it. */
static void
serve_http(ScimCall *call, ScimIdentity *identity)
{
	const char *rest = "";

	if (call->request->flush_later)
		(void) set_config_option("synchronous_commit", "off", PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_LOCAL, true, 0, false);
	scim_catalog_begin();
	call->own_transaction = true;
	call->endpoint = scim_endpoint_by_path(call->request->path, &rest);
	if (scim_oauth_is_request(call, rest))
	{
		scim_oauth_serve(call);
		return;
	}
	if (!authenticate(call, !is_public(call, rest)))
		return;
	call->admitted = true;
	if (call->token)
		scim_token_touch(call->token);
	scim_identity_assume(identity, call->endpoint->owner, false);
	serve(call, rest);
	if (call->err.status == 0)
	{
		ScimTraces	traces = traces_of(call, CurrentMemoryContext);

		write_traces(&traces);
	}
	/* after a read, too: expressions and policies are code of the owner's */
	if (call->err.status == 0)
		fire_all_constraints();
	scim_identity_close_gucs(identity);
}

static bool
is_retryable(int sqlstate)
{
	return sqlstate == ERRCODE_T_R_SERIALIZATION_FAILURE || sqlstate == ERRCODE_T_R_DEADLOCK_DETECTED;
}

/*
 * A line for an operator: which SQLSTATE, where; never the message, nor the
 * statement, which is scim.handle with the whole body.
 */
static void
log_failure(const ErrorData *edata, const char *request_id)
{
	ereport(LOG,
			(errmsg("scim: request failed with SQLSTATE %s", unpack_sql_state(edata->sqlerrcode)),
			 errdetail("Raised in %s, %s:%d%s%s.", edata->funcname ? edata->funcname : "?",
					   edata->filename ? edata->filename : "?", edata->lineno,
					   request_id ? "; request " : "", request_id ? request_id : ""),
			 errhidestmt(true), errhidecontext(true)));
}

/* An SQL error becomes the call's; the client of a 500 gets what to look for in the log. */
static void
take_error(ScimCall *call, const ErrorData *edata)
{
	const char *method = call->request->method;
	bool		has_values = call->params.filter || (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0);

	scim_error_caught(call->endpoint, method, has_values, edata, &call->err);
	if (call->err.status < 500)
		return;
	log_failure(edata, scim_request_id(call));
	if (call->err.status == 500)
	{
		memset(&call->err, 0, sizeof(call->err));
		call->err.position = -1;
		scim_fail(&call->err, 500, NULL, "internal error, request %s", scim_request_id(call));
	}
}

/*
 * The rows of a request that has failed.  It must not make things worse: it waits
 * for nobody's cancel, and if it fails, that is in the log.
 */
static void
trace_apart(const ScimTraces *traces, MemoryContext context)
{
	if (traces->audit == NULL && traces->logged == NULL)
		return;
	HOLD_INTERRUPTS();
	PG_TRY();
	{
		StartTransactionCommand();
		PushActiveSnapshot(GetTransactionSnapshot());
		SPI_connect();
		write_traces(traces);
		SPI_finish();
		PopActiveSnapshot();
		CommitTransactionCommand();
	}
	PG_CATCH();
	{
		ErrorData  *edata;

		MemoryContextSwitchTo(context);
		edata = CopyErrorData();
		FlushErrorState();
		AbortCurrentTransaction();
		log_failure(edata, NULL);
		FreeErrorData(edata);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	RESUME_INTERRUPTS();
}

/* After an error: everything as it was before the request. */
static void
clean_up(ScimIdentity *identity)
{
	AbortCurrentTransaction();
	scim_identity_restore(identity);
	scim_core_reset();
}

/*
 * What was committed is done, what failed has failed: a cancel that comes late
 * must not stop this.
 */
static void
scrub(void)
{
	HOLD_INTERRUPTS();
	scim_identity_scrub_session();
	RESUME_INTERRUPTS();
}

void
scim_provider_serve(const ScimRequest *request, MemoryContext context, ScimResponse *response)
{
	TimestampTz started = GetCurrentTimestamp();
	volatile bool again = true;

	for (volatile int attempt = 1; again; attempt++)
	{
		ScimCall	call;
		ScimIdentity identity;

		again = false;
		memset(&call, 0, sizeof(call));
		memset(&identity, 0, sizeof(identity));
		call.request = request;
		call.response = response;
		call.started = started;
		init_response(response, context);

		PG_TRY();
		{
			SetCurrentStatementStartTimestamp();
			StartTransactionCommand();
			PushActiveSnapshot(GetTransactionSnapshot());
			SPI_connect();
			scim_heap_begin((size_t) scim_request_memory * 1024);

			serve_http(&call, &identity);
			finish_response(&call, context);

			if (call.err.status)
			{
				ScimTraces	traces = traces_of(&call, context);

				clean_up(&identity);
				trace_apart(&traces, context);
			}
			else
			{
				scim_catalog_end();
				SPI_finish();
				PopActiveSnapshot();
				CommitTransactionCommand();
				scim_identity_restore(&identity);
			}
			if (call.admitted && has_owner_code(call.endpoint))
				scrub();
		}
		PG_CATCH();
		{
			ErrorData  *edata;

			ScimTraces	traces = {NULL, NULL};

			MemoryContextSwitchTo(context);
			edata = CopyErrorData();
			FlushErrorState();
			again = is_retryable(edata->sqlerrcode) && attempt < MAX_TRIES;
			if (!again)
			{
				take_error(&call, edata);
				traces = traces_of(&call, context);
			}
			clean_up(&identity);
			scrub();
			trace_apart(&traces, context);
			if (!again)
			{
				init_response(response, context);
				finish_response(&call, context);
			}
			FreeErrorData(edata);
		}
		PG_END_TRY();
	}
	MemoryContextSwitchTo(context);
}

/* ---- through SQL ---- */

/* Headers of a jsonb object; others than those we know are ignored. */
static void
read_headers(ScimRequest *request, Jsonb *headers)
{
	char	   *text = JsonbToCString(NULL, &headers->root, VARSIZE(headers));
	ScimError	err;
	json_t	   *tree;
	const struct
	{
		const char *name;
		const char **value;
	}			known[] = {
		{"Authorization", &request->authorization}, {"Content-Type", &request->content_type},
		{"Accept", &request->accept}, {"If-Match", &request->if_match},
		{"If-None-Match", &request->if_none_match}, {"Prefer", &request->prefer}
	};

	memset(&err, 0, sizeof(err));
	tree = scim_json_parse(text, strlen(text), &err);
	if (tree == NULL || !json_is_object(tree))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("headers must be a JSON object of texts, each name once")));
	for (int i = 0; i < lengthof(known); i++)
	{
		const json_t *value = scim_json_get(tree, known[i].name, NULL);

		if (value != NULL && json_is_string(value))
			*known[i].value = pstrdup(json_string_value(value));
	}
}

static void
append_header(StringInfo out, const char *name, const char *value)
{
	if (value == NULL)
		return;
	appendStringInfo(out, "%s\"%s\":", out->len > 1 ? "," : "", name);
	escape_json(out, value);
}

static Datum
response_headers(const ScimResponse *response)
{
	StringInfoData out;

	initStringInfo(&out);
	appendStringInfoChar(&out, '{');
	append_header(&out, "Content-Type", response->content_type);
	append_header(&out, "Location", response->location);
	append_header(&out, "ETag", response->etag);
	append_header(&out, "Allow", response->allow);
	append_header(&out, "WWW-Authenticate", response->www_authenticate);
	if (response->retry_after > 0)
		append_header(&out, "Retry-After", psprintf("%d", response->retry_after));
	appendStringInfoChar(&out, '}');
	return DirectFunctionCall1(jsonb_in, CStringGetDatum(out.data));
}

/* The scim.handle calls that are open: a trigger may call it within another. */
typedef struct OpenCall
{
	const ScimEndpoint *endpoint;
	struct OpenCall *outer;
} OpenCall;

static OpenCall *open_calls = NULL;

/*
 * Back to DEFERRED, but for what a call further out still needs IMMEDIATE.
 */
static void
defer_constraints(const ScimEndpoint *endpoint)
{
	List	   *kept = NIL;

	for (const OpenCall *outer = open_calls; outer; outer = outer->outer)
		kept = lappend(kept, unconstify(ScimEndpoint *, outer->endpoint));
	scim_store_set_constraints(endpoint, false, kept);
}

/* The rows of a request that has failed, in the caller's transaction. */
static void
trace_here(const ScimTraces *traces)
{
	SPI_connect();
	write_traces(traces);
	SPI_finish();
}

/* Cancel and shutdown concern whoever called. */
static bool
is_callers(int sqlstate)
{
	return sqlstate == ERRCODE_QUERY_CANCELED || sqlstate == ERRCODE_ADMIN_SHUTDOWN || sqlstate == ERRCODE_CRASH_SHUTDOWN;
}

/*
 * The request in a subtransaction.  An SQL error becomes the response; cancel
 * and shutdown are raised again.
 */
static void
serve_sql(ScimCall *call, const char *rest, MemoryContext context)
{
	ResourceOwner saved_owner = CurrentResourceOwner;
	ScimIdentity identity;
	OpenCall	this_call = {call->endpoint, open_calls};
	ScimTraces	traces = {NULL, NULL};
	volatile bool open = true;	/* the subtransaction */

	memset(&identity, 0, sizeof(identity));
	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		open_calls = &this_call;
		SPI_connect();
		if (call->request->body_len > (size_t) scim_max_body_size * 1024)
			scim_fail(&call->err, 413, NULL, "the body is larger than maxPayloadSize (%d bytes)", scim_max_body_size * 1024);
		else if (scim_oauth_is_request(call, rest))
			scim_oauth_serve(call);
		else if (authenticate(call, false))
		{
			/*
			 * Constraints of the mapped relations are checked at once, as the
			 * owner; what the caller has pending on them fires first, as the
			 * caller.
			 */
			scim_store_set_constraints(call->endpoint, true, NIL);
			/* what identity remembers outlives SPI's context */
			MemoryContextSwitchTo(context);
			scim_identity_assume(&identity, call->endpoint->owner, has_owner_code(call->endpoint));
			call->admitted = true;
			serve(call, rest);
			if (call->err.status == 0)
			{
				ScimTraces	now = traces_of(call, CurrentMemoryContext);

				write_traces(&now);
			}
			scim_identity_close_gucs(&identity);
		}
		if (call->err.status)
			traces = traces_of(call, context);
		finish_response(call, context);
		SPI_finish();
		if (call->err.status)
			RollbackAndReleaseCurrentSubTransaction();
		else
			ReleaseCurrentSubTransaction();
		open = false;
		scim_identity_restore(&identity);
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = saved_owner;
		open_calls = this_call.outer;
		/* a constraint may be gone meanwhile */
		if (call->err.status == 0)
			defer_constraints(call->endpoint);
		trace_here(&traces);
	}
	PG_CATCH();
	{
		ErrorData  *edata;

		open_calls = this_call.outer;
		MemoryContextSwitchTo(context);
		edata = CopyErrorData();
		FlushErrorState();
		if (open && !is_callers(edata->sqlerrcode))
		{
			take_error(call, edata);
			traces = traces_of(call, context);
		}
		if (open)
			RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = saved_owner;
		scim_identity_restore(&identity);
		scim_core_reset();
		/* what was done cannot be undone here: the caller's transaction can */
		if (!open || is_callers(edata->sqlerrcode))
			ReThrowError(edata);
		trace_here(&traces);
		init_response(call->response, context);
		finish_response(call, context);
	}
	PG_END_TRY();
}

/*
 * scim.handle(endpoint, method, path, headers, body): see its comment in SQL.
 */
Datum
scim_handle(PG_FUNCTION_ARGS)
{
	MemoryContext context = CurrentMemoryContext;
	ScimRequest request;
	ScimResponse response;
	ScimCall	call;
	char	   *path;
	char	   *query;
	const char *rest;
	size_t		base_len;
	TupleDesc	desc;
	Datum		values[3];
	bool		nulls[3] = {false, false, false};

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1) || PG_ARGISNULL(2))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("scim.handle needs an endpoint, a method and a path")));
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "scim.handle must return a row");
	desc = BlessTupleDesc(desc);

	memset(&request, 0, sizeof(request));
	memset(&call, 0, sizeof(call));
	request.method = text_to_cstring(PG_GETARG_TEXT_PP(1));
	path = text_to_cstring(PG_GETARG_TEXT_PP(2));
	query = strchr(path, '?');
	if (query)
		*query++ = '\0';
	request.path = path;
	request.query = query;
	scim_heap_begin((size_t) scim_request_memory * 1024);
	if (!PG_ARGISNULL(3))
		read_headers(&request, PG_GETARG_JSONB_P(3));
	if (!PG_ARGISNULL(4))
	{
		request.body = text_to_cstring(PG_GETARG_TEXT_PP(4));
		request.body_len = strlen(request.body);
	}
	call.request = &request;
	call.response = &response;
	call.started = GetCurrentTimestamp();
	init_response(&response, context);

	/*
	 * Up to here, and in the look-up of the endpoint, errors are the caller's
	 * SQL errors: nothing has been served yet.
	 */
	SPI_connect();
	scim_catalog_begin();
	call.endpoint = scim_endpoint_by_name(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	if (call.endpoint == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("endpoint \"%s\" does not exist", text_to_cstring(PG_GETARG_TEXT_PP(0)))));
	scim_require_member(call.endpoint->owner, psprintf("endpoint \"%s\"", call.endpoint->name));
	SPI_finish();
	MemoryContextSwitchTo(context);

	base_len = strlen(call.endpoint->base_path);
	rest = path;
	if (strncmp(path, call.endpoint->base_path, base_len) == 0 && (path[base_len] == '/' || path[base_len] == '\0'))
		rest = path + base_len;

	serve_sql(&call, rest, context);
	scim_catalog_end();

	values[0] = Int32GetDatum(response.status);
	values[1] = response_headers(&response);
	if (response.content_type == NULL || response.suppress_body)
		nulls[2] = true;
	else
		values[2] = PointerGetDatum(cstring_to_text_with_len(response.body.data, response.body.len));
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(desc, values, nulls)));
}
