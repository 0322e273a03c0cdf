/*
 * catalog_mapping_internal.h
 *		Shared by the files that resolve mappings, and by nobody else.
 *
 * All functions run as the owner of the mapping with SPI connected, allocate in
 * the current memory context, and raise what is wrong (22023, 42703, ...),
 * naming mapping and attribute.
 */
#ifndef SCIM_CATALOG_MAPPING_INTERNAL_H
#define SCIM_CATALOG_MAPPING_INTERNAL_H

#include "catalog_mapping.h"
#include "../compat.h"
#include "../core/core_path.h"

/* What resolving one mapping needs at hand. */
typedef struct ScimResolve
{
	ScimMapping *mapping;
	ScimMappingRow *row;
	const ScimResourceType *full;	/* all attributes of the resource type */
	bool	   *kept;			/* by ord of full: has a source; NULL in the second pass */
	List	   *scope;			/* names of scope columns */
	bool		state;			/* scim.resource_state holds what no attribute of the mapping says */
} ScimResolve;

pg_noreturn extern void scim_mapping_error(const ScimResolve *ctx, const char *path, int sqlstate,
										   const char *problem);

/* ---- sources (catalog_mapping_source.c) ---- */

/* A column by its name; false if there is none (or it is a system column). */
extern bool scim_column_source(Oid relid, const char *alias, const char *name, ScimSource *src);

/* A source given as text: a column's name, or an expression over relation and alias. */
extern void scim_text_source(ScimResolve *ctx, const char *path, Oid relid, const char *alias,
							 const char *text, ScimSource *src);

/* The tree of a text that is one SQL expression and nothing else; NULL: it is not.  Raises syntax errors. */
extern Node *scim_mapping_parse(const char *text);

/* A source of the mapped relation, or of a row beside it, in any form, for "attr". */
extern void scim_json_source(ScimResolve *ctx, const char *path, const ScimAttr *attr, const json_t *value,
							 ScimSource *src);

/* A source given as an object, in "relid", whose rows have "alias". */
extern void scim_object_source(ScimResolve *ctx, const char *path, Oid relid, const char *alias, const ScimAttr *attr,
							   const json_t *spec, ScimSource *src);

/* A source in a row beside the resource; the copies of a value (catalog_mapping_side.c). */
extern void scim_side_source(ScimResolve *ctx, const char *path, const ScimAttr *attr, const json_t *spec, ScimSource *src);
extern void scim_resolve_copies(ScimResolve *ctx, const char *path, const ScimAttr *attr, const json_t *spec, ScimSource *src);

/* The same for a column of a child relation, alias c. */
extern void scim_child_source(ScimResolve *ctx, const char *path, Oid relid, const ScimAttr *attr,
							  const json_t *value, ScimSource *src);

extern void scim_constant_source(const json_t *value, ScimSource *src);

/* The row beside the resource that an object describes, made when it is not there yet. */
extern ScimSide *scim_mapping_side(ScimResolve *ctx, const char *path, const json_t *spec);

/* What an expression of type text makes; read-only. */
extern void scim_text_expression(const char *expr, ScimSource *src);

/*
 * The values of a sub-attribute that has several, in the array that SQL makes
 * (jsonb): the text of an array of those that are of its type, null if none is.
 */
extern const char *scim_several_sql(const ScimAttr *sub, const char *array);

/* Raises if a sub-attribute with several values is not in a document of JSON. */
extern void scim_mapping_check_several(ScimResolve *ctx, const char *path, const ScimAttr *attr, const ScimSource *src);

/* One expression over "relid", every column behind its alias; *typid may be NULL. */
extern char *scim_mapping_expression(ScimResolve *ctx, const char *path, Oid relid, const char *alias,
									 const char *text, Oid *typid);

/* {"column": "expression", ...} of "relid", over relation "over" and its alias. */
extern ScimSetting *scim_mapping_settings(ScimResolve *ctx, const char *path, Oid relid, Oid over, const char *alias,
										  const json_t *value, int *n);

/* Text of a scalar in the JSON of a mapping: what a column is compared with or set to. */
extern const char *scim_mapping_scalar(ScimResolve *ctx, const char *path, const json_t *value);

/* Raises if an object has members that nobody reads (a list that ends in NULL). */
extern void scim_mapping_members(ScimResolve *ctx, const char *path, const json_t *object,
								 const char *const *known);

/* ["a", "b"] or "a.b" */
extern const char **scim_mapping_json_path(ScimResolve *ctx, const char *path, const json_t *value, int *n);

/* Note the SQL of the document in a column of "relid", of type jsonb, json or text. */
extern void scim_mapping_document(ScimResolve *ctx, const char *path, Oid relid, ScimSource *src);

/* ---- keys (catalog_mapping_key.c) ---- */

/* The key of the mapping; needs its scope to be resolved. */
extern void scim_resolve_key(ScimResolve *ctx);

/* Names that the text of a key lists; NIL: it is an expression.  The same if all of them are columns. */
extern List *scim_key_listed_names(Oid relid, const char *text);
extern List *scim_key_column_names(Oid relid, const char *text);

/* The columns of the primary key, in order; NIL: there is none. */
extern List *scim_primary_key(Oid relid);

/* The columns that member of an object names, one or a list; "writable": of which each can be set. */
extern void scim_resolve_reference(ScimResolve *ctx, const char *path, Oid relid, const char *alias, const json_t *spec,
								   const char *member, bool writable, ScimReference *columns);

/*
 * Columns as they were named become those of the parts of the key of "of"; a
 * column of the key that is one of the scope's goes to scope[] (or is left out,
 * if that is NULL).  Raises with the names of mapping "m" and attribute.
 */
extern void scim_fit_reference(const ScimMapping *of, const ScimMapping *m, const char *path, Oid relid, const char *alias,
							   ScimReference *columns, const char **scope);

/* ---- names (catalog_mapping_name.c) ---- */

/* Make the texts of a mapping those of what its columns are called now; raises what can't be followed. */
extern void scim_mapping_follow(ScimMappingRow *row);
/* The same, and note the new names; what can't be followed stays.  False: nothing is renamed. */
extern bool scim_mapping_rename_text(ScimMappingRow *row);
/* Note the numbers of all that a mapping names; forget them. */
extern void scim_mapping_learn_names(const ScimMappingRow *row);
extern void scim_mapping_forget_names(const ScimMappingRow *row);

/* The column in a text "NOT column", or NULL. */
extern const char *scim_mapping_negated(const char *text);
/* Are two types so alike that what is said of a column of one goes for the other? */
extern bool scim_types_are_alike(Oid a, Oid b);

/* ---- children (catalog_mapping_child.c) ---- */

/* The relation that "table" of an object names. */
extern Oid	scim_mapping_table(ScimResolve *ctx, const char *path, const json_t *spec);

/* Quoted column of a relation for each scope column of the mapping, or NULL. */
extern const char **scim_mapping_scope_of(ScimResolve *ctx, Oid relid);

/* {"column": value, ...}: columns that hold fixed values. */
extern void scim_mapping_fixed(ScimResolve *ctx, const char *path, Oid relid, const json_t *value, int *n,
							   const char ***columns, const char ***values, const char ***types);

/* One place of a multi-valued attribute: a child relation, or a column that holds several. */
extern void scim_resolve_child(ScimResolve *ctx, const char *path, ScimAttr *attr, const json_t *spec,
							   ScimChild *child);
extern void scim_resolve_inline(ScimResolve *ctx, const char *path, ScimAttr *attr, const json_t *spec,
								ScimChild *child);

/* ---- schemas made from tables (catalog_mapping_schema.c) ---- */

/*
 * Attributes for a mapping that names none, as JSON: one a column, where the
 * type has one of its name.  A type that does not exist is made.
 */
extern char *scim_mapping_propose(const char *type_name, Oid relid, const char *key);

/* Make the extensions of a type that attributes name by URN and that do not exist. */
extern void scim_mapping_make_extensions(const char *type_name, Oid relid, const char *attributes);

/* ---- use (catalog_mapping_sql.c) ---- */

/* Raises 22023 unless the endpoints that use a mapping can still serve it; looks at what is written. */
extern void scim_mapping_check_endpoints(const char *mapping);

/* ---- the set (catalog_mapping_connect.c) ---- */

/*
 * References lead from mapping to mapping; and User's `groups` are the links
 * of the Group mapping, read from the other side.  Raises 22023 if they don't fit.
 */
extern void scim_mapping_connect(ScimMappingSet *set);

/* ---- options (catalog_mapping_option.c) ---- */

/* Where the columns of the scope are: in the relation, beside it, or nowhere. */
extern void scim_resolve_scope(ScimResolve *ctx, const json_t *options);

/* The other options of a mapping, after its attributes. */
extern void scim_resolve_options(ScimResolve *ctx, const json_t *options);

/* What the system catalogs say of attributes: required, unique, readOnly, canonical values. */
extern void scim_mapping_characteristics(ScimResolve *ctx);

#endif							/* SCIM_CATALOG_MAPPING_INTERNAL_H */
