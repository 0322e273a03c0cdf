/*
 * provisioner_entra.h
 *		Attribute mappings of Microsoft Entra, turned into sources of a mapping.
 *
 *	text of an expression, or its parsed tree in JSON
 *		--(parse)--> nodes --(sql)--> a column, or one SQL expression
 *	an exported synchronization schema
 *		--(import)--> a report, a mapping, a sync
 *
 * What cannot be translated is a value with its reason; only arguments that
 * make no sense at all are raised.
 */
#ifndef SCIM_PROVISIONER_ENTRA_H
#define SCIM_PROVISIONER_ENTRA_H

#include "nodes/pg_list.h"
#include "utils/jsonb.h"

#include "../core/core_schema.h"

#define SCIM_ENTRA_MAX_TEXT 10000	/* characters of an expression, as in Entra */
#define SCIM_ENTRA_MAX_DEPTH 64
#define SCIM_ENTRA_MAX_SQL 65536	/* bytes of what one expression becomes */

/* ---- expressions (provisioner_entra_parse.c) ---- */

typedef enum ScimEntraKind
{
	SCIM_ENTRA_ATTRIBUTE,		/* [mail] */
	SCIM_ENTRA_CONSTANT,		/* "text" */
	SCIM_ENTRA_NUMBER,			/* 12, -1.5, &HFF (as decimal) */
	SCIM_ENTRA_WORD,			/* vbTextCompare */
	SCIM_ENTRA_CALL,			/* Left([mail], 3) */
	SCIM_ENTRA_COMPARE,			/* [country] = "USA" */
	SCIM_ENTRA_OMITTED			/* nothing between two commas */
} ScimEntraKind;

typedef struct ScimEntraNode
{
	ScimEntraKind kind;
	const char *text;			/* name, value, or operator of a comparison */
	int			position;		/* character in the expression, from 1; 0: not known */
	int			nargs;
	struct ScimEntraNode **args;
} ScimEntraNode;

extern ScimEntraNode *scim_entra_node(ScimEntraKind kind, const char *text, int position);
extern void scim_entra_node_add(ScimEntraNode *parent, ScimEntraNode *child);

/* Names of the attributes that an expression reads. */
extern List *scim_entra_attributes(const ScimEntraNode *node);

/* NULL: malformed; *problem says what and where. */
extern ScimEntraNode *scim_entra_parse(const char *text, const char **problem);

/*
 * The same from an attributeMappingSource of Microsoft Graph: its expression or,
 * without one, its type, name and parameters.
 */
extern ScimEntraNode *scim_entra_source(JsonbContainer *source, const char **problem);

/* ---- members of a JSON object ---- */

/* NULL: it is not there, or null. */
extern JsonbValue *scim_entra_member(JsonbContainer *object, const char *name);
extern char *scim_entra_string(JsonbContainer *object, const char *name);	/* NULL: no string */
extern JsonbContainer *scim_entra_array(JsonbContainer *object, const char *name);	/* NULL: no array */
extern JsonbContainer *scim_entra_object(const JsonbValue *value);	/* NULL: no object */

/* ---- regular expressions of .NET (provisioner_entra_regex.c) ---- */

typedef enum ScimEntraRegexUse
{
	SCIM_ENTRA_REGEX_MATCH,		/* does it match anywhere? */
	SCIM_ENTRA_REGEX_REPLACE,	/* replace matches: groups are numbered from 1 */
	SCIM_ENTRA_REGEX_PART,		/* replace a group: 1 before it, 2 the group, 3 behind it */
	SCIM_ENTRA_REGEX_EXTRACT	/* value of a group: it is 1 */
} ScimEntraRegexUse;

typedef struct ScimEntraRegex
{
	char	   *pattern;		/* an advanced regular expression of PostgreSQL */
	List	   *groups;			/* REPLACE: name of each, or NULL */
} ScimEntraRegex;

/* "group": name, for PART and EXTRACT.  False: *problem. */
extern bool scim_entra_regex(const char *text, ScimEntraRegexUse use, const char *group,
							 ScimEntraRegex *regex, const char **problem);

/* Replacement text of .NET as one of regexp_replace; NULL: *problem. */
extern char *scim_entra_replacement(const ScimEntraRegex *regex, const char *text, const char **problem);

/* ---- SQL (provisioner_entra_sql.c, _function.c, _date.c) ---- */

/* Where attributes of Entra are found. */
typedef struct ScimEntraColumns
{
	Oid			relid;
	JsonbContainer *given;		/* attribute to column, or NULL */
} ScimEntraColumns;

typedef struct ScimEntraTarget
{
	ScimType	type;			/* SCIM type the value has to have */
	const char *default_value;	/* SQL gives it instead of null; NULL: none */
	bool		create_only;	/* it is evaluated for good when a resource is created */
} ScimEntraTarget;

typedef struct ScimEntraSql
{
	const char *sql;			/* a column's name or an SQL expression; NULL: see problem */
	bool		constant;		/* it is never null and the same for all rows */
	const char *problem;
	List	   *notes;			/* what its reader should know: strings */
} ScimEntraSql;

extern ScimEntraSql scim_entra_sql(const ScimEntraColumns *columns, const ScimEntraNode *node,
								   const ScimEntraTarget *target);

/* A condition; it may be null.  Columns are written r.column. */
extern ScimEntraSql scim_entra_condition(const ScimEntraColumns *columns, const ScimEntraNode *node);

/* The member of "columns" that is about an attribute, or NULL. */
extern JsonbValue *scim_entra_given_column(const ScimEntraColumns *columns, const char *attribute);

/* Place of a parameter by its name in the parsed tree, or -1. */
extern int	scim_entra_parameter(const char *function, const char *name);

/* ---- scope (provisioner_entra_scope.c) ---- */

typedef struct ScimEntraScope
{
	ScimEntraSql sql;			/* neither SQL nor a problem: every row */
	const char *source;			/* as its reader knows it, or NULL */
	List	   *attributes;		/* names of those that it reads */
} ScimEntraScope;

/* "object": the scope of an object mapping, or NULL. */
extern ScimEntraScope scim_entra_scope(const ScimEntraColumns *columns, JsonbContainer *object);

#endif							/* SCIM_PROVISIONER_ENTRA_H */
