/*
 * core_multi.h
 *		Which values of a multi-valued attribute are the same value (RFC 7643
 *		2.4; requirements R-7643-2.4-04, A-38), found without comparing each
 *		with each.
 *
 * Identity is weaker than equality (scim_value_same): two values that are
 * identical are one value that may be described differently.
 *
 *	reference list (members)	`value` alone, byte for byte: it is an id
 *	complex with `value`		`type` and `value`, by their case rules
 *	other complex values		all sub-attributes except `primary`
 *	simple values				by the attribute's case rule
 */
#ifndef SCIM_CORE_MULTI_H
#define SCIM_CORE_MULTI_H

#include "core_filter.h"
#include "core_value.h"

typedef struct ScimMultiSet
{
	const ScimAttr *attr;
	const ScimAttr *value;		/* sub-attributes, or NULL */
	const ScimAttr *type;
	bool		reference;		/* see scim_multi_is_reference() */
	bool		by_value;		/* `type` is not looked at */
	const json_t **items;		/* borrowed */
	uint64_t   *hashes;
	int			nitems;
	int			capacity;
	int		   *table;			/* index + 1; NULL while the set is short */
	int			table_size;		/* a power of 2 */
} ScimMultiSet;

/* A list of references to resources: identified by `value`, which no filter invents. */
extern bool scim_multi_is_reference(const ScimAttr *attr);

/*
 * Makes the value that a value filter describes: a conjunction of eq terms,
 * which the value then matches.  *described is false for any other filter;
 * returns false (and err) when memory is out.
 */
extern bool scim_multi_describe(const ScimFilter *filter, json_t *value, bool *described, ScimError *err);

/* An empty set; "by_value": identify by `value` alone, whatever the type. */
extern void scim_multi_init(ScimMultiSet *set, const ScimAttr *attr, bool by_value);

/*
 * Index of the item identical to "value", -1 if there is none, -2 (and err)
 * when memory is out.  *hash is what scim_multi_add() wants.
 */
extern int	scim_multi_find(const ScimMultiSet *set, const json_t *value, uint64_t *hash, ScimError *err);

/* Adds without looking; returns false (and err) when memory is out. */
extern bool scim_multi_add(ScimMultiSet *set, const json_t *value, uint64_t hash, ScimError *err);

/* Adds all elements of an array (NULL and other values: none). */
extern bool scim_multi_add_all(ScimMultiSet *set, const json_t *array, ScimError *err);

/* Item "i" is now described by another, identical value. */
extern void scim_multi_replace(ScimMultiSet *set, int i, const json_t *value);

#endif							/* SCIM_CORE_MULTI_H */
