/*
 * store_predicate.h
 *		Filters as SQL: what store_predicate.c (where a comparison stands) and
 *		store_compare.c (one comparison) share.
 */
#ifndef SCIM_STORE_PREDICATE_H
#define SCIM_STORE_PREDICATE_H

#include "store_internal.h"

/* A value in SQL: expr is NULL where the mapping has no place for it. */
typedef struct SqlValue
{
	const char *expr;
	ScimSqlClass cls;
	bool		is_text;		/* type text already: no cast, for the sake of indexes */
	const ScimSource *src;		/* what it is the value of, or NULL */
} SqlValue;

typedef struct PredicateContext
{
	ScimSql    *sql;
	const ScimEndpointType *target;
	const ScimMapping *mapping;
	int			scope;
} PredicateContext;

/* The value of a source, of SQL of type text, of nothing. */
extern SqlValue scim_sql_source_value(const ScimSource *src);
extern SqlValue scim_sql_text_value(const char *expr);
extern SqlValue scim_sql_no_value(void);

/* Append "the value is assigned". */
extern void scim_compare_present(PredicateContext *ctx, const SqlValue *v);

/*
 * Append a comparison of one value.  "in_element": an unspecified primary of an
 * existing value is false (RFC 7643 2.4).
 */
extern void scim_compare_value(PredicateContext *ctx, const ScimAttr *attr, const SqlValue *v,
							   const ScimFilter *f, bool in_element);

/*
 * Append "it is the resource with this id", or "is not": of a key that is stored
 * in "key" (NULL: row r itself), which an index on that serves.  False: f is
 * another comparison.
 */
extern bool scim_compare_id(PredicateContext *ctx, const ScimMapping *to, const char *key, const ScimFilter *f);

#endif							/* SCIM_STORE_PREDICATE_H */
