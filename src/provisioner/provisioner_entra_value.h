/*
 * provisioner_entra_value.h
 *		Shared by the files that turn expressions of Entra into SQL.
 *
 * A value is an SQL expression with the kind of what it gives.  A compiler that
 * has met a problem goes on with NULLs to the end; whoever began looks at
 * "problem" then.  So no function here returns NULL.
 */
#ifndef SCIM_PROVISIONER_ENTRA_VALUE_H
#define SCIM_PROVISIONER_ENTRA_VALUE_H

#include "provisioner_entra.h"

typedef enum ScimEntraValueKind
{
	SCIM_ENTRA_TEXT,			/* text */
	SCIM_ENTRA_BOOLEAN,			/* boolean */
	SCIM_ENTRA_NUMERIC,			/* any numeric type */
	SCIM_ENTRA_TIME,			/* timestamp, in UTC */
	SCIM_ENTRA_LIST				/* text[] */
} ScimEntraValueKind;

typedef struct ScimEntraValue
{
	ScimEntraValueKind kind;
	const char *sql;
	const char *constant;		/* its text if it is one, or NULL */
	const char *column;			/* its name if that is all it is, or NULL */
	bool		not_null;		/* a column that is declared so */
} ScimEntraValue;

typedef struct ScimEntraCompiler
{
	const ScimEntraColumns *columns;
	bool		create_only;
	const char *problem;
	List	   *notes;
} ScimEntraCompiler;

/* ---- provisioner_entra_sql.c ---- */

extern void scim_entra_problem(ScimEntraCompiler *c, const ScimEntraNode *node, const char *fmt,...) pg_attribute_printf(3, 4);
extern void scim_entra_note(ScimEntraCompiler *c, const char *note);
extern ScimEntraValue *scim_entra_value(ScimEntraCompiler *c, ScimEntraValueKind kind, const char *fmt,...) pg_attribute_printf(3, 4);
extern ScimEntraValue *scim_entra_constant(ScimEntraCompiler *c, const char *text);
extern ScimEntraValue *scim_entra_compile(ScimEntraCompiler *c, const ScimEntraNode *node);

/* SQL of a value as a kind; a problem if it cannot be that. */
extern const char *scim_entra_as(ScimEntraCompiler *c, const ScimEntraNode *node, const ScimEntraValue *value,
								 ScimEntraValueKind kind);
/* As a text that is not empty, or null. */
extern const char *scim_entra_filled(ScimEntraCompiler *c, const ScimEntraNode *node, const ScimEntraValue *value);

/* scim_entra_as for an argument. */
extern const char *scim_entra_text(ScimEntraCompiler *c, const ScimEntraNode *node);
extern const char *scim_entra_number(ScimEntraCompiler *c, const ScimEntraNode *node);
extern const char *scim_entra_time(ScimEntraCompiler *c, const ScimEntraNode *node);
extern const char *scim_entra_list(ScimEntraCompiler *c, const ScimEntraNode *node);

/* An int4 that is "min" or more; a smaller constant is a problem. */
extern const char *scim_entra_integer(ScimEntraCompiler *c, const ScimEntraNode *node, int min);

/* The text of an argument that has to be a constant; "" where it is not (a problem). */
extern const char *scim_entra_constant_text(ScimEntraCompiler *c, const ScimEntraNode *node);

/* An argument; one that was left out at the end is there as well. */
extern const ScimEntraNode *scim_entra_arg(const ScimEntraNode *node, int i);
extern bool scim_entra_given(const ScimEntraNode *node, int i);

/* "True" or "False", which a boolean becomes as text: the two are the same. */
extern bool scim_entra_is_truth(const ScimEntraValue *value);

/* One kind that all values can be. */
extern ScimEntraValueKind scim_entra_common_kind(ScimEntraValue *const *values, int n);

/* ---- provisioner_entra_function.c ---- */

extern ScimEntraValue *scim_entra_call(ScimEntraCompiler *c, const ScimEntraNode *node);

/* ---- provisioner_entra_date.c: functions of that table ---- */

extern ScimEntraValue *scim_entra_c_date(ScimEntraCompiler *c, const ScimEntraNode *node);
extern ScimEntraValue *scim_entra_now(ScimEntraCompiler *c, const ScimEntraNode *node);
extern ScimEntraValue *scim_entra_date_add(ScimEntraCompiler *c, const ScimEntraNode *node);
extern ScimEntraValue *scim_entra_date_diff(ScimEntraCompiler *c, const ScimEntraNode *node);
extern ScimEntraValue *scim_entra_date_from_num(ScimEntraCompiler *c, const ScimEntraNode *node);
extern ScimEntraValue *scim_entra_num_from_date(ScimEntraCompiler *c, const ScimEntraNode *node);
extern ScimEntraValue *scim_entra_format_date_time(ScimEntraCompiler *c, const ScimEntraNode *node);

#endif							/* SCIM_PROVISIONER_ENTRA_VALUE_H */
