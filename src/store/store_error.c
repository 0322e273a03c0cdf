/*
 * store_error.c
 *		What a caught SQL error says in SCIM: the one table of SQLSTATEs.
 *
 * The text of an error, its detail and context never reach the client: they
 * may hold values, statements, other tenants' data (threat-and-fault-model
 * I11).  What does is the name of the attribute that a constraint is about.
 */
#include "postgres.h"

#include "utils/builtins.h"

#include "store_internal.h"

#define CLASS(code) ERRCODE_TO_CATEGORY(code)
#define CLASS_USER MAKE_SQLSTATE('4', '5', '0', '0', '0')

/* Attributes that the constraint or column of an error is about; NULL: unknown. */
static const char *
attributes_of(const ScimEndpoint *endpoint, const ErrorData *edata)
{
	const char *name = edata->constraint_name ? edata->constraint_name : edata->column_name;

	for (int i = 0; endpoint && name && i < endpoint->ntypes; i++)
	{
		const ScimMapping *m = endpoint->types[i].mapping;

		for (int j = 0; j < m->nconstraints; j++)
		{
			const ScimConstraint *c = &m->constraints[j];

			if (c->attributes && c->column == (edata->constraint_name == NULL) && strcmp(c->name, name) == 0 &&
				(edata->table_name == NULL || strcmp(c->table_name, edata->table_name) == 0) &&
				(edata->schema_name == NULL || strcmp(c->table_schema, edata->schema_name) == 0))
				return c->attributes;
		}
	}
	return NULL;
}

/* The attribute that the built-in store's trigger found taken; NULL: it was not that. */
static const char *
taken_attribute(const ErrorData *edata)
{
	return edata->schema_name && strcmp(edata->schema_name, "scim") == 0 &&
		edata->table_name && strcmp(edata->table_name, "_unique_values") == 0 ? edata->column_name : NULL;
}

/* A policy refused the row, not a grant the statement. */
static bool
is_row_security(const ErrorData *edata)
{
	return edata->funcname != NULL && strcmp(edata->funcname, "ExecWithCheckOptions") == 0;
}

/* Raised by this extension: its message names things and holds no values. */
static bool
is_own(const ErrorData *edata)
{
	return edata->filename != NULL && strncmp(edata->filename, "store_", 6) == 0;
}

/* ": see scim.check_mapping of a, b": whose relations are not what they were. */
static const char *
mappings_of(const ScimEndpoint *endpoint)
{
	StringInfoData names;

	initStringInfo(&names);
	for (int i = 0; endpoint && i < endpoint->ntypes; i++)
		if (!endpoint->types[i].mapping->builtin)
			appendStringInfo(&names, "%s\"%s\"", names.len > 0 ? ", " : ": see scim.check_mapping of ", endpoint->types[i].mapping->name);
	return names.data;
}

static void
invalid_value(const ScimEndpoint *endpoint, const ErrorData *edata, ScimError *err, const char *problem)
{
	const char *attributes = attributes_of(endpoint, edata);

	if (attributes)
		scim_fail(err, 400, SCIM_INVALID_VALUE, "%s: %s", attributes, problem);
	else
		scim_fail(err, 400, SCIM_INVALID_VALUE, "%s", problem);
}

void
scim_store_error(const ScimEndpoint *endpoint, const ErrorData *edata, ScimError *err)
{
	const char *attributes;

	memset(err, 0, sizeof(*err));
	err->position = -1;

	switch (edata->sqlerrcode)
	{
		case ERRCODE_UNIQUE_VIOLATION:
		case ERRCODE_EXCLUSION_VIOLATION:
			attributes = taken_attribute(edata);
			if (attributes == NULL)
				attributes = attributes_of(endpoint, edata);
			scim_fail(err, 409, SCIM_UNIQUENESS, "%s is taken", attributes ? attributes : "a value that must be unique");
			return;
		case ERRCODE_NOT_NULL_VIOLATION:
			invalid_value(endpoint, edata, err, "a value is required");
			return;
		case ERRCODE_FOREIGN_KEY_VIOLATION:
		case ERRCODE_RESTRICT_VIOLATION:
			invalid_value(endpoint, edata, err, "a reference does not hold");
			return;
		case ERRCODE_CHECK_VIOLATION:
		case ERRCODE_WITH_CHECK_OPTION_VIOLATION:
			invalid_value(endpoint, edata, err, "the value is not allowed here");
			return;
		case ERRCODE_PROGRAM_LIMIT_EXCEEDED:
			/* our own limit says what to do; the server's (an index key) does not */
			if (is_own(edata))
				scim_fail(err, 400, SCIM_TOO_MANY, "%s. %s", edata->message, edata->hint ? edata->hint : "");
			else
				invalid_value(endpoint, edata, err, "a value is too large");
			return;
		case ERRCODE_LOCK_NOT_AVAILABLE:
		case ERRCODE_QUERY_CANCELED:
		case ERRCODE_T_R_SERIALIZATION_FAILURE:
		case ERRCODE_T_R_DEADLOCK_DETECTED:
		case ERRCODE_READ_ONLY_SQL_TRANSACTION:
			scim_fail(err, 503, NULL, "the request could not be served in time; try again");
			return;
		case ERRCODE_FEATURE_NOT_SUPPORTED:
			/* what the mapping does not do; the server's own is nothing that a client can help */
			if (!is_own(edata))
				break;
			scim_fail(err, 403, NULL, "%s", edata->message);
			return;
		case ERRCODE_INSUFFICIENT_PRIVILEGE:
			if (is_row_security(edata))
			{
				scim_fail(err, 403, NULL, "the row that results is not allowed at this endpoint");
				return;
			}
			/* FALLTHROUGH */
		case ERRCODE_UNDEFINED_TABLE:
		case ERRCODE_UNDEFINED_COLUMN:
		case ERRCODE_UNDEFINED_FUNCTION:
		case ERRCODE_UNDEFINED_OBJECT:
			scim_fail(err, 503, NULL, "endpoint \"%s\" can't be served as it is configured%s", endpoint ? endpoint->name : "",
					  mappings_of(endpoint));
			return;
	}

	switch (CLASS(edata->sqlerrcode))
	{
		case MAKE_SQLSTATE('2', '2', '0', '0', '0'):
			if (is_own(edata))
				scim_fail(err, 400, SCIM_INVALID_VALUE, "%s", edata->message);
			else
				invalid_value(endpoint, edata, err, "a value does not fit its attribute");
			return;
		case CLASS_USER:
			/* what the owner's own trigger raised for the client to read */
			scim_fail(err, 400, SCIM_INVALID_VALUE, "%s", edata->message ? edata->message : "refused");
			return;
		case ERRCODE_INSUFFICIENT_RESOURCES:
			if (edata->sqlerrcode == ERRCODE_OUT_OF_MEMORY)
				scim_fail(err, 413, NULL, "the request needs more memory than it may use");
			else
				scim_fail(err, 503, NULL, "the server is out of resources; try again");
			return;
	}
	scim_fail(err, 500, NULL, "internal error");
}
