/*
 * catalog_mapping.h
 *		A mapping, resolved against the system catalogs: where each attribute of
 *		a resource type lives in a relation and its child relations.
 *
 *		relation r							alias "r" in all SQL
 *		  key								its columns; the id is made of them
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
#include "lib/stringinfo.h"
#include "nodes/bitmapset.h"
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

/* How a column holds a time. */
typedef enum ScimTimeForm
{
	SCIM_TIME_NATIVE,			/* timestamptz, or what the column's type makes of it */
	SCIM_TIME_UTC,				/* timestamp without time zone, of UTC */
	SCIM_TIME_SECONDS,			/* since 1970, a number */
	SCIM_TIME_MILLISECONDS
} ScimTimeForm;

/* Values of an attribute that a column holds as codes. */
typedef struct ScimCode
{
	const char *code;			/* text of the column's value */
	const char *label;			/* text of the attribute's value */
} ScimCode;

/* One more column that a value goes to. */
typedef struct ScimWrite
{
	const char *column;			/* quoted */
	AttrNumber	attnum;
	const char *type_name;		/* of the column */
	const char *expr;			/* SQL over "value" and the row's own columns */
} ScimWrite;

typedef struct ScimSource
{
	const char *expr;			/* SQL of the value, over alias r or c; NULL: constant */
	const char *constant;		/* fixed value as text, when expr is NULL */
	const char *column;			/* quoted column to write, or NULL: none */
	AttrNumber	attnum;			/* of the column; 0: an expression */
	bool		negated;		/* the column holds NOT value */
	Oid			typid;			/* of expr */
	char		typtype;		/* of it: TYPTYPE_ENUM (of a domain, too), TYPTYPE_DOMAIN, ... */
	ScimSqlClass cls;
	const char *type_name;		/* qualified, without type modifier, for casts */
	int32		typmod;			/* of a column's type; -1: none */
	int			max_length;		/* characters that varchar(n) or char(n) takes; 0: no limit */
	bool		not_null;		/* a column that is declared so */
	bool		has_default;	/* a column with a default, or identity */
	bool		pads;			/* char(n): its output ends in blanks */

	/* where the column does not hold the value as it is */
	const char *raw;			/* SQL of the bare column, which indexes serve; NULL: same as expr */
	const char *column_type;	/* type name of the column */
	ScimTimeForm time;
	bool		whole;			/* a number of seconds without fraction */
	const char *null_text;		/* what the column holds for "unassigned", or NULL */
	int			ncodes;
	ScimCode   *codes;
	const char **json_path;		/* where in a document of JSON; NULL: the column is none */
	int			njson;
	const char *document;		/* SQL of the document, jsonb */
	const char *new_document;	/* of that in a new row */
	bool		several;		/* a sub-attribute with several values: expr is the text of a JSON array */
	const char *fold;			/* function by which it compares, as the table's own index does; NULL: scim.fold */
	const char *folded;			/* SQL of a column that holds what the function makes of it, or NULL */
	const char *citext;			/* quoted schema of the type citext, where it is that */
	bool		required;		/* said by the mapping */
	const json_t *initial;		/* the value of a new resource that is given none, or NULL */
	bool		implied;		/* a constant that a client need not give */
	int			nwrites;
	ScimWrite  *writes;
	const char *value_type;		/* type of "value" in writes */
	int			ncopies;		/* more places, of other rows, that a value goes to */
	struct ScimSource *copies;
	struct ScimSide *side;		/* lives in another table's row, or NULL */
	const struct ScimSource *inner; /* with side: the column there, over alias c */
	const char *ref_type;		/* the value is the id of such a resource, or NULL */
	struct ScimMapping *ref_target;
	struct ScimReference *ref_columns;	/* that hold its key, where one column is not the id; or NULL */
} ScimSource;

/* A column of a key, as the mapping names it. */
typedef struct ScimKeyColumn
{
	const char *name;			/* not quoted; NULL: an expression */
	int			part;			/* or -1: */
	int			scope;			/* it is this column of the scope, and no part of the key */
} ScimKeyColumn;

/*
 * What rows are known by.  To other rows it is the key: columns, or what an
 * expression makes of a row.  To clients it is the id, a text: that of the key;
 * or of a key of several columns, their texts joined; or, where the relation
 * has a primary key for other rows to refer to, that of any expression: then
 * only the row tells one from the other.
 */
typedef struct ScimKey
{
	ScimSource	id;				/* over r */
	bool		by_expression;	/* the id is not made of the key */
	int			n;				/* parts of the key */
	ScimSource *parts;			/* over r */
	const char *row;			/* SQL of them all: "r.id", "ROW(r.a, r.b)" */
	int			ncolumns;
	ScimKeyColumn *columns;		/* with those that the scope fixes, in order */
	Bitmapset  *attnums;		/* columns that key and id are made of */
} ScimKey;

/* Columns of a relation (alias c, or r) that hold keys of a mapping. */
typedef struct ScimReference
{
	int			n;
	const char **columns;		/* quoted */
	AttrNumber *attnums;
	const char **types;			/* type names */
	const char *row;			/* SQL of them all: "c.user_id", "ROW(c.a, c.b)" */
} ScimReference;

/* A column and the expression it is set to. */
typedef struct ScimSetting
{
	const char *column;			/* quoted */
	AttrNumber	attnum;
	const char *expr;
} ScimSetting;

/*
 * A row beside the resource: one-to-one, or one row of an entity-attribute-value
 * table under a fixed key.  It is made when a value needs it.  With "by" it is the
 * resource's row that names it, which is made after it.
 */
typedef struct ScimSide
{
	Oid			relid;
	const char *relation;		/* quoted, qualified */
	ScimReference parent;		/* the resource's key; by_text: its id; with "by": the row's own */
	int			nfixed;
	const char **fixed_columns; /* quoted */
	const char **fixed_values;
	const char **fixed_types;
	const char **scope;			/* as in ScimChild */
	bool		by_text;		/* the parent column holds the id */
	bool		by_scope;		/* its column "scope" holds the values of the scope */
	int			ninserts;		/* more columns of a new row, over the resource's row r (with "by": nulls) */
	ScimSetting *inserts;
	const char *by;				/* quoted column of the resource's row that holds this one's key, or NULL */
	AttrNumber	by_attnum;
	const char *by_column;		/* quoted column of this row that is its key */
	const char *by_type;		/* type name of it */
	bool		always;			/* every resource has it */
	const char *spec;			/* what makes it the same row */
} ScimSide;

typedef struct ScimScalar
{
	ScimAttr   *attr;			/* simple attribute, or sub-attribute of a singular complex one */
	ScimSource	src;
	bool		unguarded;		/* unique by its schema, and no index sees to it */
} ScimScalar;

/* A value (or part of one) of a multi-valued attribute held in parent columns. */
typedef struct ScimSlot
{
	ScimAttr   *attr;
	int			nsubs;
	ScimAttr  **subs;
	ScimSource *srcs;			/* constants for what the slot's filter fixes */
	bool		flag;			/* the last source is a boolean: there is a value where it is true */
} ScimSlot;

typedef enum ScimChildKind
{
	SCIM_CHILD_VALUES,
	SCIM_CHILD_INLINE,			/* values in one column of the parent: array, list, JSON */
	SCIM_CHILD_LINK,
	SCIM_CHILD_PENDING,
	SCIM_CHILD_GROUPS
} ScimChildKind;

/* How one column holds several values. */
typedef enum ScimInlineForm
{
	SCIM_INLINE_ARRAY,
	SCIM_INLINE_DELIMITED,
	SCIM_INLINE_JSON			/* array of values, or of objects */
} ScimInlineForm;

typedef struct ScimChild
{
	ScimChildKind kind;
	ScimAttr   *attr;
	Oid			relid;
	const char *relation;		/* quoted, qualified */
	ScimReference parent;		/* the parent's key */
	const char **scope;			/* quoted column for each scope column of the mapping, or NULL */
	const char *order;			/* quoted column, or NULL */
	bool		order_is_integer;
	bool		order_is_given;	/* a new row has to be given its place */
	int			nsubs;			/* VALUES: a column for each */
	ScimAttr  **subs;			/* NULL entry: the value itself (simple multi-valued) */
	ScimSource *srcs;
	ScimSource	ref;			/* LINK, PENDING: the id that is referred to */
	ScimReference refs;			/* LINK, PENDING: the columns that do */
	const char *filter;			/* SQL over c: which rows count, or NULL */
	int			nfixed;			/* columns of its rows that hold fixed values */
	const char **fixed_columns; /* quoted */
	const char **fixed_values;
	const char **fixed_types;
	const char **fixed_texts;	/* the values, not quoted */
	int			ninserts;		/* more columns of a new row, over the parent's row r */
	ScimSetting *inserts;
	int			nremoves;		/* LINK: a row that goes is marked so, and not deleted */
	ScimSetting *removes;
	int			nrevives;		/* LINK: and comes back so */
	ScimSetting *revives;
	bool		by_column;		/* LINK: a row of it is the member itself, which names its parent */
	ScimInlineForm form;		/* INLINE */
	const char *from;			/* INLINE: FROM item "... c(v, n)" over r */
	ScimSource	store;			/* INLINE: the column */
	const char *delimiter;		/* INLINE, delimited */
	const char **json_keys;		/* INLINE, objects: member of each sub-attribute; NULL: values */
	const char *ref_type;		/* LINK: name of the resource type referred to */
	struct ScimMapping *target; /* LINK: its mapping; GROUPS: the Group mapping */
	struct ScimChild *user_link;	/* GROUPS: the link of the Group mapping to users */
	struct ScimChild *group_link;	/* GROUPS: its link to groups, or NULL */
} ScimChild;

/* For error messages: which attributes a constraint or a column is about. */
typedef struct ScimConstraint
{
	Oid			relid;
	const char *table_schema;
	const char *table_name;
	const char *name;
	bool		column;			/* the name is a column's (23502) */
	const char *attributes;		/* "userName"; NULL: none that is mapped */
} ScimConstraint;

/* A row that has to be there beside every resource. */
typedef struct ScimBeside
{
	Oid			relid;
	const char *relation;		/* quoted, qualified */
	ScimReference parent;		/* the resource's key */
	const char **scope;			/* as in ScimChild */
	int			ninserts;		/* further columns, over the resource's row r */
	ScimSetting *inserts;
} ScimBeside;

typedef enum ScimDelete
{
	SCIM_DELETE_ROW,
	SCIM_DELETE_CASCADE,		/* and rows of child and link relations before it */
	SCIM_DELETE_MARK,			/* set columns; the filter then leaves the row out */
	SCIM_DELETE_REFUSE
} ScimDelete;

typedef struct ScimMapping
{
	int64		id;
	const char *name;
	bool		builtin;
	Oid			relid;
	const char *relation;		/* quoted, qualified */
	const char *table_schema;	/* as errors report them */
	const char *table_name;
	ScimKey		key;
	bool		shared;			/* by all endpoints: no column of it is the scope's */
	int			nscope;			/* columns of the endpoint's scope */
	const char **scope_columns; /* quoted; NULL: not a column of this relation */
	AttrNumber *scope_attnums;	/* 0: not a column of this relation */
	const char **scope_types;	/* qualified type names */
	const char *filter;			/* SQL over r: which rows are resources, or NULL */
	int			ninserts;		/* columns of a new row that no attribute gives */
	ScimSetting *inserts;
	int			ntouches;		/* set by every update */
	ScimSetting *touches;
	ScimDelete	delete_policy;
	int			nmarks;
	ScimSetting *marks;			/* SCIM_DELETE_MARK */
	int			nrevives;
	ScimSetting *revives;		/* a create brings a marked row back; none: it does not */
	ScimAttr   *revive_by;		/* the attribute that tells which */
	const char *revived;		/* SQL over r: would the filter hold for the row brought back? */
	int			nsides;
	ScimSide   *sides;
	ScimSide   *membership;		/* whose rows say in which scope a resource is, or NULL */
	ScimAttr   *adopt_by;		/* a create takes the row that has this value already; NULL: it does not */
	ScimSide   *state;			/* the row of scim.resource_state, or NULL */
	bool		track;			/* and triggers keep that row, whoever changes the resource */
	int			nbesides;
	ScimBeside *besides;		/* rows of other tables that a new resource is given */
	bool		lockable;		/* rows can be locked */
	bool		insertable;
	bool		updatable;
	bool		deletable;
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
	int			nconstraints;
	ScimConstraint *constraints;
	List	   *deferrable;		/* RangeVars: constraints and triggers that are initially deferred */
	void	   *store;			/* what the store has compiled for it */
} ScimMapping;

typedef struct ScimMappingSet
{
	Oid			owner;
	bool		complete;		/* every reference has its target */
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
	const char *key;			/* a column, several with commas, or an expression */
	const char *attributes;		/* JSON text */
	const char *options;		/* JSON text */
	Oid			owner;			/* InvalidOid: built-in */
	bool		builtin;
	bool		outbound;		/* for a sync: ids are keys, also where the key is an expression */
	bool		made;			/* built-in: made for extensions or for a resource type of a user's */
} ScimMappingRow;

/* A text as a time: without a zone it is UTC, whatever the session's is. */
extern const char *scim_time_sql(const char *text);

/*
 * Resolve rows into a set, as "owner", in the current memory context.
 * "scope" names the scope columns.  Raises what is wrong (SQLSTATE 22023,
 * 42703, ...), naming mapping and attribute; with "complete" also that a
 * mapping is referred to that is not among them.
 */
extern ScimMappingSet *scim_mapping_set_make(List *rows, Oid owner, List *scope, bool complete);

/*
 * A mapping as the first endpoint that uses it serves it, or alone, for people
 * to read about; *scope: names of the scope columns there; *owner: as whom its
 * relations are to be looked at.  The caller must be a member of its owner.
 */
extern ScimMapping *scim_mapping_to_report(const char *name, List **scope, Oid *owner);

/*
 * The index that serves comparisons of a column or expression of "relid" (text
 * over alias r or c), behind columns of the scope; InvalidOid: there is none.
 * "unique": it must keep rows apart by just these.  To be called as the owner,
 * restricted: constants are folded, by functions of whoever made the index.
 */
extern Oid	scim_mapping_index(const ScimMapping *m, Oid relid, const char *alias, const char *expr,
							   const char *const *scope, bool unique);

/*
 * The same of several columns in any order; "unique": no two rows may agree in
 * all of these.
 */
extern Oid	scim_mapping_columns_index(const ScimMapping *m, Oid relid, const AttrNumber *attnums, int n,
									   const char *const *scope, bool unique);

/* What an index has to be on for filters on a source: SQL over its alias, without the index's collation. */
extern const char *scim_mapping_index_expression(const ScimAttr *attr, const ScimSource *src);

/* "c.parent = r.key AND ...": the row beside row r. */
extern void scim_mapping_side_join(const ScimMapping *m, const ScimSide *side, StringInfo out);

/* SQL of the values of the scope in one text, of parameters from "first" on. */
extern const char *scim_mapping_scope_text(const ScimMapping *m, int first);

/* Quoted and qualified name of a relation. */
extern const char *scim_qualified_relation(Oid relid);

/* Text array literal of a path in a document, with its cast. */
extern const char *scim_mapping_path_sql(const char *const *path, int n);

/* Can a value of this source be stored? */
static inline bool
scim_source_writable(const ScimSource *src)
{
	return src->column != NULL || src->nwrites > 0 || src->ref_columns != NULL;
}

/* Note constraints and columns of a mapped or child relation (catalog_constraint.c). */
extern void scim_mapping_describe_relation(ScimMapping *mapping, Oid relid);

/* Does a foreign key lead from this column to that relation? */
extern bool scim_has_foreign_key(Oid relid, AttrNumber attnum, Oid target);

/* Resolve mappings that are not in a set yet; only raises what is wrong. */
extern void scim_mapping_check(List *rows, Oid owner);

/* Is the text one SQL expression and nothing else?  Raises syntax errors. */
extern bool scim_is_single_expression(const char *text);

/*
 * Resolve one mapping by itself, for a sync, as its owner, in the current memory
 * context: references to other mappings lead nowhere (child->target is NULL).
 */
extern ScimMapping *scim_mapping_resolve(ScimMappingRow *row);

/* NULL if there is no such mapping.  Allocated in the current context. */
extern ScimMappingRow *scim_mapping_row(const char *name);

/* ---- keys (catalog_mapping_key.c) ---- */

/* Is a text the canonical one of a uuid? */
extern bool scim_is_uuid_text(const char *text);
/* Can a text be the id of a row?  What can't is nobody's id, and no error. */
extern bool scim_key_id_valid(const ScimKey *key, const char *id);
/* The texts of the key's parts in a valid id (of a key that is not by_expression). */
extern const char **scim_key_split(const ScimKey *key, const char *id);
/* The id that the texts of several parts make. */
extern char *scim_key_join(const char *const *parts, int n);
/* Do two texts of a part mean one value only if they are the same?  Else SQL has to compare texts, too. */
extern bool scim_key_is_exact(const ScimSource *part);
/* SQL of the id of the resource whose key is in these SQL values; its type as that of key.id. */
extern const char *scim_key_id_sql(const ScimMapping *m, const char *const *parts);
/* SQL of several values as one: "a", "ROW(a, b)". */
extern const char *scim_key_row_sql(const char *const *parts, int n);
/* The same of columns of an alias. */
extern const char *scim_key_columns_sql(const ScimReference *columns, const char *alias);
/* Quoted names of columns: "a, b". */
extern const char *scim_key_names(const ScimReference *columns);
/* The index that finds a row by its id, behind columns of the scope; "unique" as for scim_mapping_index(). */
extern Oid	scim_key_index(const ScimMapping *m, const char *const *scope, bool unique);
/* Does writing a value change what the row is known by? */
extern bool scim_key_is_written(const ScimKey *key, const ScimSource *src);
/* Is the key a column, and its text the id? */
static inline bool
scim_key_is_column(const ScimKey *key)
{
	return key->n == 1 && !key->by_expression && key->id.attnum != 0;
}
/* Is a column part of the key? */
extern bool scim_key_has_column(const ScimKey *key, AttrNumber attnum);

/* Note which columns the scopes of endpoints name in the tables of their mappings: others that take the names are not used. */
extern void scim_mapping_learn_scopes(void);

#endif							/* SCIM_CATALOG_MAPPING_H */
