/*
 * catalog_mapping.h
 *		A mapping, resolved against the system catalogs: where each attribute of
 *		a resource type lives in a relation and its child relations.
 *
 *		relation r							alias "r" in all SQL
 *		  key								the id
 *		  scope columns						fixed by the endpoint (tenant)
 *		  scalars[]			userName		-> r.user_name
 *		  slots[]			emails[type eq "work"].value -> r.mail
 *		child relation c					alias "c" in all SQL
 *		  CHILD				emails			-> one row a value
 *		  LINK				members			-> one row a reference
 *		  PENDING			members			-> references to what is not there (yet)
 *		  GROUPS			groups			<- read from the links of the Group mapping
 *
 * The mappings that one endpoint serves form a set, because references lead
 * from one to another.  Sets are compiled once per owner (plans are never
 * shared between owners) and shared by all endpoints that use them.
 */
#ifndef SCIM_CATALOG_MAPPING_H
#define SCIM_CATALOG_MAPPING_H

#include "access/attnum.h"
#include "nodes/pg_list.h"

#include "catalog.h"

/* What a value is in SQL, as far as it matters to reading and comparing. */
typedef enum ScimSqlClass
{
	SCIM_SQL_TEXT,				/* text, varchar, char, name, citext, enum, ... */
	SCIM_SQL_BOOLEAN,
	SCIM_SQL_INTEGER,			/* int2, int4, int8 */
	SCIM_SQL_NUMERIC,			/* numeric, float4, float8 */
	SCIM_SQL_TIMESTAMPTZ,
	SCIM_SQL_UUID,
	SCIM_SQL_OTHER				/* read through its output function, written by a cast */
} ScimSqlClass;

typedef struct ScimSource
{
	const char *expr;			/* SQL to read, over alias r or c; NULL: constant */
	const char *constant;		/* fixed value as text, when expr is NULL */
	const char *column;			/* quoted column to write, or NULL: read-only */
	AttrNumber	attnum;			/* of the column; 0: an expression */
	bool		negated;		/* the column holds NOT value */
	Oid			typid;
	ScimSqlClass cls;
	const char *type_name;		/* qualified, without type modifier, for casts */
	int			max_length;		/* characters that varchar(n) or char(n) takes; 0: no limit */
	bool		not_null;		/* a column that is declared so */
	bool		pads;			/* char(n): its output ends in blanks */
} ScimSource;

typedef struct ScimScalar
{
	ScimAttr   *attr;			/* simple attribute, or sub-attribute of a singular complex one */
	ScimSource	src;
} ScimScalar;

/* A value (or part of one) of a multi-valued attribute held in parent columns. */
typedef struct ScimSlot
{
	ScimAttr   *attr;
	int			nsubs;
	ScimAttr  **subs;
	ScimSource *srcs;			/* constants for what the slot's filter fixes */
} ScimSlot;

typedef enum ScimChildKind
{
	SCIM_CHILD_VALUES,
	SCIM_CHILD_LINK,
	SCIM_CHILD_PENDING,
	SCIM_CHILD_GROUPS
} ScimChildKind;

typedef struct ScimChild
{
	ScimChildKind kind;
	ScimAttr   *attr;
	Oid			relid;
	const char *relation;		/* quoted, qualified */
	const char *parent;			/* quoted column that holds the parent's key */
	AttrNumber	parent_attnum;
	const char **scope;			/* quoted column for each scope column of the mapping, or NULL */
	const char *order;			/* quoted column, or NULL */
	bool		order_is_integer;
	int			present;		/* bit in the presence column, or -1 */
	int			nsubs;			/* VALUES: a column for each */
	ScimAttr  **subs;			/* NULL entry: the value itself (simple multi-valued) */
	ScimSource *srcs;
	ScimSource	ref;			/* LINK, PENDING: the referring column */
	const char *ref_type;		/* LINK: name of the resource type referred to */
	struct ScimMapping *target; /* LINK: its mapping; GROUPS: the Group mapping */
	struct ScimChild *user_link;	/* GROUPS: the link of the Group mapping to users */
	struct ScimChild *group_link;	/* GROUPS: its link to groups, or NULL */
} ScimChild;

/* For error messages: which attributes a constraint is about. */
typedef struct ScimConstraint
{
	Oid			relid;
	const char *table_schema;
	const char *table_name;
	const char *name;
	const char *attributes;		/* "userName"; NULL: none that is mapped */
} ScimConstraint;

typedef struct ScimMapping
{
	int64		id;
	const char *name;
	bool		builtin;
	Oid			relid;
	const char *relation;		/* quoted, qualified */
	const char *table_schema;	/* as errors report them */
	const char *table_name;
	ScimSource	key;
	int			nscope;
	const char **scope_columns; /* quoted */
	const char **scope_types;	/* qualified type names */
	const ScimResourceType *type;
	int			nscalars;
	ScimScalar *scalars;
	int			nslots;
	ScimSlot   *slots;
	int			nchildren;
	ScimChild  *children;
	ScimSource *created;		/* or NULL */
	ScimSource *last_modified;
	ScimSource *version;
	const char *present;		/* quoted presence column, or NULL */
	const char **column_names;	/* by attnum - 1: for 23502; NULL: not mapped */
	int			ncolumns;
	const char **column_attrs;
	int			nconstraints;
	ScimConstraint *constraints;
	List	   *deferrable;		/* RangeVars: constraints and triggers that are initially deferred */
	void	   *store;			/* what the store has compiled for it */
} ScimMapping;

typedef struct ScimMappingSet
{
	Oid			owner;
	int			nmappings;
	ScimMapping **mappings;
	MemoryContext context;
	Oid		   *relids;			/* relations whose change makes it stale */
	int			nrelids;
	const char *broken;			/* why it can't be used, or NULL */
} ScimMappingSet;

/* A row of scim._mappings. */
typedef struct ScimMappingRow
{
	int64		id;
	const char *name;
	const char *resource_type;
	Oid			relid;
	const char *key;
	const char *attributes;		/* JSON text */
	Oid			owner;			/* InvalidOid: built-in */
	bool		builtin;
} ScimMappingRow;

/*
 * Resolve rows into a set, as "owner", in the current memory context.
 * "scope" names the scope columns.  Raises what is wrong (SQLSTATE 22023,
 * 42703, ...), naming mapping and attribute.
 */
extern ScimMappingSet *scim_mapping_set_make(List *rows, Oid owner, List *scope);

/* Note constraints and columns of a mapped or child relation (catalog_constraint.c). */
extern void scim_mapping_describe_relation(ScimMapping *mapping, Oid relid);

/* Resolve mappings that are not in a set yet; only raises what is wrong. */
extern void scim_mapping_check(List *rows, Oid owner);

/* Is the text one SQL expression and nothing else?  Raises syntax errors. */
extern bool scim_is_single_expression(const char *text);

/*
 * Resolve one mapping by itself, as its owner, in the current memory context:
 * references to other mappings lead nowhere (child->target is NULL).
 */
extern ScimMapping *scim_mapping_resolve(ScimMappingRow *row);

/* NULL if there is no such mapping.  Allocated in the current context. */
extern ScimMappingRow *scim_mapping_row(const char *name);

/* Can "text" be the text of a key of this class (canonical form)? */
extern bool scim_key_text_valid(const ScimSource *key, const char *text);

#endif							/* SCIM_CATALOG_MAPPING_H */
